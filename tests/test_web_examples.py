"""The web backends in tests/examples/web send each message once, with several workers and after kills."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec

import httpx
import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.postgres.server import Server, shared_server, skip_without_server
from tests.web_servers import (
    PATIENCE,
    WSGI_SERVER,
    environment_of,
    free_port,
    new_database,
    running,
    uvicorn,
)

NUMBER = "79031234567"


@pytest.fixture
def server() -> Server:
    """Return the PostgreSQL server of this process."""
    skip_without_server()
    for library in ("fastapi", "django"):
        if find_spec(library) is None and not os.environ.get("CI"):
            pytest.skip(f"install {library}")
    return shared_server()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve a sandbox."""
    with run_sandbox() as served:
        yield served


@pytest.fixture
def environment(server: Server, sandbox: Sandbox) -> Iterator[dict[str, str]]:
    """Return the variables of a web backend with a database of its own."""
    with new_database(server, "web_examples") as dsn:
        yield environment_of(sandbox, SMSAPI_POSTGRES_DSN=dsn)


def numbers(sandbox: Sandbox) -> Counter[str]:
    """Return how many messages each number got."""
    return Counter(message.destination_address for message in sandbox.account.messages)


def logins(sandbox: Sandbox) -> int:
    """Return the number of logins."""
    return sum(arrival.resource == "User/SessionId" for arrival in sandbox.account.arrivals)


def _click(urls: list[str]) -> list[httpx.Response]:
    """Click twenty times at the same time, in turn on each URL."""
    with ThreadPoolExecutor(20) as threads:
        parameters = {"attempt": "17", "number": NUMBER}
        post = lambda index: httpx.post(  # noqa: E731
            f"{urls[index % len(urls)]}/codes", params=parameters, data=parameters, timeout=PATIENCE
        )
        return list(threads.map(post, range(20)))


@pytest.mark.parametrize(("servers", "workers"), [(2, 1), (1, 2)])
def test_fastapi_sends_one_code(
    servers: int, workers: int, environment: dict[str, str], sandbox: Sandbox
) -> None:
    """Twenty clicks on two workers send one message with one login, and each click gets the same answer."""
    with ExitStack() as stack:
        ports = [free_port() for _ in range(servers)]
        urls = [
            stack.enter_context(running(uvicorn("fastapi_app:app", port, workers), port, environment))
            for port in ports
        ]
        answers = {(answer.status_code, answer.json()) for answer in _click(urls)}
        assert answers == {(200, "The code is on its way.")}
        assert {httpx.get(f"{url}/health", timeout=PATIENCE).json() for url in urls} == {"ok"}
    (message,) = sandbox.account.messages
    assert len(message.text.removeprefix("Your code is ")) == 6
    assert logins(sandbox) == 1


def test_fastapi_explains(environment: dict[str, str], sandbox: Sandbox) -> None:
    """The user learns of a number that cannot be used, and `/health` fails with a wrong password."""
    port = free_port()
    environment["SMSAPI_PASSWORD"] = "wrong"
    with running(uvicorn("fastapi_app:app", port), port, environment) as url:
        wrong = httpx.post(f"{url}/codes", params={"attempt": "18", "number": "8"}, timeout=PATIENCE)
        assert (wrong.status_code, wrong.json()) == (422, "This message cannot be sent now.")
        assert httpx.get(f"{url}/health", timeout=PATIENCE).status_code == 503
    assert not sandbox.account.messages


@pytest.mark.timeout(150)
def test_a_campaign_survives_a_kill(environment: dict[str, str], sandbox: Sandbox, server: Server) -> None:
    """A server that is killed in mid-campaign continues after its start: one message for each number."""
    recipients = [f"79{index:06}012" for index in range(4000)]
    port = free_port()
    sending = "SELECT count(*) FROM smsapi.requests WHERE state = 'sending'"
    with (
        sandbox.hold("Sms/SendBulk") as gate,
        running(uvicorn("fastapi_app:app", port), port, environment) as url,
    ):
        for _ in range(2):  # the browser repeats the request
            answer = httpx.post(
                f"{url}/campaigns/spring", params={"text": "Hello"}, json=recipients, timeout=PATIENCE
            )
            assert answer.status_code == 202
        end = time.monotonic() + PATIENCE
        # Each request in flight has arrived at the sandbox, and no request has a response.
        while not gate.held or server.rows(sending, database="web_examples") != [(gate.held,)]:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert httpx.post(f"{url}/codes", params={"attempt": "1", "number": NUMBER}, timeout=PATIENCE).json()
    sent_before = len(sandbox.account.messages)
    assert 1 < sent_before < 4001
    with running(uvicorn("fastapi_app:app", port, 2), port, environment):
        end = time.monotonic() + PATIENCE
        while len(sandbox.account.messages) < 4001:
            assert time.monotonic() < end
            time.sleep(0.02)
    assert numbers(sandbox) == Counter([*recipients, NUMBER])


def test_django_with_wsgi(environment: dict[str, str], sandbox: Sandbox) -> None:
    """Twenty clicks on two forked workers with threads send one message, and each worker logs in once."""
    port = free_port()
    command = ["-c", WSGI_SERVER, "tests.examples.web.django_wsgi", str(port), "2"]
    with running(command, port, environment) as url:
        assert {(answer.status_code, answer.text) for answer in _click([url])} == {
            (200, "The code is on its way.")
        }
    assert numbers(sandbox) == {NUMBER: 1}
    assert logins(sandbox) <= 2


def test_django_with_asgi(environment: dict[str, str], sandbox: Sandbox) -> None:
    """Async and synchronous views of two workers send one message for each order, with one login."""
    port = free_port()
    with (
        running(uvicorn("django_asgi:application", port, 2), port, environment) as url,
        ThreadPoolExecutor(20) as threads,
    ):
        get = lambda index: httpx.get(  # noqa: E731
            f"{url}/{'async' if index % 2 else 'sync'}/{index // 4}",
            params={"number": NUMBER},
            timeout=PATIENCE,
        )
        answers = Counter((answer.status_code, answer.text) for answer in threads.map(get, range(40)))
    assert answers == {(200, "sent"): 40}
    assert numbers(sandbox) == {NUMBER: 10}
    assert logins(sandbox) == 1
