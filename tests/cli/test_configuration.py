"""Tests of the configuration file, its profiles, and the options `--proxy` and `--ca-file`."""

import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Sandbox
from smsapi_async.sandbox.faults import FaultPlan, run_fault_proxy
from tests.cli.conftest import PASSWORD, Cli
from tests.client.tools import RawServer, port_of, read_request
from tests.transports.tools import answer

TO = "79037776655"
SECRET = "a value that nobody else may read"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the usual configuration file, in an empty directory for the test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "smsapi-async").mkdir()
    return tmp_path / "smsapi-async" / "config.toml"


@pytest.fixture
def ready(gateway: Sandbox, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a configuration file with the account of the sandbox, and return its path."""
    monkeypatch.setenv("SMSAPI_PASSWORD", PASSWORD)
    place.write_text(
        f'source_address = "TOP"\nlogin = "{gateway.login}"\nbase_url = "{gateway.base_url}"\n'
        '[profiles.shop]\nsource_address = "SHOP"\n[profiles.wrong]\nlogin = "nobody"\n',
        encoding="utf-8",
    )
    return place


def source(cli: Cli, gateway: Sandbox, *options: str) -> str:
    """Send a message, and return the source address of the message."""
    outcome = cli("send", TO, "Hello", *options)
    assert (outcome.code, outcome.err) == (0, "")
    return gateway.account.messages[-1].source_address


@pytest.mark.usefixtures("ready")
def test_the_order_of_the_sources(cli: Cli, gateway: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is: option, environment variable, profile, key outside the profiles."""
    assert source(cli, gateway) == "TOP"
    assert source(cli, gateway, "--profile", "shop") == "SHOP"
    monkeypatch.setenv("SMSAPI_PROFILE", "shop")
    assert source(cli, gateway) == "SHOP"
    monkeypatch.setenv("SMSAPI_SOURCE_ADDRESS", "ENV")
    assert source(cli, gateway) == "ENV"
    assert source(cli, gateway, "--profile", "wrong", "--login", gateway.login) == "ENV"
    assert source(cli, gateway, "--source-address", "OPTION") == "OPTION"


@pytest.mark.usefixtures("ready")
def test_a_variable_precedes_the_file(cli: Cli, gateway: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """`SMSAPI_LOGIN` and `SMSAPI_BASE_URL` precede the file, also the profile; an empty variable does not."""
    monkeypatch.setenv("SMSAPI_LOGIN", gateway.login)
    monkeypatch.setenv("SMSAPI_BASE_URL", "")
    assert cli("balance", "--profile", "wrong").code == 0
    monkeypatch.setenv("SMSAPI_LOGIN", "nobody")
    assert cli("balance").code == ExitCode.REJECTED
    monkeypatch.setenv("SMSAPI_BASE_URL", "no address")
    assert "--base-url" in cli("balance").err


@pytest.mark.sms_real
@pytest.mark.usefixtures("environment", "once")
def test_plain_http_in_the_environment(cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SMSAPI_ALLOW_PLAIN_HTTP precedes the key of the configuration file, and the option precedes both.

    The test sets SMSAPI_GUARD, so that no request leaves this machine.
    """
    monkeypatch.setenv("SMSAPI_BASE_URL", "http://sandbox.invalid:8099/rest")
    monkeypatch.setenv("SMSAPI_GUARD", "1")
    assert "--allow-plain-http" in cli("balance").err
    monkeypatch.setenv("SMSAPI_ALLOW_PLAIN_HTTP", "1")
    assert "the guard blocked" in cli("balance").err
    place.write_text("allow_plain_http = true")
    monkeypatch.setenv("SMSAPI_ALLOW_PLAIN_HTTP", "0")
    assert "--allow-plain-http" in cli("balance").err
    assert "the guard blocked" in cli("balance", "--allow-plain-http").err
    monkeypatch.setenv("SMSAPI_ALLOW_PLAIN_HTTP", "")
    assert "the guard blocked" in cli("balance").err
    monkeypatch.setenv("SMSAPI_ALLOW_PLAIN_HTTP", "maybe")
    outcome = cli("balance")
    assert outcome.code == ExitCode.BAD_INPUT
    assert "SMSAPI_ALLOW_PLAIN_HTTP" in outcome.err
    assert "maybe" not in outcome.err


@pytest.mark.parametrize("choose", ["--config", "SMSAPI_CONFIG"])
def test_another_file(
    cli: Cli, gateway: Sandbox, ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choose: str
) -> None:
    """`--config` and `SMSAPI_CONFIG` choose another file; the usual file is then not read."""
    other = tmp_path / "other.toml"
    other.write_bytes(b"\xef\xbb\xbf" + ready.read_bytes().replace(b"TOP", b"OTHER"))
    ready.write_text("not TOML")
    options = ["--config", str(other)] if choose == "--config" else []
    monkeypatch.setenv("SMSAPI_CONFIG", str(ready if options else other))
    assert source(cli, gateway, *options) == "OTHER"


@pytest.mark.usefixtures("environment")
def test_relative_paths(cli: Cli, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path in the file is relative to the directory of the file."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "list.csv").write_text("phone\n79031234567\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    place.write_text('ledger = "run.db"\nreport = "out.csv"\n')
    assert cli("batch", "../list.csv", "--text", "Hello").code == 0
    assert (place.parent / "run.db").exists()
    assert (place.parent / "out.csv").exists()
    place.write_text('ca_file = "missing.pem"')
    assert repr(str(place.parent / "missing.pem")) in cli("balance").err


@pytest.mark.parametrize("command", [["demo", "--speed", "0"], ["ledger", "summary", "no.db"]])
def test_commands_without_an_account(cli: Cli, place: Path, command: list[str]) -> None:
    """A command that uses no account does not read the file."""
    place.write_text("not TOML")
    assert "configuration" not in cli(*command).err


def test_types(cli: Cli, place: Path, tmp_path: Path) -> None:
    """Numbers, amounts, switches, lists and choices of the file reach the command."""
    (tmp_path / "list.csv").write_text("phone;text\n79031234567;Hello\n79031234567;Hello\n")
    place.write_text(
        "json = true\nby-time-zone = false\nconcurrency = 3\nrequests_per_second = 2.5\nprice = 3.20\n"
        'duplicates = "send"\ndry_run = true\ndelimiter = ";"\nheader = true\n'
    )
    outcome = cli("batch", str(tmp_path / "list.csv"))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.document["messages"] == 2


WRONG = [
    (
        "password = '{}'",
        "the key password cannot be used; remove the key, and set the environment variable SMS",
    ),
    ("[profiles.a]\nPassword = '{}'", "the key password of the profile a cannot be used; remove the key"),
    ("SMSAPI_PASSWORD = '{}'", "SMSAPI_PASSWORD"),
    ("lgoin = '{}'", "the key lgoin cannot be used; did you mean login?"),
    ("[profiles.b]\nlgoin = '{}'", "the key lgoin of the profile b cannot be used; did you mean login?"),
    ("[profile.b]\nlogin = '{}'", "the key profile cannot be used"),
    ("[work]\nlogin = '{}'", "the key work cannot be used"),
    ("config = '{}'", "the key config cannot be used"),
    ("to = '{}'", "the key to cannot be used"),
    ("text = '{}'", "the key text cannot be used; remove the key, and pass --text on the command line"),
    ("again = true", "the key again cannot be used; remove the key, and pass --again on the command line"),
    ("send-date = '{}'", "pass --send-date on the command line"),
    ("'{}' = 1", "the key cannot be used"),
    ("'{0}' = '{0}'", "the key cannot be used"),
    ("login = 79037776655", "the key login cannot be used; write a text in quotation marks"),
    ("login = ['{}']", "write a text in quotation marks"),
    ("source_address = true", "write a text in quotation marks"),
    ("concurrency = '{}'", "the key concurrency cannot be used; write a whole number"),
    ("concurrency = true", "write a whole number"),
    ("concurrency = 1.5", "write a whole number"),
    ("price = '{}'", "write a number"),
    ("price = nan", "write a number"),
    ("deadline = inf", "write a number"),
    ("allow_plain_http = '{}'", "write true or false"),
    ("allow_plain_http = 1", "write true or false"),
    ("api_version = 3", "write one of these without quotation marks: 1, 2"),
    ("api_version = true", "write one of these without quotation marks: 1, 2"),
    ("api_version = '2'", "write one of these without quotation marks: 1, 2"),
    ("duplicates = '{}'", "write one of these in quotation marks: skip, send"),
    ("exclude = '{}'\nexclude = 1", "the text at end of document"),
    ("exclude = ['stop.csv']", "pass --exclude on the command line"),
    ("base-url = 'a'\nbase_url = '{}'", "write the key once"),
    ("profiles = '{}'", "write one table [profiles.NAME]"),
    ("profiles.a = '{}'", "write one table [profiles.NAME]"),
    ("login = {}", "the text at line 1"),
    ("login = '{}", "the text at"),
    ("[[[[" * 100, "the text"),
    ("a = " + "[" * 5000, "the text"),
]


@pytest.mark.usefixtures("environment", "without_garbage_collection")
@pytest.mark.parametrize(("content", "words"), WRONG, ids=[words[-30:] for _, words in WRONG])
def test_a_wrong_file(cli: Cli, gateway: Sandbox, place: Path, content: str, words: str) -> None:
    """If the file is wrong, the error names the key and what to do, shows no value, and nothing is sent."""
    place.write_text(content.replace("{}", SECRET).replace("{0}", SECRET))
    outcome = cli("send", TO, "Hello")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (ExitCode.BAD_INPUT, "", 1)
    assert words in outcome.err
    assert repr(str(place)) in outcome.err
    assert SECRET not in outcome.err
    assert TO not in outcome.err
    assert gateway.account.arrivals == []


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("key", "variable"), [("base_url", "SMSAPI_BASE_URL"), ("source_address", "SMSAPI_SOURCE_ADDRESS")]
)
def test_a_value_that_the_client_refuses(
    cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch, key: str, variable: str
) -> None:
    """If the client refuses a value of the file, the error names the option and the file."""
    monkeypatch.delenv(variable)
    place.write_text(f"{key} = 'Отправитель'", encoding="utf-8")
    option = f"--{key.replace('_', '-')}"
    outcome = cli("send", TO, "Hello")
    assert outcome.code == ExitCode.BAD_INPUT
    assert outcome.err.startswith(f"smsapi-async: {option}: ")
    assert outcome.err.endswith(f"(value of the configuration file {str(place)!r})\n")
    assert "configuration" not in cli("send", TO, "Hello", option, "Я").err


@pytest.mark.usefixtures("environment")
def test_an_unknown_profile(cli: Cli, ready: Path) -> None:
    """If there is no such profile, the error lists the profiles; a value in place of a name is not shown."""
    err = cli("balance", "--profile", "shpo").err
    assert "the profile shpo cannot be used; did you mean shop? the file has: shop, wrong\n" in err
    assert SECRET not in cli("balance", "--profile", SECRET).err
    ready.write_text("")
    assert "the file has: no profile" in cli("balance", "--profile", "shop").err


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--config", "missing.toml"], "No such file"),
        (["--config", "."], "directory"),
        (["--config", "bad\0name"], "the file cannot be used"),
        (["--config", "cp1251.toml"], "save the file in UTF-8"),
        (["--config", "/dev/zero"], "at most 1048576 bytes"),
        (["--profile", "shop"], "No such file"),
    ],
)
def test_an_unreadable_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    """If the chosen file, or the file of a chosen profile, cannot be read, the command makes no request."""
    monkeypatch.chdir(tmp_path)
    Path("cp1251.toml").write_bytes('login = "Я"'.encode("cp1251"))
    outcome = cli("balance", *options)
    assert (outcome.code, outcome.err.count("\n")) == (ExitCode.BAD_INPUT, 1)
    assert words in outcome.err


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(alphabet="abpq[]{}=.,'\"\n# 01-_é", max_size=60))
def test_any_text_is_read_or_refused(cli: Cli, place: Path, content: str) -> None:
    """Any content of the file ends in one line with exit code 2: a wrong file, or a missing login."""
    place.write_text(content, encoding="utf-8")
    outcome = cli("balance")
    assert (outcome.code, outcome.err.count("\n")) == (ExitCode.BAD_INPUT, 1)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("as_option", [True, False])
@pytest.mark.sms_real
def test_proxy(cli: Cli, place: Path, *, as_option: bool) -> None:
    """`--proxy`, or the key proxy of the file, sends all requests through the proxy, with its login."""
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        while request := read_request(connection):
            heard.append(request)
            connection.sendall(answer(b"{}", status=b"403 Forbidden"))

    with RawServer(serve) as server:
        proxy = f"http://user:{PASSWORD}@127.0.0.1:{server.port}"
        place.write_text("" if as_option else f'proxy = "{proxy}"')
        options = ["--base-url", "http://gateway.invalid/rest", "--allow-plain-http"]
        outcome = cli("balance", *options, *(["--proxy", proxy] if as_option else []))
    assert outcome.code != 0
    assert heard[0].partition(b" ")[2].startswith(b"http://gateway.invalid/rest/")
    assert b"Proxy-Authorization: Basic " + b64encode(f"user:{PASSWORD}".encode()) in heard[0]


@pytest.fixture
def tls_gateway(gateway: Sandbox, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the https:// address of a sandbox, and the file with the certificate of its authority."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            run_fault_proxy("127.0.0.1", port_of(gateway), FaultPlan(), tls=context)
        ) as front,
    ):
        yield front.base_url, tmp_path / "ca.pem"


@pytest.mark.usefixtures("environment", "once")
def test_ca_file(cli: Cli, tls_gateway: tuple[str, Path]) -> None:
    """With `--ca-file`, the certificate of the gateway is trusted; without the option, it is not."""
    address, file = tls_gateway
    assert cli("balance", "--base-url", address).code == ExitCode.READ_FAILED
    assert cli("balance", "--base-url", address, "--ca-file", str(file)).out == "100.00\n"
