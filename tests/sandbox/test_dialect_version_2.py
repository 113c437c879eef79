"""Version 2 of the interface: each request contains Login and Password in place of a session id."""

import json
from collections.abc import Mapping
from typing import Any

import anyio
import httpx
import pytest

from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, Rule
from tests.sandbox.support import START, Caller, logged_in, message, refused

pytestmark = pytest.mark.anyio

LOGIN = {"Login": "sandbox", "Password": "sandbox-password"}
BULK = {"DestinationAddresses": ["79031234567", "79141234567"], "Data": "Hi", "SourceAddress": "ACME"}
DATE = {"SendDate": "2026-03-11T10:00:00"}
ROWS: list[tuple[str, str, Mapping[str, Any]]] = [
    ("User/Balance", "GET", {}),
    ("Sms/Send", "POST", message()),
    ("Sms/SendByTimeZone", "POST", {**message(), **DATE}),
    ("Sms/SendBulk", "POST", BULK),
    ("Sms/SendByTimeZoneToAddresses", "POST", {**BULK, **DATE}),
    ("Sms/State", "GET", {"messageId": "1"}),
    ("Sms/In", "GET", {"minDateUTC": "2026-03-09", "maxDateUTC": "2026-03-10"}),
    ("Sms/Statistics", "GET", {"startDateTime": "2026-03-01", "endDateTime": "2026-03-10"}),
]
rows = pytest.mark.parametrize(("path", "method", "fields"), ROWS, ids=[row[0] for row in ROWS])


def new_caller(dialect: Dialect = Dialect.LATEST, **options: Any) -> Caller:
    """Return a caller without a session id."""
    return Caller(Sandbox(start=START, dialect=dialect, **options))


async def call(caller: Caller, method: str, path: str, fields: Mapping[str, Any]) -> httpx.Response:
    """Send a request; a POST has a form, and a GET has a query."""
    return await caller.request(method, path, **{"params" if method == "GET" else "data": fields})


@rows
@pytest.mark.parametrize("spell", [str, str.lower, str.upper])
async def test_every_resource(path: str, method: str, fields: Mapping[str, Any], spell: type[str]) -> None:
    """Each resource except the login is available below /rest/v2, in any letter case, without a session."""
    caller = new_caller()
    spelled = {spell(name): value for name, value in {**LOGIN, **fields}.items()}
    answer = await call(caller, method, spell(f"v2/{path}/"), spelled)
    assert answer.status_code == 200, answer.text
    account = caller.sandbox.account
    (arrival,) = account.arrivals
    assert (arrival.resource, arrival.version) == (path, 2)
    assert account.sessions == account.logins == 0
    assert len(account.messages) == (len(answer.json()) if method == "POST" else 0)


@rows
async def test_the_contract_has_no_version_2(path: str, method: str, fields: Mapping[str, Any]) -> None:
    """A gateway without version 2 answers 404 and accepts nothing."""
    caller = new_caller(Dialect.LATEST.with_(version_2=False))
    answer = await call(caller, method, f"v2/{path}", {**LOGIN, **fields})
    assert answer.status_code == 404
    assert "The resource cannot be found" in answer.text
    assert caller.sandbox.account.messages == []
    assert caller.sandbox.account.count(version=2) == 1


UNKNOWN = ["v2/User/SessionId", "v2", "v2/", "v2/Sms", "v2/v2/Sms/Send", "v1/User/Balance", "v3/User/Balance"]


@pytest.mark.parametrize("path", UNKNOWN)
async def test_paths_that_do_not_exist(path: str) -> None:
    """Version 2 has no session ids, and there are no versions other than 1 and 2."""
    caller = new_caller()
    answer = await caller.request("GET", path, params=LOGIN)
    assert answer.status_code == 404
    assert caller.sandbox.account.arrivals[0].resource is None
    assert caller.sandbox.account.logins == 0


@rows
@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials(path: str, method: str, fields: Mapping[str, Any], status: Any) -> None:
    """Wrong credentials are refused with code 4, and with the status of a refused login."""
    caller = new_caller(Dialect.LATEST.with_(refused_login_status=status))
    for wrong in ({"Login": "other"}, {"Password": "other"}):
        answer = await call(caller, method, f"v2/{path}", {**LOGIN, **fields, **wrong})
        assert refused(answer) == (status, 4, "Invalid user login or password")
    assert caller.sandbox.account.messages == []


