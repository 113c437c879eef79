"""The reports of tests and of files with blocked requests."""

from collections import Counter
from collections.abc import Iterable

import pytest

from smsapi_async.guard.blocked_requests import ADVICE, BlockedRequest


def described(blocked: Iterable[BlockedRequest | str]) -> str:
    """Return a sentence about the blocked requests."""
    counts = Counter(map(str, blocked))
    listed = ", ".join(f"{each} ({count} times)" if count > 1 else each for each, count in counts.items())
    return f"the guard of smsapi-async blocked {listed}; nothing was sent; {ADVICE}"


def with_blocked(
    report: pytest.TestReport,
    item: pytest.Item,
    call: pytest.CallInfo[None],
    blocked: Iterable[BlockedRequest],
) -> pytest.TestReport:
    """Return a report that fails the test, and names the blocked requests.

    Args:
        report: the report of pytest. The test may have passed, or skipped, or failed as expected.
        item: the test.
        call: the setup, the call or the teardown of the test.
        blocked: the blocked requests.
    """
    text = described(blocked)
    if report.failed:
        report.sections.append(("sms guard", text))
        return report
    try:
        pytest.fail(f"the application or the test handled RealSendBlocked: {text}", pytrace=False)
    except pytest.fail.Exception:
        call.excinfo = pytest.ExceptionInfo.from_current()
    return pytest.TestReport.from_item_and_call(item, call)


def with_blocked_in_collection(report: pytest.CollectReport, blocked: Iterable[BlockedRequest]) -> None:
    """Change the report of the collection of a file, so that the collection fails."""
    text = described(blocked)
    if report.failed:
        report.sections.append(("sms guard", text))
    else:
        report.outcome = "failed"
        report.longrepr = f"during the collection, {text}"
        report.result = []
