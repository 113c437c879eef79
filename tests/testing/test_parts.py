"""The parts of the plugin in this process: the guard, the sandbox of a test, and the reports."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from smsapi_async import RealSendBlocked, guard
from smsapi_async.guard import FILE_VARIABLE, VARIABLE, Guard
from smsapi_async.guard.blocked_requests import BlockedRequest
from smsapi_async.testing.fixtures import served
from smsapi_async.testing.reports import described, with_blocked


@pytest.fixture
def own_guard() -> Iterator[Guard]:
    """Switch on a guard for this test, instead of the guard of the plugin."""
    made = Guard.with_file()
    previous = guard.switch(made)
    yield made
    guard.switch(previous)
    made.remove_file()


def test_the_guard_reports_each_blocked_request(own_guard: Guard) -> None:
    """The guard reports the requests of this process and of other processes, each of them once."""
    guard.check("127.0.0.1", None)
    with pytest.raises(RealSendBlocked, match=r"gateway\.invalid; nothing was sent; use the fixture"):
        guard.check("127.0.0.1", "gateway.invalid", resource="Sms/Send")
    with open(own_guard.file, "a", encoding="utf-8") as file:
        file.write("Push\tother.invalid\t\n")
    first, second = own_guard.reported()
    assert str(first).startswith("Sms/Send to gateway.invalid at tests/testing/test_parts.py:")
    assert str(second) == "Push to other.invalid"
    assert own_guard.reported() == []


def test_the_guard_of_the_environment(
    own_guard: Guard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a process without pytest, the variables switch the guard on; without the file, it still blocks."""
    monkeypatch.setattr(guard, "_own", None)
    for file in (own_guard.file, "", str(tmp_path / "missing")):
        monkeypatch.setenv(FILE_VARIABLE, file)
        with pytest.raises(RealSendBlocked):
            guard.check("gateway.invalid")
    assert [each.host for each in own_guard.reported()] == ["gateway.invalid"]
    for off in ("", "0", "false", "No", "OFF"):
        monkeypatch.setenv(VARIABLE, off)
        guard.check("gateway.invalid")
        assert not guard.is_on()


def test_a_guard_whose_file_is_missing(own_guard: Guard) -> None:
    """A program that removes the temporary files does not switch the guard off."""
    own_guard.remove_file()
    with pytest.raises(RealSendBlocked):
        guard.check("gateway.invalid")
    assert [each.host for each in own_guard.reported()] == ["gateway.invalid"]
    assert guard.is_on()


@pytest.mark.parametrize(
    "faults", [None, "pass", ["pass", "error-500"], {"rules": [{"fault": "error-500", "times": 1}]}]
)
def test_the_sandbox_of_a_test(monkeypatch: pytest.MonkeyPatch, faults: object) -> None:
    """The variables exist during the test only, and variables of the developer come back after the test."""
    monkeypatch.setenv("SMSAPI_LOGIN", "mine")
    marker = pytest.Mark("sms_sandbox", (), {"faults": faults, "login": "other"}, _ispytest=True)
    with served([marker]) as (sandbox, _):
        assert os.environ["SMSAPI_LOGIN"] == sandbox.login == "other"
        assert os.environ["SMSAPI_BASE_URL"] == sandbox.base_url
        assert os.environ["SMSAPI_SOURCE_ADDRESS"] == "SANDBOX"
        assert (sandbox.proxy is None) is (faults is None)
    assert os.environ["SMSAPI_LOGIN"] == "mine"


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [((0,), {}, "keyword arguments"), ((), {"faults": 5}, "faults must be")],
)
def test_a_wrong_marker(args: tuple[object, ...], kwargs: dict[str, object], words: str) -> None:
    """A wrong argument of the marker is an error that says what to pass."""
    marker = pytest.Mark("sms_sandbox", args, kwargs, _ispytest=True)
    with pytest.raises(pytest.UsageError, match=words), served([marker]):
        pass


def test_the_report_of_a_test_with_blocked_requests(request: pytest.FixtureRequest) -> None:
    """The report of a passed test becomes a failure; the report of a failed test gets a further section."""
    hosts = [BlockedRequest("Sms/Send", host) for host in ("gateway.invalid", "gateway.invalid", "a.invalid")]
    call = pytest.CallInfo.from_call(lambda: None, "call")
    report = pytest.TestReport.from_item_and_call(request.node, call)
    failed = with_blocked(report, request.node, call, hosts)
    assert (report.outcome, failed.outcome) == ("passed", "failed")
    assert "Sms/Send to gateway.invalid (2 times), Sms/Send to a.invalid" in failed.longreprtext
    again = with_blocked(failed, request.node, call, hosts)
    assert again is failed
    assert again.sections[-1] == ("sms guard", described(hosts))