@rows
async def test_required_parameters_come_first(path: str, method: str, fields: Mapping[str, Any]) -> None:
    """A missing parameter is reported before wrong credentials."""
    caller = new_caller()
    full = {"Login": "other", "Password": "other", **fields}
    required = [name for name in full if name != "SendDate"]
    for name in required:
        answer = await call(caller, method, f"v2/{path}", {**full, name: ""})
        assert refused(answer)[1] in {1, 9}, name


async def test_a_session_id_is_no_credential() -> None:
    """Version 2 does not accept a session id, and version 1 does not accept a login and a password."""
    caller = await logged_in(Sandbox(start=START, dialect=Dialect.LATEST))
    assert refused(await caller.get("v2/User/Balance"))[1] == 1
    assert refused(await caller.request("GET", "User/Balance", params=LOGIN))[1] == 1
    caller.sandbox.expire_sessions()
    answer = await caller.get("v2/User/Balance", **LOGIN)
    assert answer.status_code == 200


async def test_both_versions_use_one_account() -> None:
    """A message that version 2 accepted is visible in version 1, and the account counts both versions."""
    caller = await logged_in(Sandbox(start=START, dialect=Dialect.LATEST))
    await caller.send()
    (segment_id,) = (await call(caller, "POST", "v2/Sms/Send", {**LOGIN, **message()})).json()
    caller.sandbox.advance(seconds=5)
    assert (await caller.state(segment_id))["State"] == 0
    account = caller.sandbox.account
    assert account.count("Sms/Send") == 2
    assert [account.count("sms/send", version=version) for version in (1, 2)] == [1, 1]
    assert caller.sandbox.balance == 9997


async def test_the_limit_of_version_2() -> None:
    """Version 2 allows 2,999 recipients also if the dialect has no limit for version 1."""
    caller = await logged_in(Sandbox(start=START, dialect=Dialect(version_2=True)))
    full = {**LOGIN, **BULK, "DestinationAddresses": ["79031234567"] * 3000}
    assert refused(await call(caller, "POST", "v2/Sms/SendBulk", full))[:2] == (400, 2)
    assert caller.sandbox.account.messages == []
    assert len((await caller.post("Sms/SendBulk", full)).json()) == 3000
    full["DestinationAddresses"] = ["79031234567"] * 2999
    assert len((await call(caller, "POST", "v2/Sms/SendBulk", full)).json()) == 2999


async def test_a_get_does_not_send() -> None:
    """A GET to a resource that sends gets the status 405."""
    caller = new_caller()
    answer = await caller.request("GET", "v2/Sms/Send", params={**LOGIN, **message()})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert caller.sandbox.account.messages == []


async def test_prepared_responses_and_gates() -> None:
    """Prepared responses and gates apply to requests of version 2."""
    caller = new_caller()
    caller.sandbox.refuse_next("Sms/Send", 7)
    caller.sandbox.answer_next("Sms/Send", 200, b'["1"]', accept=True)
    full = {**LOGIN, **message()}
    assert refused(await call(caller, "POST", "v2/Sms/Send", full))[:2] == (403, 7)
    assert (await call(caller, "POST", "v2/Sms/Send", full)).json() == ["1"]
    assert len(caller.sandbox.account.messages) == 1
    gate = caller.sandbox.hold("User/Balance")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, caller, "GET", "v2/User/Balance", LOGIN)
        await gate.arrived()
        assert caller.sandbox.account.arrivals[-1].status is None
        gate.release()
    assert caller.sandbox.account.count("User/Balance", status=200) == 1


@pytest.mark.parametrize("resource", ["Sms/Send", "v2/sms/send", "/V2/Sms/Send/"])
async def test_fault_plans(resource: str) -> None:
    """A fault plan applies to a resource in both versions."""
    plan = FaultPlan(rules=(Rule(fault=Fault.ERROR_502, resource=resource),))
    async with (
        run_sandbox(dialect="latest", faults=plan) as sandbox,
        httpx.AsyncClient(base_url=sandbox.base_url) as client,
    ):
        assert (await client.post("/v2/Sms/Send", data=LOGIN)).status_code == 502
        assert (await client.post("/Sms/Send", data=LOGIN)).status_code == 502
        balance = await client.get("/V2/user/balance", params=LOGIN)
        assert json.loads(balance.text) == 10000
        assert sandbox.proxy is not None
        shown = [entry.resource.lower() for entry in sandbox.proxy.history if entry.resource]
        assert shown == ["sms/send", "sms/send", "user/balance"]
