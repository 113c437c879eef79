"""An invalid call sends no request, and its error contains the name of the parameter but no private value."""

import ssl
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import attrs
import httpx
import pytest

from smsapi_async import (
    AsyncSmsClient,
    ClientClosed,
    RetryPolicy,
    SmsApiError,
    Timeouts,
    UsageError,
    ValidationError,
    WrongEventLoop,
    segment,
)

NUMBER = "+79161002030"
TEXT = "Ваш код 4821, никому не говорите"
PASSWORD = "correct-horse-battery"
PRIVATE = (NUMBER, NUMBER[1:], "9161002030", TEXT, "4821", PASSWORD)
AWARE = datetime(2026, 1, 28, 16, 0, tzinfo=UTC)
NAIVE = datetime(2026, 1, 28, 16, 0)  # noqa: DTZ001
LATER = AWARE + timedelta(microseconds=1)
END_OF_TIME = datetime.max.replace(tzinfo=UTC)


@attrs.define
class Gateway:
    """A fake gateway that records every request."""

    requests: list[httpx.Request] = attrs.Factory(list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Record the request, and return a response with a session id (for a login) or with a balance."""
        self.requests.append(request)
        body = '"Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1"' if "session" in request.url.path else "47.30"
        return httpx.Response(200, text=body)


def _client(gateway: Gateway, **options: Any) -> AsyncSmsClient:
    """Return a client for the fake gateway; `options` override the parameters of the constructor."""
    settings: dict[str, Any] = {"login": "acme", "password": PASSWORD, "source_address": "DEVIN0"}
    settings["transport"] = httpx.MockTransport(gateway)
    return AsyncSmsClient(**{**settings, **options})


def _assert_silent(error: BaseException, private: tuple[str, ...]) -> None:
    """Assert that the error, its attributes and the messages of its causes contain no value of `private`."""
    shown = f"{error} {error!r} {vars(error)}"
    printed = traceback.TracebackException.from_exception(error)
    while printed is not None:
        shown += "".join(printed.format_exception_only())
        following = printed.__cause__ or (None if printed.__suppress_context__ else printed.__context__)
        if following is None:
            break
        printed = following
    for value in private:
        assert value not in shown


Call = Callable[[AsyncSmsClient], Awaitable[object]]


@attrs.frozen
class Bad:
    """An invalid call.

    Attributes:
        call: the function that calls the client.
        parameter: the parameter that the error must contain.
        private: values that the error must not contain, besides the values in `PRIVATE`.
    """

    call: Call
    parameter: str
    private: tuple[str, ...] = ()


def _bad_destination(address: Any, *private: str) -> Bad:
    return Bad(lambda client: client.send(address, TEXT), "destination_address", private)


def _bad_option(name: str, value: Any, parameter: str | None = None) -> Bad:
    return Bad(lambda client: client.send(NUMBER, TEXT, **{name: value}), parameter or name)


def _bad_bulk(numbers: Any, parameter: str, text: Any = TEXT, **options: Any) -> Bad:
    return Bad(lambda client: client.send_bulk(numbers, text, **options), parameter)


def _bad_local(name: str, value: Any) -> Bad:
    options = {"send_date": NAIVE, name: value}
    return Bad(lambda client: client.send_by_time_zone(NUMBER, TEXT, **options), name)


CALLS: dict[str, Bad] = {
    "send: an empty number": _bad_destination(""),
    "send: a short number": _bad_destination("654321", "654321"),
    "send: a long number": _bad_destination("7916100203040506", "7916100203040506"),
    "send: a leading zero": _bad_destination("09161002030", "09161002030"),
    "send: a digit short": _bad_destination("7916100203", "7916100203"),
    "send: blanks in the number": _bad_destination("7 916 100 20 30", "7 916 100 20 30"),
    "send: a line end after the number": _bad_destination("79161002030\n"),
    "send: signs in the number": _bad_destination("+7(916)100-20-30", "+7(916)100-20-30"),
    "send: two numbers in one": _bad_destination("79161002030,79161002031", "79161002031"),
    "send: digits of another script": _bad_destination("٧٩٠٣١٢٣٤٥٦٧", "٧٩٠٣١٢٣٤٥٦٧"),
    "send: wide digits": _bad_destination("７９０３１２３４５６７", "７９０３１２３４５６７"),
    "send: a parameter smuggled in": _bad_destination("79161002030&Data=x"),
    "send: None for the number": _bad_destination(None),
    "send: an int for the number": _bad_destination(79161002030),
    "send: bytes for the number": _bad_destination(b"79161002030"),
    "send: a list for the number": _bad_destination([NUMBER]),
    "send: an empty text": Bad(lambda client: client.send(NUMBER, ""), "text"),
    "send: a text of 2001 characters": Bad(lambda client: client.send(NUMBER, "ж" * 2001), "text", ("жж",)),
    "send: 1001 emoji": Bad(lambda client: client.send(NUMBER, "😀" * 1001), "text", ("😀",)),
    "send: half a surrogate pair": Bad(
        lambda client: client.send(NUMBER, TEXT + "\ud83d"), "text", ("\\ud83d",)
    ),
    "send: None for the text": Bad(lambda client: client.send(NUMBER, None), "text"),  # type: ignore[arg-type]
    "send: bytes for the text": Bad(lambda client: client.send(NUMBER, TEXT.encode()), "text"),  # type: ignore[arg-type]
    "send: a source of 12 letters": _bad_option("source_address", "ABCDEFGHIJKL"),
    "send: a source of 16 digits": _bad_option("source_address", "1234567890123456"),
    "send: a Cyrillic source": _bad_option("source_address", "Магазин"),
    "send: an empty source": _bad_option("source_address", ""),
    "send: an int for the source": _bad_option("source_address", 79161002030),
    "send: a naive date": _bad_option("send_date", NAIVE),
    "send: a date without a time": _bad_option("send_date", date(2026, 1, 28)),
    "send: a str for the date": _bad_option("send_date", "2026-01-28T16:00:00"),
    "send: a timestamp for the date": _bad_option("send_date", 1294045911),
    "send: the last moment of the calendar": _bad_option("send_date", END_OF_TIME),
    "send: a negative validity": _bad_option("validity", -1),
    "send: a validity beyond 32 bits": _bad_option("validity", 2**31),
    "send: half a minute of validity": _bad_option("validity", timedelta(seconds=90)),
    "send: a negative timedelta": _bad_option("validity", -timedelta(minutes=1)),
    "send: a float for the validity": _bad_option("validity", 10.0),
    "send: a bool for the validity": _bad_option("validity", True),
    "send: a str for the validity": _bad_option("validity", "10"),
    "send_by_time_zone: an aware date": _bad_local("send_date", AWARE),
    "send_by_time_zone: no date": _bad_local("send_date", None),
    "send_by_time_zone: a str for the date": _bad_local("send_date", "2026-01-28T16:00:00"),
    "send_by_time_zone: a bad validity": _bad_local("validity", -1),
    "send_by_time_zone: a bad source": _bad_local("source_address", "Магазин"),
    "send_by_time_zone: a bad number": Bad(
        lambda client: client.send_by_time_zone(NUMBER[:-1], TEXT, send_date=NAIVE),
        "destination_address",
    ),
    "send_by_time_zone: an empty text": Bad(
        lambda client: client.send_by_time_zone(NUMBER, "", send_date=NAIVE), "text"
    ),
    "send_bulk: nobody": _bad_bulk([], "destination_addresses"),
    "send_bulk: a str": _bad_bulk(NUMBER, "destination_addresses"),
    "send_bulk: a set": _bad_bulk({NUMBER}, "destination_addresses"),
    "send_bulk: a generator": _bad_bulk((number for number in [NUMBER]), "destination_addresses"),
    "send_bulk: None": _bad_bulk(None, "destination_addresses"),
    "send_bulk: a bad number among good ones": _bad_bulk([NUMBER, NUMBER, "12"], "destination_addresses[2]"),
    "send_bulk: None among numbers": _bad_bulk([NUMBER, None], "destination_addresses[1]"),
    "send_bulk: an empty text": _bad_bulk([NUMBER], "text", ""),
    "send_bulk: a long text": _bad_bulk([NUMBER], "text", "a" * 2001),
    "send_bulk: a naive date": _bad_bulk([NUMBER], "send_date", send_date=NAIVE),
    "send_bulk: a bad source": _bad_bulk([NUMBER], "source_address", source_address="A" * 12),
    "send_bulk: a bad validity": _bad_bulk([NUMBER], "validity", validity=timedelta(seconds=1)),
    "state: an empty id": Bad(lambda client: client.state(""), "segment_id"),
    "state: a blank id": Bad(lambda client: client.state("  "), "segment_id"),
    "state: an int": Bad(lambda client: client.state(579700854169272358), "segment_id"),  # type: ignore[arg-type]
    "state: all the ids": Bad(lambda client: client.state(("1", "2")), "segment_id"),  # type: ignore[arg-type]
    "state: half a surrogate pair": Bad(lambda client: client.state("\ud83d"), "segment_id"),
    "incoming: a naive beginning": Bad(lambda client: client.incoming(since=NAIVE), "since"),
    "incoming: a naive end": Bad(lambda client: client.incoming(until=NAIVE), "until"),
    "incoming: a str": Bad(lambda client: client.incoming(since="2026-01-28"), "since"),  # type: ignore[arg-type]
    "incoming: a reversed period": Bad(
        lambda client: client.incoming(since=AWARE, until=AWARE - timedelta(days=1)), "since"
    ),
    "incoming: reversed by a microsecond": Bad(
        lambda client: client.incoming(since=LATER, until=AWARE), "since"
    ),
    "incoming: an end that no clock will show": Bad(
        lambda client: client.incoming(until=END_OF_TIME), "until"
    ),
    "statistics: a naive beginning": Bad(lambda client: client.statistics(NAIVE, AWARE), "start"),
    "statistics: a naive end": Bad(lambda client: client.statistics(AWARE, NAIVE), "end"),
    "statistics: a date": Bad(lambda client: client.statistics(date(2026, 1, 28), AWARE), "start"),  # type: ignore[arg-type]
    "statistics: None": Bad(lambda client: client.statistics(AWARE, None), "end"),  # type: ignore[arg-type]
    "statistics: a reversed period": Bad(
        lambda client: client.statistics(AWARE, AWARE - timedelta(seconds=1)), "start"
    ),
    "statistics: reversed by a microsecond": Bad(lambda client: client.statistics(LATER, AWARE), "start"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", CALLS)
async def test_a_bad_call(name: str) -> None:
    """An invalid call raises `ValidationError`, sends no request and shows no private value."""
    bad = CALLS[name]
    gateway = Gateway()
    async with _client(gateway) as client:
        with pytest.raises(ValidationError) as caught:
            await bad.call(client)
    error = caught.value
    assert error.parameter == bad.parameter
    assert error.hint
    assert str(error).startswith(f"{bad.parameter}: ")
    assert gateway.requests == []
    _assert_silent(error, (*PRIVATE, *bad.private))


@pytest.mark.anyio
async def test_no_source_address_anywhere() -> None:
    """If there is no source address, the error says how to set a source address.

    The error contains the name of the parameter and of the environment variable.
    """
    gateway = Gateway()
    async with _client(gateway, source_address=None) as client:
        with pytest.raises(ValidationError, match="SMSAPI_SOURCE_ADDRESS") as caught:
            await client.send(NUMBER, TEXT)
        assert caught.value.parameter == "source_address"
        with pytest.raises(ValidationError, match="pass a source address"):
            await client.send_bulk([NUMBER], TEXT)
    assert gateway.requests == []


# `SETTINGS` maps the name of a test case to the options of the client and to the parameter that the error
# must contain.
SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "an empty login": ({"login": ""}, "login"),
    "no login": ({"login": None}, "login"),
    "a login with half a surrogate pair": ({"login": "acme\ud83d"}, "login"),
    "an empty password": ({"password": ""}, "password"),
    "bytes for the password": ({"password": PASSWORD.encode()}, "password"),
    "a password with half a surrogate pair": ({"password": PASSWORD + "\ud83d"}, "password"),
    "a long source": ({"source_address": "ABCDEFGHIJKL"}, "source_address"),
    "a Cyrillic source": ({"source_address": "Магазин"}, "source_address"),
    "an empty source": ({"source_address": ""}, "source_address"),
    "no base URL": ({"base_url": ""}, "base_url"),
    "None for the base URL": ({"base_url": None}, "base_url"),
    "a base URL without a scheme": ({"base_url": "integrationapi.net/rest"}, "base_url"),
    "a base URL of another scheme": ({"base_url": "ftp://integrationapi.net/rest"}, "base_url"),
    "a base URL without a host": ({"base_url": "https:///rest"}, "base_url"),
    "a base URL with a blank host": ({"base_url": "https://integration api.net/rest"}, "base_url"),
    "a base URL after a blank": ({"base_url": " https://integrationapi.net/rest"}, "base_url"),
    "a base URL with a control character": ({"base_url": "https://integrationapi.net/\x00"}, "base_url"),
    "a base URL with a line end": ({"base_url": "https://integrationapi.net\n/rest"}, "base_url"),
    "a base URL with half a surrogate pair": ({"base_url": "https://integrationapi.net/\ud83d"}, "base_url"),
    "a base URL with a bad port": ({"base_url": "https://integrationapi.net:99999/rest"}, "base_url"),
    "a base URL with credentials": ({"base_url": f"https://acme:{PASSWORD}@integrationapi.net"}, "base_url"),
    "a base URL with credentials and a bad port": (
        {"base_url": f"https://acme:{PASSWORD}@integrationapi.net:99999"},
        "base_url",
    ),
    "a base URL with credentials and a bad host": ({"base_url": f"https://acme:{PASSWORD}@[::1"}, "base_url"),
    "a base URL with a query": (
        {"base_url": f"https://integrationapi.net/rest?Password={PASSWORD}"},
        "base_url",
    ),
    "a base URL with a query and a bad port": (
        {"base_url": f"https://integrationapi.net:99999/rest?Password={PASSWORD}"},
        "base_url",
    ),
    "a base URL with a fragment": ({"base_url": "https://integrationapi.net/rest#top"}, "base_url"),
    "plain HTTP beyond loopback": ({"base_url": "http://integrationapi.net/rest"}, "base_url"),
    "plain HTTP to a name like loopback": ({"base_url": "http://127.0.0.1.example.org/rest"}, "base_url"),
    "plain HTTP to the local network": ({"base_url": "http://192.168.0.1/rest"}, "base_url"),
    "no concurrency": ({"concurrency": 0}, "concurrency"),
    "a negative concurrency": ({"concurrency": -1}, "concurrency"),
    "a float for the concurrency": ({"concurrency": 2.5}, "concurrency"),
    "a bool for the concurrency": ({"concurrency": True}, "concurrency"),
    "a number for the timeouts": ({"timeouts": 5}, "timeouts"),
    "httpx's own timeouts": ({"timeouts": httpx.Timeout(5)}, "timeouts"),
    "a number for the retry policy": ({"retry": 3}, "retry"),
    "a number for the cool-down": ({"login_cool_down": 60}, "login_cool_down"),
    "a negative cool-down": ({"login_cool_down": -timedelta(seconds=1)}, "login_cool_down"),
    "a missing file of certificates": ({"transport": None, "ca_file": Path("/no/such/file")}, "ca_file"),
    "a directory for the file of certificates": ({"transport": None, "ca_file": "/"}, "ca_file"),
    "a file without certificates": ({"transport": None, "ca_file": __file__}, "ca_file"),
    "a number for the file of certificates": ({"transport": None, "ca_file": 5}, "ca_file"),
    "a file name with a null character": ({"transport": None, "ca_file": "ca\x00.pem"}, "ca_file"),
    "certificates twice": ({"ca_file": "ca.pem", "ssl_context": ssl.create_default_context()}, "ca_file"),
    "a bool for the TLS context": ({"transport": None, "ssl_context": True}, "ssl_context"),
    "a TLS context beside a transport": ({"ssl_context": ssl.create_default_context()}, "ssl_context"),
    "a number for the proxy": ({"transport": None, "proxy": 3128}, "proxy"),
    "an empty proxy": ({"transport": None, "proxy": ""}, "proxy"),
    "a proxy of another scheme": ({"transport": None, "proxy": f"ftp://acme:{PASSWORD}@127.0.0.1"}, "proxy"),
    "a proxy with a control character": ({"transport": None, "proxy": f"http://a:{PASSWORD}\x00@h"}, "proxy"),
    "a proxy without a host": ({"transport": None, "proxy": "http://"}, "proxy"),
    "a proxy beside a transport": ({"proxy": f"http://acme:{PASSWORD}@127.0.0.1:3128"}, "proxy"),
    "an endless base URL": ({"base_url": "https://h/" + "x" * 70_000}, "base_url"),
    "a number for the clock": ({"clock": 5}, "clock"),
    "one observer without a list": ({"observers": print}, "observers"),
    "an observer that cannot be called": ({"observers": [5]}, "observers[0]"),
    "a number for the session store": ({"session_store": 5}, "session_store"),
    "a rate of nothing": ({"requests_per_second": 0}, "requests_per_second"),
    "a bool for the rate": ({"requests_per_second": True}, "requests_per_second"),
    "a number for the pace": ({"pace": 50}, "pace"),
    "a pace without a method": ({"pace": object()}, "pace"),
    "a number for the client": ({"client": 5}, "client"),
    "a synchronous client": ({"client": httpx.Client}, "client"),
    "a number for the transport": ({"transport": 5}, "transport"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_bad_setting(name: str) -> None:
    """The constructor refuses an invalid setting.

    The error does not show the password, even if the setting contains the password.
    """
    options, parameter = SETTINGS[name]
    gateway = Gateway()
    with pytest.raises(ValidationError) as caught:
        _client(gateway, **options)
    assert caught.value.parameter == parameter
    assert caught.value.hint
    assert gateway.requests == []
    _assert_silent(caught.value, PRIVATE)


@pytest.mark.parametrize("given", ["client", "transport"])
def test_a_file_of_certificates_beside_ones_own_client(given: str, tmp_path: Path) -> None:
    """`ca_file` is refused together with `client` or `transport`, because the file would have no effect."""
    import trustme  # noqa: PLC0415 - only this test needs trustme

    ca_file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(ca_file))
    own = {"client": httpx.AsyncClient(), "transport": None} if given == "client" else {}
    with pytest.raises(ValidationError) as caught:
        _client(Gateway(), ca_file=ca_file, **own)
    assert caught.value.parameter == "ca_file"


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8099/rest",
        "http://localhost:8099",
        "http://[::1]:8099",
        "https://gateway.example/",
        "HTTPS://Gateway.Example/rest",
        "HTTP://LOCALHOST.:8099",
        "https://gateway.example.:443/rest",
        "https://gateway.example:/rest",
        "https://my_gateway/rest",
        "https://xn--e1afmkfd.xn--p1ai/rest",
        "https://gateway.example/a/b~c!$&'()*+,;=:%20/rest",
    ],
)
def test_addresses_that_are_fine(address: str) -> None:
    """The constructor accepts HTTPS for any host, and plain HTTP only for a loopback host."""
    assert "AsyncSmsClient" in repr(_client(Gateway(), base_url=address))


def test_plain_http_when_it_is_asked_for() -> None:
    """With `allow_plain_http=True`, the constructor accepts plain HTTP for any host."""
    assert "AsyncSmsClient" in repr(_client(Gateway(), base_url="http://10.0.0.1", allow_plain_http=True))


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), None, "5", True, timedelta(seconds=5)])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *[(Timeouts, name) for name in ("connect", "read", "write", "pool")],
        *[(RetryPolicy, name) for name in ("attempts", "total", "initial", "maximum", "retry_after_limit")],
    ],
)
def test_bad_timeouts_and_retries(kind: type[Any], name: str, value: object) -> None:
    """A timeout or retry setting must be positive and finite.

    The error contains the full name of the parameter, for example `Timeouts.read`.
    """
    with pytest.raises(ValidationError) as caught:
        kind(**{name: value})
    assert caught.value.parameter == f"{kind.__name__}.{name}"


def test_half_an_attempt() -> None:
    """`RetryPolicy` refuses a number of attempts that is not a whole number."""
    with pytest.raises(ValidationError) as caught:
        RetryPolicy(attempts=2.5)  # type: ignore[arg-type]
    assert caught.value.parameter == "RetryPolicy.attempts"


@pytest.mark.parametrize("missing", ["SMSAPI_LOGIN", "SMSAPI_PASSWORD"])
@pytest.mark.parametrize("value", [None, ""])
def test_an_environment_without_credentials(
    monkeypatch: pytest.MonkeyPatch, missing: str, value: str | None
) -> None:
    """If an environment variable is missing, the error of `from_env` contains the name of this variable.

    The error does not show the values of the other variables.
    """
    monkeypatch.setenv("SMSAPI_LOGIN", "acme")
    monkeypatch.setenv("SMSAPI_PASSWORD", PASSWORD)
    if value is None:
        monkeypatch.delenv(missing)
    else:
        monkeypatch.setenv(missing, value)
    with pytest.raises(ValidationError) as caught:
        AsyncSmsClient.from_env()
    assert caught.value.parameter == missing
    _assert_silent(caught.value, PRIVATE)


@pytest.mark.parametrize(
    ("variable", "value", "parameter"),
    [
        ("SMSAPI_BASE_URL", "http://integrationapi.net", "base_url"),
        ("SMSAPI_SOURCE_ADDRESS", "Магазин", "source_address"),
    ],
)
def test_a_bad_value_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, parameter: str
) -> None:
    """`from_env` checks the values in the environment as the constructor checks its arguments."""
    monkeypatch.setenv("SMSAPI_LOGIN", "acme")
    monkeypatch.setenv("SMSAPI_PASSWORD", PASSWORD)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError) as caught:
        AsyncSmsClient.from_env()
    assert caught.value.parameter == parameter


ENVIRONMENT = {
    "SMSAPI_LOGIN": "acme",
    "SMSAPI_PASSWORD": PASSWORD,
    "SMSAPI_BASE_URL": "https://gateway.example/rest",
    "SMSAPI_SOURCE_ADDRESS": "ACME",
}


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ('"{}"', "quotation marks"),
        ("'{}'", "quotation marks"),
        ('  "{}" ', "quotation marks"),
        ('"{}"\r', "quotation marks"),
        ("{} # the account", "a comment"),
        ("{}\t#account", "a comment"),
        ('"{}" # the account', "a comment"),
        ("# {}", "a comment"),
    ],
)
@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_value_of_an_env_file(monkeypatch: pytest.MonkeyPatch, name: str, form: str, problem: str) -> None:
    """`from_env` refuses a value that still has the quotation marks or the comment of an env file.

    The error contains the name of the variable, and does not show the value.
    """
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, form.format(value) if variable == name else value)
    with pytest.raises(ValidationError) as caught:
        AsyncSmsClient.from_env()
    assert caught.value.parameter == name
    assert caught.value.value == f"a value with {problem}"
    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        if frame.f_globals["__name__"].startswith("smsapi_async"):
            assert PASSWORD not in repr(frame.f_locals)
    _assert_silent(caught.value, (*PRIVATE, ENVIRONMENT[name]))


@pytest.mark.parametrize("password", ['"quoted"', "two # parts", "#first", "it's", "a#b", '"', "'\""])
def test_a_password_with_quotation_marks(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    """Every password can be passed as a parameter, and a parameter replaces its variable unread."""
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("SMSAPI_PASSWORD", '"refused"')
    AsyncSmsClient.from_env(password=password)
    if password not in {'"quoted"', "two # parts"}:
        monkeypatch.setenv("SMSAPI_PASSWORD", password)
        AsyncSmsClient.from_env()


@pytest.mark.parametrize("value", ["maybe", "2", "enabled", "http", "'1'", "1 # yes", PASSWORD])
@pytest.mark.parametrize("name", ["SMSAPI_ALLOW_PLAIN_HTTP", "SMSAPI_GUARD"])
def test_a_switch_with_another_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """If a switch in the environment is neither on nor off, the error of `from_env` names the variable.

    The value may be a secret that was assigned to the wrong variable, so the error does not show the value.
    """
    for variable, given in ENVIRONMENT.items():
        monkeypatch.setenv(variable, given)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        AsyncSmsClient.from_env()
    assert caught.value.parameter == name
    _assert_silent(caught.value, PRIVATE)


@pytest.mark.parametrize(
    ("value", "is_allowed"),
    [
        *((value, True) for value in ("1", "true", "YES", "On", " 1 ")),
        *((value, False) for value in ("0", "False", "no", "off", "")),
    ],
)
def test_plain_http_in_the_environment(monkeypatch: pytest.MonkeyPatch, value: str, is_allowed: bool) -> None:
    """With SMSAPI_ALLOW_PLAIN_HTTP=1, `from_env` accepts the URL of a sandbox in another container.

    A parameter takes precedence over the variable.
    """
    for variable, given in {**ENVIRONMENT, "SMSAPI_BASE_URL": "http://sandbox:8099/rest"}.items():
        monkeypatch.setenv(variable, given)
    monkeypatch.setenv("SMSAPI_ALLOW_PLAIN_HTTP", value)
    if is_allowed:
        assert "http://sandbox:8099/rest" in repr(AsyncSmsClient.from_env())
    else:
        with pytest.raises(ValidationError, match="SMSAPI_ALLOW_PLAIN_HTTP=1"):
            AsyncSmsClient.from_env()
    assert "http://sandbox:8099/rest" in repr(AsyncSmsClient.from_env(allow_plain_http=True))
    with pytest.raises(ValidationError, match="base_url"):
        AsyncSmsClient.from_env(allow_plain_http=False)


@pytest.mark.parametrize("text", [None, 5, TEXT.encode(), TEXT + "\ud83d"])
def test_a_text_that_cannot_be_segmented(text: Any) -> None:
    """`segment` refuses a value that is not a string, and a string with a lone surrogate.

    The error does not show the text.
    """
    with pytest.raises(ValidationError) as caught:
        segment(text)
    assert caught.value.parameter == "text"
    _assert_silent(caught.value, PRIVATE)


GOOD_CALLS: dict[str, Call] = {
    "balance": lambda client: client.balance(),
    "send": lambda client: client.send(NUMBER, TEXT),
    "send_by_time_zone": lambda client: client.send_by_time_zone(NUMBER, TEXT, send_date=NAIVE),
    "send_bulk": lambda client: client.send_bulk([NUMBER], TEXT),
    "state": lambda client: client.state("579700854169272358"),
    "incoming": lambda client: client.incoming(until=AWARE),
    "statistics": lambda client: client.statistics(AWARE, AWARE),
    "async with": lambda client: client.__aenter__(),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", GOOD_CALLS)
async def test_a_closed_client(name: str) -> None:
    """Every method of a closed client raises `ClientClosed` and sends no request."""
    gateway = Gateway()
    client = _client(gateway)
    await client.aclose()
    await client.aclose()
    with pytest.raises(ClientClosed, match="closed") as caught:
        await GOOD_CALLS[name](client)
    assert isinstance(caught.value, UsageError | RuntimeError)
    assert gateway.requests == []
    _assert_silent(caught.value, PRIVATE)


@pytest.mark.parametrize("name", GOOD_CALLS)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_second_event_loop(backend: str, name: str) -> None:
    """If a client is used in a second event loop, its methods raise `WrongEventLoop` and send no request."""
    gateway = Gateway()
    client = _client(gateway)
    anyio.run(client.balance, backend=backend)
    before = len(gateway.requests)

    async def use() -> None:
        with pytest.raises(WrongEventLoop, match="event loop"):
            await GOOD_CALLS[name](client)

    anyio.run(use, backend=backend)
    assert len(gateway.requests) == before == 2


def test_validation_errors_are_value_errors() -> None:
    """`except ValueError` catches `ValidationError`, and `except RuntimeError` catches `UsageError`."""
    assert issubclass(ValidationError, ValueError | SmsApiError)
    assert issubclass(ValidationError, ValueError)
    assert issubclass(UsageError, RuntimeError)
    assert issubclass(UsageError, SmsApiError)
