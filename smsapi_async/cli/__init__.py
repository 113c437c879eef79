"""The command line, ``smsapi-async`` (extra ``cli``: ``pip install 'smsapi-async[cli]'``).

The result goes to standard output, as tables or, with ``--json``, as one JSON document: money and
ratios as strings, dates in ISO 8601, UTC. An error is one line on standard error and an exit
code, which ``smsapi-async --help`` explains.
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
