"""The methods of the sandbox that wait for messages and check them, and `run_sandbox` in a plain `with`."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import anyio
import httpx
import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.codes import find_code
from smsapi_async.sandbox.faults import Fault, FaultPlan

NUMBER = "79031234567"


def send(sandbox: Sandbox, text: str, number: str = NUMBER) -> None:
    """Send a message without the client."""
    login = {"login": sandbox.login, "password": sandbox.password}
    session = httpx.get(f"{sandbox.base_url}/User/SessionId", params=login).json()
    form = {"SessionId": session, "DestinationAddress": number, "SourceAddress": "ACME", "Data": text}
    httpx.post(f"{sandbox.base_url}/Sms/Send", data=form)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Код 4821, никому не говорите", "4821"),
        ("Ваш код: 482193. Действует 5 минут", "482193"),
        ("Введите код в течение 5 минут: 482193", "482193"),
        ("482193 — ваш код", "482193"),
        ("Order 5512 code: 482193", "482193"),
        ("Заказ 5512. Код: 482193", "482193"),
        ("123456 is your login code. Order 5512", "123456"),
        ("Code 4821 for order 99812", "4821"),
        ("Сумма 15000, код подтверждения 4821", "4821"),
        ("Покупка 1500.00 р. Код 4821", "4821"),
        ("Заказ 77123456 принят, пароль: 5521", "5521"),
        ("G-123456 is your verification code", "123456"),
        ("Никому не сообщайте код! 4821", "4821"),
        ("PIN:0042", "0042"),
        ("Пин-код 4455", "4455"),
        ("OTP 99887766", "99887766"),
        ("Your passcode is 314159", "314159"),
        ("Your password: 8842", "8842"),
        ("код1234", "1234"),
        ("code 123-456", "123456"),
        ("Код 123 456", "123456"),
        ("code 123", "123"),
        ("Your code is 123456\n\n@example.com #123456", "123456"),
        ("https://x.ru/482193 код 1111", "1111"),
        ("Call 8 (800) 555-35-35, code 4821", "4821"),
        ("Спасибо, 7788", "7788"),
        ("79031234567 4821", "4821"),
        ("Спасибо, 7788 и 9900", None),
        ("кодировка 1234 и 5678", None),
        ("Позвоните +79031234567", None),
        ("Ждем вас 12.03.2026 в 12:30", None),
        ("12 345", None),
        ("Hello", None),
        ("", None),
    ],
)
def test_the_code_in_a_text(text: str, code: str | None) -> None:
    """The code is the number nearest to a word such as code, or the only number of 4 to 8 digits."""
    assert find_code(text) == code


def test_run_sandbox_in_a_plain_with() -> None:
    """A synchronous program serves a sandbox, and the port is free after the block."""
    with run_sandbox(balance=3) as sandbox:
        port = httpx.URL(sandbox.base_url).port
        send(sandbox, "Your code: 4821")
        assert sandbox.last_message_to(NUMBER).code == "4821"
        assert sandbox.account.sent_to(NUMBER)[0].code == "4821"
    with socket.socket() as probe:
        assert port is not None
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_faults_in_a_plain_with() -> None:
    """The faulty line works in a synchronous program, too."""
    faults = [Fault.PASS, Fault.ERROR_502_AFTER_PASS]
    with run_sandbox(faults=FaultPlan.script(faults)) as sandbox:
        send(sandbox, "hello")
        assert sandbox.proxy is not None
        assert [fault for _, _, fault, *_ in sandbox.proxy.history] == faults


def test_errors_of_a_plain_with() -> None:
    """An error of the block leaves the block, and a wrong argument or a busy port fails the start."""
    with pytest.raises(KeyError), run_sandbox() as sandbox:
        raise KeyError
    assert "127.0.0.1/rest" in sandbox.base_url
    with pytest.raises(TypeError, match="nonsense"), run_sandbox(nonsense=1):
        pass
    with run_sandbox() as first, pytest.raises(OSError, match="in use"):
        run_sandbox(port=httpx.URL(first.base_url).port or 0).__enter__()


def test_waiting_in_a_thread() -> None:
    """`wait_for_message` waits for another thread, and ends soon after the message was accepted."""
    with run_sandbox() as sandbox:
        send(sandbox, "Your code: 1111")
        first = sandbox.wait_for_message(to=NUMBER)
        sender = threading.Timer(0.05, send, (sandbox, "Your code: 2222"))
        sender.start()
        start = time.monotonic()
        second = sandbox.wait_for_message("+7 903 123-45-67", "CODE", after=first.number, timeout=30)
        assert time.monotonic() - start < 20
        sender.join()
        assert (first.code, second.code) == ("1111", "2222")
        assert sandbox.code_to(NUMBER, after=first.number) == sandbox.code_to(NUMBER, "2222") == "2222"


@pytest.mark.anyio
async def test_waiting_in_a_coroutine(anyio_backend: str) -> None:
    """`wait_for_message_async` lets the event loop run, so that the application in the same loop can send."""
    async with run_sandbox() as sandbox, anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, partial(send, sandbox, "Your code: 4821"))
        message = await sandbox.wait_for_message_async(NUMBER, "code", timeout=30)
        assert message.code == "4821"
        with pytest.raises(AssertionError, match=r"(?s)no message to 79 .*within 0.01 s.*1\. to 79031234567"):
            await sandbox.wait_for_message_async("79", timeout=0.01)
        with pytest.raises(AssertionError, match="wait_for_message_async"):
            sandbox.wait_for_message("79", timeout=0.01)


CHECKS: dict[str, tuple[Callable[[Sandbox], object], str]] = {
    "number": (lambda sandbox: sandbox.last_message_to("79990000000"), "no message to 79990000000 was sent"),
    "text": (
        lambda sandbox: sandbox.last_message_to(to=NUMBER, text="bye"),
        "no message to 79031234567 with the text 'bye'",
    ),
    "after": (lambda sandbox: sandbox.last_message_to(NUMBER, after=1), "after the message 1 was sent"),
    "wait": (lambda sandbox: sandbox.wait_for_message(text="bye", timeout=0.01), "was sent within 0.01 s"),
    "code": (lambda sandbox: sandbox.code_to(NUMBER), "the last message to 79031234567 has no code"),
    "nothing": (lambda sandbox: sandbox.assert_nothing_sent(), "a message was sent"),
    "nothing to": (lambda sandbox: sandbox.assert_nothing_sent(to=NUMBER), "a message was sent"),
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_failed_check_lists_the_messages(name: str) -> None:
    """The failure of a check says what was expected, and shows each message with its number and text."""
    check, words = CHECKS[name]
    with run_sandbox() as sandbox:
        send(sandbox, "hello")
        with pytest.raises(AssertionError) as failure:
            check(sandbox)
    assert words in str(failure.value)
    assert "sent: 1. to 79031234567: 'hello'" in str(failure.value)


@pytest.mark.parametrize(
    "number", ["79031234567", "+7 903 123-45-67", "8 (903) 123-45-67", "89031234567", "7.903.123.45.67"]
)
def test_the_spellings_of_a_number(number: str) -> None:
    """Each check accepts a number as people write it, also a Russian mobile number with 8."""
    with run_sandbox() as sandbox:
        sandbox.assert_nothing_sent(number)
        send(sandbox, "code 4821", "79031234567")
        assert sandbox.last_message_to(number).code == sandbox.code_to(number) == "4821"
        assert sandbox.wait_for_message(number).destination_address == "79031234567"
        with pytest.raises(AssertionError, match=r"sent: 1\. .* at [0-9]{2}:[0-9]{2}:[0-9]{2} UTC$"):
            sandbox.assert_nothing_sent(number)
        with pytest.raises(AssertionError):
            sandbox.last_message_to("88031234567")
        with pytest.raises(AssertionError, match="a message was sent"):
            sandbox.assert_nothing_sent("(903) 123-45-67")
        sandbox.assert_nothing_sent("(903) 123-45-68")


@pytest.mark.parametrize("number", ["", "ACME", "+"])
def test_a_number_without_digits(number: str) -> None:
    """A number without digits is an error, so that `assert_nothing_sent` cannot pass by mistake."""
    with run_sandbox() as sandbox:
        send(sandbox, "code 4821")
        for check in (sandbox.assert_nothing_sent, sandbox.code_to, sandbox.wait_for_message):
            with pytest.raises(ValueError, match=r"must contain digits, for example 79031234567; it is '"):
                check(number)


def test_a_failed_check_lists_refusals() -> None:
    """If a send was refused, the failure says so, and not only that nothing was sent."""
    with run_sandbox(balance=0) as sandbox:
        send(sandbox, "hello")
        sandbox.assert_nothing_sent()
        with pytest.raises(AssertionError, match=r"nothing was sent\nrefused: Sms/Send with code 5"):
            sandbox.code_to(NUMBER)


def test_many_messages_are_cut() -> None:
    """A failure shows the last 20 messages, and the number of the others."""
    with run_sandbox() as sandbox:
        for index in range(22):
            send(sandbox, f"text {index}")
        with pytest.raises(AssertionError) as failure:
            sandbox.assert_nothing_sent()
        assert "sent: 2 earlier messages" in str(failure.value)
        assert "'text 1'" not in str(failure.value)
        sandbox.assert_nothing_sent("79990000000")
        sandbox.assert_nothing_sent(after=22)


def test_a_program_that_never_leaves_the_block() -> None:
    """A program that enters `run_sandbox` and ends without leaving the block does not hang."""
    program = "from smsapi_async.sandbox import run_sandbox; print(run_sandbox().__enter__().base_url)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.startswith("http://127.0.0.1:")


def test_a_second_block_with_the_same_object() -> None:
    """An object of `run_sandbox` serves one block only; a second block is an error and no dead sandbox."""
    served = run_sandbox()
    with served:
        pass
    with pytest.raises(RuntimeError, match="used before"), served:
        pass


def test_a_wait_that_ends_with_the_sandbox() -> None:
    """A wait that the stop of the sandbox ends does not claim that the time limit passed."""
    sandbox = Sandbox()
    sandbox.feed.end()
    with pytest.raises(AssertionError, match="was sent before the sandbox stopped"):
        sandbox.wait_for_message(NUMBER, timeout=30)
