"""The command line, ``smsapi-async`` (extra ``cli``: ``pip install 'smsapi-async[cli]'``).

The result goes to standard output, as tables or, with ``--json``, as one JSON document: money and
ratios as strings, dates in ISO 8601, UTC. An error is one line on standard error and an exit code:

| Exit code | Meaning |
|---|---|
| 0 | done; also a `sandbox` or `incoming --follow` ended by Ctrl-C |
| 1 | unexpected: a defect, or the result could not be written |
| 2 | wrong usage or bad input; nothing was asked of the gateway |
| 3 | rejected by the gateway, or bad rows of a `batch`; none of these was sent; a `track`: some failed |
| 4 | not sent, proved; it is safe to send again |
| 5 | OUTCOME UNKNOWN: it may have been sent; do not repeat it blindly (a `batch` or `track`: any of it) |
| 6 | a read failed: balance, state, incoming, statistics |
| 7 | a bulk was accepted, but whose segment ids are whose is unknown; a `track` cannot follow these |
| 130 | interrupted (Ctrl-C); the line says whether something may have been sent |

A `track` ends with 0 where every accepted message of its ledger was delivered, and with 5 also where
one was still pending at its deadline. A `batch --wait` ends with the code of its sending, or where that
is 0 with the code of a `track`; where Ctrl-C ends the following, with 130.
"""

import sys
from collections.abc import Sequence

_EXTRA = frozenset({"cyclopts", "rich", "starlette", "uvicorn"})
_BAD_INPUT = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the arguments after the program's name; None means those of the process.
    """
    try:
        from smsapi_async.cli.run import run  # noqa: PLC0415 - the core installs without the extra
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(
            f"smsapi-async: the command line needs {error.name}: pip install 'smsapi-async[cli]'\n"
        )
        return _BAD_INPUT
    return run(sys.argv[1:] if argv is None else argv)
