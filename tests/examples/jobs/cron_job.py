r"""Remind of the appointments of a day. Run it as often as you like: each reminder is sent once.

0 18 * * * cd /srv/salon && python cron_job.py appointments.csv $(date -d tomorrow +\%F)
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from smsapi_async import Accepted, BatchHalted, LedgerError, LedgerInUse, Message
from smsapi_async.blocking import SmsClient
from smsapi_async.ledger import Ledger


def reminders(path: Path, day: str) -> Iterator[Message]:
    """Return a message for each appointment of the day. The key is the same in each run."""
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["day"] == day:
                yield Message(row["phone"], f"See you tomorrow at {row['time']}.", key=f"{day} {row['id']}")


def main(path: Path, day: str) -> int:
    """Send the reminders, and return the exit code. cron sends the errors by mail."""
    failures = 0
    try:
        with (
            SmsClient.from_env() as sms,
            sms.send_many(reminders(path, day), ledger=Ledger.sqlite("reminders.db")) as outcomes,
        ):
            for outcome in outcomes:
                if not isinstance(outcome, Accepted):  # a later run does not send this message again
                    print(outcome, file=sys.stderr)
                    failures += 1
    except LedgerInUse:
        print("an earlier run has not ended", file=sys.stderr)
        return 0
    except (BatchHalted, LedgerError) as error:  # the next run sends the rest
        print(error, file=sys.stderr)
        return 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
