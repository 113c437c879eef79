"""The topics of the command ``help``, and the completion script."""

import sys
from collections.abc import Callable, Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.configuration import REFUSED_KEYS, usual_path
from smsapi_async.cli.exit_codes import EXIT_CODE_MEANINGS

_CONFIGURATION = """\
The configuration file has values of options, in TOML. Each command that uses an account reads the \
file. A key is the name of an option, for example ca_file for --ca-file. A table [profiles.NAME] has the \
values of a profile:

  source_address = "ACME"

  [profiles.work]
  login = "acme"
  proxy = "http://127.0.0.1:3128"

  [profiles.test]
  login = "sandbox"
  base_url = "http://127.0.0.1:8099/rest"

--profile NAME or the environment variable SMSAPI_PROFILE chooses the profile. --config FILE or the \
environment variable SMSAPI_CONFIG chooses another file. The usual file on this computer is {path}.

If a value has several sources, the first of these counts: option, environment variable, profile, key \
outside the profiles. These options have an environment variable: --login (SMSAPI_LOGIN), --base-url \
(SMSAPI_BASE_URL), --source-address (SMSAPI_SOURCE_ADDRESS) and --allow-plain-http \
(SMSAPI_ALLOW_PLAIN_HTTP, 1 or 0). With SMSAPI_GUARD=1, each command refuses all hosts except 127.0.0.1, \
::1 and localhost, for example in tests. A relative path in the file is relative to the directory of the file.

The file cannot contain the password: set the environment variable SMSAPI_PASSWORD, or type the password \
in the terminal. These options are not allowed in the file, because they decide what one run sends: \
{refused}."""


def _exit_codes() -> RenderableType:
    rows = output.table("Code", "Meaning", right=["Code"])
    for code, meaning in EXIT_CODE_MEANINGS.items():
        rows.add_row(str(int(code)), meaning)
    wait = (
        "`batch --wait` returns the exit code of the sending. If this exit code is 0, or if Ctrl-C stops the "
        "tracking, `batch --wait` returns the exit code of the tracking."
    )
    as_json = (
        "With --json, a command that fails prints the error as JSON to standard output, too: the key `error` "
        "has the exit code, its name and the line of standard error."
    )
    return Group(rows, "", Text(wait), "", Text(as_json))


def _configuration() -> RenderableType:
    refused = ", ".join(f"--{key.replace('_', '-')}" for key in REFUSED_KEYS)
    return Text(_CONFIGURATION.format(path=usual_path(), refused=refused))


TOPICS: Mapping[str, Callable[[], RenderableType]] = {
    "exit-codes": _exit_codes,
    "configuration": _configuration,
}
"""The topics by name, each with a function that returns its text."""


async def write_script(generate: Callable[[], str]) -> None:
    """Write a completion script to standard output.

    Args:
        generate: the function that returns the script.

    Raises:
        OutputFailed: if writing failed.
    """
    output.write_text(generate())
    sys.stdout.flush()


async def topic_text(name: str) -> RenderableType:
    """Return the text of a topic.

    Args:
        name: a key of `TOPICS`.
    """
    return TOPICS[name]()
