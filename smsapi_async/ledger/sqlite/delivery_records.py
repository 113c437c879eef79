"""The deliveries of accepted messages in a SQLite ledger.

All functions of this module are synchronous and run in the thread of the ledger.
"""

from collections.abc import Sequence

from smsapi_async.errors import LedgerError
from smsapi_async.ledger.delivery_rows import delivery_row
from smsapi_async.ledger.keys import recorded_key_of
from smsapi_async.ledger.sqlite import statements
from smsapi_async.ledger.sqlite.database import Database
from smsapi_async.ledger.sqlite.request_records import RequestRecords
from smsapi_async.ledger.sqlite.statements import PLACES, Row, insert_many
from smsapi_async.ledger.sqlite.stored_values import answers_of
from smsapi_async.tracking import Delivery


class DeliveryRecords:
    """The deliveries in a database.

    Args:
        database: the open database that contains the deliveries.
        requests: the requests of the same database.
    """

    def __init__(self, database: Database, requests: RequestRecords) -> None:
        self._database = database
        self._requests = requests

    def record(self, given: Sequence[Delivery]) -> None:
        """Store deliveries. Each delivery replaces the recorded delivery of the same message."""
        keyed = [(recorded_key_of(each.receipt.message), each, delivery_row(each)) for each in given]
        rows: dict[int, Row] = {}
        recorded = 0
        with self._database.writing() as connection:
            found = self._requests.find_keys(connection, list(dict.fromkeys(key for key, _, _ in keyed)))
            answers = answers_of(connection, found.values())
            for key, delivery, row in keyed:
                message = found.get(key)
                if message is None:
                    continue
                place = message["id"] % PLACES, message["size"]
                if answers[message["request"]].has_delivery(delivery, *place):
                    rows[message["id"]] = (message["id"], *row)
                    recorded += 1
            insert_many(connection, statements.RECORD_DELIVERIES, list(rows.values()))
        if recorded != len(keyed):
            raise LedgerError(
                f"{len(keyed) - recorded} of {len(keyed)} deliveries were not recorded, because this ledger"
                " has no accepted message with the same key and segment ids"
            )
