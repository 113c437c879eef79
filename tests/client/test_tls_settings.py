"""Tests of the environment variables for TLS, and of objects that belong to a wrong library."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from smsapi_async import AsyncSmsClient, ValidationError
from smsapi_async.sandbox import run_sandbox
from smsapi_async.sandbox.faults import FaultPlan, run_fault_proxy
from tests.client.tools import client_for, port_of

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset all environment variables for TLS."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def _missing(place: Path) -> Path:
    return place / "missing"


def _no_pem(place: Path) -> Path:
    place.joinpath("words").write_text("no certificate")
    return place / "words"


def _empty_file(place: Path) -> Path:
    place.joinpath("empty").touch()
    return place / "empty"


def _key_only(place: Path) -> Path:
    trustme.CA().issue_cert("127.0.0.1").private_key_pem.write_to_path(place / "key.pem")
    return place / "key.pem"


def _directory(place: Path) -> Path:
    return place


def _odd_name(place: Path) -> Path:
    return place / "mis\nsing\u202e"


UNUSABLE = [
    *[("SSL_CERT_FILE", make) for make in (_missing, _no_pem, _empty_file, _key_only, _directory, _odd_name)],
    *[("SSL_CERT_DIR", make) for make in (_missing, _no_pem, _directory, _odd_name)],
    *[("SSLKEYLOGFILE", make) for make in (_directory, _odd_name, lambda place: place / "missing" / "log")],
]


@pytest.mark.parametrize("kind", ["asyncio", "httpcore", None])
@pytest.mark.parametrize(("name", "make"), UNUSABLE)
def test_a_variable_that_leads_nowhere_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: Any, name: str, make: Callable[[Path], Path]
) -> None:
    """If a variable leads to no usable file, the constructor names the variable and the path."""
    path = make(tmp_path)
    if name == "SSLKEYLOGFILE" and make is _odd_name:
        path = path / "log"
    monkeypatch.setenv(name, str(path))
    with pytest.raises(ValidationError) as caught:
        AsyncSmsClient("login", "password", transport=kind)
    assert caught.value.parameter == name
    assert ascii(str(path)) in caught.value.value
    assert "unset it" in caught.value.hint
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"proxy": "https://127.0.0.1:1"}, {"ca_file": "ca.pem"}])
def test_the_key_log_is_named_and_not_another_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: dict[str, Any]
) -> None:
    """If the key log cannot be written, the error does not name the file of certificates."""
    monkeypatch.chdir(tmp_path)
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "missing" / "log"))
    with pytest.raises(ValidationError) as caught:
        AsyncSmsClient("login", "password", base_url="http://127.0.0.1:1", **options)
    assert caught.value.parameter == "SSLKEYLOGFILE"


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_that_is_not_needed_is_not_read(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A variable that leads nowhere has no effect without TLS, or with the caller's own TLS context."""
    context = ssl.create_default_context()
    monkeypatch.setenv(name, "/no/such/place")
    AsyncSmsClient("login", "password", base_url="http://127.0.0.1:1")
    AsyncSmsClient("login", "password", ssl_context=context)
    monkeypatch.setenv(name, "")
    AsyncSmsClient("login", "password")


def _subject_hash(certificate: Path) -> str:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the program openssl is not installed")
    command = [openssl, "x509", "-hash", "-noout", "-in", str(certificate)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_the_named_certificates_are_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, transport: str, name: str
) -> None:
    """A usable file or directory of certificates is trusted on both transports."""
    assert transport
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    if name == "SSL_CERT_DIR":
        rehashed = tmp_path / "certificates"
        rehashed.mkdir()
        (rehashed / f"{_subject_hash(file)}.0").symlink_to(file)
        monkeypatch.setenv(name, os.pathsep.join(["/no/such/place", str(rehashed)]))
    else:
        monkeypatch.setenv(name, str(file))
    async with (
        run_sandbox() as sandbox,
        run_fault_proxy("127.0.0.1", port_of(sandbox), FaultPlan.script([]), tls=serving) as proxy,
        client_for(sandbox, base_url=proxy.base_url) as sms,
    ):
        assert await sms.balance() == sandbox.balance


class AsyncClient:
    """A class with the name of the wanted class."""


class Timeouts:
    """A class with the name of the wanted class."""


# The names of the parameter, of the module and of the class, and a part of the error.
OTHER_LIBRARIES = [
    ("client", "httpx2", "Client", "<httpx2.Client> cannot be used; pass an httpx.AsyncClient or httpx2.A"),
    ("transport", "httpx2", "HTTPTransport", "<httpx2.HTTPTransport> cannot be used"),
    ("client", "requests", "Session", "<requests.sessions.Session> cannot be used"),
    ("session_store", "requests", "Session", "<requests.sessions.Session> cannot be used"),
    ("client", "httpx", "Client", "<httpx.Client> cannot be used; pass an httpx.AsyncClient"),
    ("transport", "httpx", "AsyncClient", "<httpx.AsyncClient> cannot be used"),
    ("transport", "httpx", "HTTPTransport", "<httpx.HTTPTransport> cannot be used"),
    ("ssl_context", "httpx", "AsyncClient", "<httpx.AsyncClient> cannot be used; pass an ssl.SSLContext"),
    ("client", __name__, "AsyncClient", f"<{__name__}.AsyncClient> cannot be used"),
    ("timeouts", __name__, "Timeouts", f"<{__name__}.Timeouts> cannot be used; pass a smsapi_async.Timeouts"),
]


@pytest.mark.parametrize(("parameter", "module", "name", "words"), OTHER_LIBRARIES)
def test_an_object_of_another_library_is_told_apart(
    parameter: str, module: str, name: str, words: str
) -> None:
    """If an object belongs to another library, the error names the module of its class."""
    value = getattr(pytest.importorskip(module), name)()
    with pytest.raises(ValidationError) as caught:
        AsyncSmsClient("login", "password", **{parameter: value})
    assert f"{parameter}: {words}" in str(caught.value)


WRONG_OBJECTS = [
    ("client", httpx.AsyncClient, "<class httpx.AsyncClient> cannot be used"),
    ("timeouts", httpx.Timeout(5), "<httpx.Timeout> cannot be used; pass a smsapi_async.Timeouts"),
    ("retry", httpx.Limits(), "<httpx.Limits> cannot be used; pass a smsapi_async.RetryPolicy"),
    ("proxy", httpx.Proxy("http://user:secret@127.0.0.1:1"), "<httpx.Proxy> cannot be used"),
    ("transport", 5, "<int> cannot be used"),
]


@pytest.mark.parametrize(("parameter", "value", "words"), WRONG_OBJECTS)
def test_a_wrong_object_is_named_with_its_module(parameter: str, value: Any, words: str) -> None:
    """The error for a wrong object names the module and the class, and shows no value."""
    with pytest.raises(ValidationError) as caught:
        AsyncSmsClient("login", "password", **{parameter: value})
    assert f"{parameter}: {words}" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_session_of_aiohttp_is_told_apart() -> None:
    """A session of aiohttp in place of an httpx client is named in the error."""
    async with pytest.importorskip("aiohttp").ClientSession() as session:
        with pytest.raises(ValidationError, match=r"client: <aiohttp\.client\.ClientSession> cannot be used"):
            AsyncSmsClient("login", "password", client=session)
