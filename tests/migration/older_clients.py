"""Sends of one message with each client of the migration page."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from smsapi_async.sandbox import Sandbox

try:
    from sms_devino.client import DevinoClient
except ModuleNotFoundError:  # pragma: no cover - the extra `peers` contains the package
    if os.environ.get("CI"):
        raise
    pytest.skip("sw-python-sms-devino is not installed", allow_module_level=True)

__all__ = [
    "NUMBER",
    "TEXT",
    "DevinoClient",
    "Send",
    "VendorCalls",
    "devino_client",
    "devino_send",
    "has_opener",
    "vendor_send",
]

NUMBER, TEXT = "79031234567", "Closed on Monday"

Send = Callable[[], object]


def devino_client(sandbox: Sandbox) -> Any:
    """Return a client of sw-python-sms-devino that is logged in."""
    client = DevinoClient(sandbox.login, sandbox.password, url=sandbox.base_url)
    client.get_balance()
    return client


def devino_send(sandbox: Sandbox) -> Send:
    """Return a function that sends a message with sw-python-sms-devino."""
    client = devino_client(sandbox)
    return lambda: client.send_one("ACME", NUMBER, TEXT).sms_ids


class VendorCalls:
    """The calls of urllib that the vendor's Python example makes, with its one repeat after status 401."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._session = self._log_in()

    def send(self, send_date: str = "") -> object:
        """Send a message, at once or on a date without a time zone."""
        opener = _opener()
        try:
            response = opener.open(f"{self._sandbox.base_url}/sms/send", self._form(send_date))
        except urllib.error.URLError as error:
            # The example reads `code`, which only an `HTTPError` has.
            if error.code == 401:  # type: ignore[attr-defined]
                self._session = self._log_in()
            response = opener.open(f"{self._sandbox.base_url}/sms/send", self._form(send_date))
        return json.loads(response.read())

    def _log_in(self) -> str:
        query = urllib.parse.urlencode({"login": self._sandbox.login, "password": self._sandbox.password})
        response = _opener().open(f"{self._sandbox.base_url}/user/sessionId?{query}")
        session: str = json.loads(response.read())
        return session

    def _form(self, send_date: str) -> str:
        fields = {"sourceAddress": "ACME", "destinationAddress": NUMBER, "data": TEXT, "validity": 0}
        return urllib.parse.urlencode({**fields, "sendDate": send_date, "sessionId": self._session})


def has_opener() -> bool:
    """Return whether this Python has the opener of the vendor's example. Python 3.14 does not."""
    return hasattr(urllib.request, "FancyURLopener")


def _opener() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return getattr(urllib.request, "FancyURLopener")({})  # noqa: B009 - newer type stubs lack the name


def vendor_send(sandbox: Sandbox) -> Send:
    """Return a function that sends a message as the vendor's example does."""
    return VendorCalls(sandbox).send
