"""The command line, ``smsapi-async``. ``pip install 'smsapi-async[cli]'`` installs the packages for it.

A command prints its result to standard output: as tables or, with ``--json``, as one JSON document.
Only ``incoming --follow --json`` prints one JSON document for each message, each on its own line.
In JSON, amounts of money and ratios are strings. Dates are in ISO 8601, in UTC.

A command that fails prints the reason as one line to standard error and returns an exit code.
``smsapi-async help exit-codes`` lists the exit codes. With ``--json``, the JSON document on standard output
then has the key ``error``.
"""

import sys
from collections.abc import Sequence

_EXTRA = frozenset(
    {
        "charset_normalizer",
        "cyclopts",
        "phonenumbers",
        "platformdirs",
        "python_calamine",
        "rich",
        "starlette",
        "tomli_w",
        "uvicorn",
        "xlsxwriter",
    }
)
# The value of `ExitCode.BAD_INPUT`, which cannot be imported here because `exit_codes` needs the extra
# ``cli``.
_BAD_INPUT = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the arguments after the program name; None means the arguments of this process.
    """
    # The import is inside the function, because `run` needs the extra ``cli``. Without the extra ``cli``, the
    # user must get a hint and not a traceback.
    try:
        from smsapi_async.cli.error_stream import unfailing_stderr  # noqa: PLC0415
        from smsapi_async.cli.run import run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        # Raise the exception again if the missing module does not belong to the extra ``cli``: the
        # installation has a defect, and the traceback shows the import that failed.
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(
            f"smsapi-async: the module {error.name} is missing; run: pip install 'smsapi-async[cli]'\n"
        )
        return _BAD_INPUT
    with unfailing_stderr():
        return run(sys.argv[1:] if argv is None else argv)
