"""The reports of tests with blocked requests."""

from collections import Counter
from collections.abc import Iterable

import pytest

from smsapi_async.guard import ADVICE


def described(hosts: Iterable[str]) -> str:
    """Return a sentence about the blocked requests."""
    counts = ", ".join(f"{host} ({count})" if count > 1 else host for host, count in Counter(hosts).items())
    return f"the guard of smsapi-async blocked requests to {counts}; nothing was sent; {ADVICE}"


def with_blocked(
    report: pytest.TestReport, item: pytest.Item, call: pytest.CallInfo[None], hosts: Iterable[str]
) -> pytest.TestReport:
    """Return a report that fails the test, and names the hosts.

    Args:
        report: the report of pytest. The test may have passed, or skipped, or failed as expected.
        item: the test.
        call: the setup, the call or the teardown of the test.
        hosts: the hosts of the blocked requests.
    """
    text = described(hosts)
    if report.failed:
        report.sections.append(("sms guard", text))
        return report
    try:
        pytest.fail(f"the application or the test handled RealSendBlocked: {text}", pytrace=False)
    except pytest.fail.Exception:
        call.excinfo = pytest.ExceptionInfo.from_current()
    return pytest.TestReport.from_item_and_call(item, call)
