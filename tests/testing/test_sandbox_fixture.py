"""The fixture `sms_sandbox` under each plugin for asynchronous tests, and without one."""

import json
import subprocess
import sys

import pytest

from tests.testing.conftest import ROOT, Project

APPLICATION = """
    import asyncio, os
    import pytest
    from smsapi_async import AsyncSmsClient, NotEnoughCredits, OutcomeUnknown

    NUMBER = "79031234567"

    async def send(text="Your code: 4821"):
        async with AsyncSmsClient.from_env() as sms:
            return await sms.send(NUMBER, text)
"""

PLAIN = """
    def test_plain(sms_sandbox):
        asyncio.run(send())
        assert sms_sandbox.code_to(NUMBER) == "4821"
        assert sms_sandbox.last_message_to("+7 (903) 123-45-67").text == "Your code: 4821"
        assert os.environ["SMSAPI_BASE_URL"] == sms_sandbox.base_url

    def test_fresh(sms_sandbox):
        sms_sandbox.assert_nothing_sent()
        assert sms_sandbox.account.arrivals == []

    def test_no_sandbox():
        assert not [name for name in os.environ if name.startswith("SMSAPI_") and "GUARD" not in name]
"""
ASYNC = """
    {mark}
    async def test_async(sms_sandbox):
        await send()
        assert sms_sandbox.wait_for_message(NUMBER).code == "4821"
        assert (await sms_sandbox.wait_for_message_async(NUMBER, "code")).code == "4821"

    {mark}
    async def test_fresh_async(sms_sandbox):
        sms_sandbox.assert_nothing_sent()
"""


def test_without_a_plugin(project: Project) -> None:
    """A synchronous test gets a new sandbox, and `from_env` talks to the sandbox during the test."""
    project.write(APPLICATION + PLAIN)
    run = project.run("-p", "no:anyio")
    assert run.counts == {"passed": 3}, run.output


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_pytest_asyncio(project: Project, mode: str) -> None:
    """The fixture works in coroutines under pytest-asyncio in both of its modes."""
    pytest.importorskip("pytest_asyncio")
    project.write(
        f"""
        [pytest]
        asyncio_mode = {mode}
        asyncio_default_fixture_loop_scope = function
        filterwarnings = error
        """,
        "pytest.ini",
    )
    mark = "@pytest.mark.asyncio" if mode == "strict" else ""
    project.write(APPLICATION + PLAIN + ASYNC.format(mark=mark))
    run = project.run(with_asyncio=True)
    assert run.counts == {"passed": 5}, run.output


def test_anyio_and_trio(project: Project) -> None:
    """The fixture works in coroutines under AnyIO's plugin, on asyncio and on trio."""
    backends = """
    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(request):
        return request.param
    """
    project.write(APPLICATION + backends + PLAIN + ASYNC.format(mark="@pytest.mark.anyio"))
    run = project.run()
    assert run.counts == {"passed": 7}, run.output


def test_workers(project: Project) -> None:
    """Parallel workers of pytest-xdist have a sandbox each."""
    project.write(
        APPLICATION
        + """
    @pytest.mark.parametrize("index", range(8))
    def test_parallel(sms_sandbox, index):
        asyncio.run(send(f"Your code: {index:04}"))
        assert sms_sandbox.code_to(NUMBER) == f"{index:04}"
        assert len(sms_sandbox.account.messages) == 1
    """
    )
    run = project.run("-n", "2")
    assert run.counts == {"passed": 8}, run.output


def test_the_marker(project: Project) -> None:
    """The marker passes its arguments to the sandbox; the marker of a test overrides that of the class."""
    project.write(
        """
        {"rules": [{"fault": "error-500", "resource": "Sms/Send"}]}
        """,
        "plan.json",
    )
    project.write(
        APPLICATION
        + """
    from smsapi_async.sandbox.faults import Fault, FaultPlan

    @pytest.mark.sms_sandbox(balance=0)
    def test_no_money(sms_sandbox):
        with pytest.raises(NotEnoughCredits):
            asyncio.run(send())
        sms_sandbox.assert_nothing_sent()

    PLANS = [
        FaultPlan.script([Fault.RESET_AFTER_PASS], resource="Sms/Send"),
        [Fault.PASS, Fault.RESET_AFTER_PASS],
        ["pass", "reset-after-pass"],
    ]

    @pytest.mark.parametrize("index", range(2))
    @pytest.mark.sms_sandbox(faults=PLANS[0])
    def test_plan(sms_sandbox, index):
        fails(sms_sandbox)

    @pytest.mark.sms_sandbox(faults=PLANS[1])
    def test_kinds(sms_sandbox):
        fails(sms_sandbox)

    @pytest.mark.sms_sandbox(faults=PLANS[2])
    def test_names(sms_sandbox):
        fails(sms_sandbox)

    def fails(sandbox):
        with pytest.raises(OutcomeUnknown):
            asyncio.run(send())
        assert sandbox.code_to(NUMBER) == "4821"

    @pytest.mark.sms_sandbox(faults="plan.json")
    def test_file(sms_sandbox):
        with pytest.raises(OutcomeUnknown):
            asyncio.run(send())

    @pytest.mark.sms_sandbox(source_addresses=["ACME"], login="me")
    class TestMarked:
        def test_class(self, sms_sandbox):
            asyncio.run(send())
            assert sms_sandbox.last_message_to(NUMBER).source_address == "ACME"
            assert os.environ["SMSAPI_LOGIN"] == "me"

        @pytest.mark.sms_sandbox(login="you", dialect="latest")
        def test_override(self, sms_sandbox):
            assert (sms_sandbox.login, sms_sandbox.source_addresses) == ("you", ("ACME",))
            assert sms_sandbox.last_message_to is not None

    @pytest.mark.sms_sandbox
    def test_without_the_argument():
        asyncio.run(send())
    """
    )
    run = project.run()
    assert run.counts == {"passed": 9}, run.output


WRONG = {
    "0": "keyword arguments only, for example @pytest.mark.sms_sandbox(balance=0); the arguments are allow_",
    "balanse=0": "no argument 'balanse'; the arguments are allow_hosts, allow_remote_push, balance,",
    "balance='much'": "balance must be a finite number",
    "keep=0": "sms_sandbox(keep) has a wrong value: keep must be at least 1",
    "source_addresses=5": "sms_sandbox(source_addresses) has a wrong value",
    "faults=5": "faults must be a FaultPlan, a mapping, the path of a file, or a list of kinds of fault",
    "faults=['paas']": "no kind of fault 'paas'; the kinds of fault are pass, refuse,",
    "faults='paas'": "no kind of fault 'paas'; the kinds of fault are pass, refuse,",
    "faults='paas.json'": "No such file or directory: 'paas.json'",
    "faults={'rules': [{'fault': 'paas'}]}": "plan.rules[0].fault is 'paas', which is no kind of fault; the",
}


def test_a_wrong_marker(project: Project) -> None:
    """A wrong marker is an error of the test. The text names the argument and the values, once."""
    tests = [
        f"@pytest.mark.sms_sandbox({arguments})\ndef test_{index}(sms_sandbox): ...\n"
        for index, arguments in enumerate(WRONG)
    ]
    project.write("import pytest\n" + "".join(tests))
    run = project.run("-rN")
    assert run.counts == {"error": len(WRONG)}, run.output
    assert "Traceback" not in run.output
    assert "During handling" not in run.output
    for words in WRONG.values():
        assert words in run.output


def test_the_closest_marker(project: Project) -> None:
    """For each argument the closest marker counts: parameter set, test, class, base class, module."""
    project.write(
        """
        import pytest

        mark = pytest.mark.sms_sandbox
        pytestmark = mark(balance=1, price=1, login="module")

        @mark(balance=2, price=2)
        class Base: ...

        @mark(balance=3)
        class TestDerived(Base):
            def test_class(self, sms_sandbox):
                assert (sms_sandbox.balance, sms_sandbox.price, sms_sandbox.login) == (3, 2, "module")

            @mark(balance=5, price=5)
            @mark(balance=4)
            def test_stacked(self, sms_sandbox):
                assert (sms_sandbox.balance, sms_sandbox.price) == (4, 5)

            @mark(balance=4)
            @pytest.mark.parametrize("index", [pytest.param(0, marks=mark(balance=6)), 1])
            def test_parameter(self, sms_sandbox, index):
                assert (sms_sandbox.balance, sms_sandbox.price) == ([6, 4][index], 2)
        """
    )
    run = project.run()
    assert run.counts == {"passed": 4}, run.output


def test_variables_of_the_developer(project: Project) -> None:
    """No variable of the developer reaches the test, and each of them comes back, also with `monkeypatch`."""
    project.write(
        APPLICATION
        + """
    def variables():
        names = [name for name in os.environ if name.startswith("SMSAPI_") and "GUARD" not in name]
        return {name: os.environ[name] for name in names}

    BEFORE = variables()

    @pytest.mark.parametrize("order", ["monkeypatch", "sms_sandbox"])
    def test_patched(request, order):
        request.getfixturevalue(order)
        sandbox, patch = request.getfixturevalue("sms_sandbox"), request.getfixturevalue("monkeypatch")
        assert set(variables()) == {
            "SMSAPI_BASE_URL", "SMSAPI_CONFIG", "SMSAPI_LOGIN", "SMSAPI_PASSWORD", "SMSAPI_SOURCE_ADDRESS"
        }
        assert os.environ["SMSAPI_CONFIG"] == os.devnull
        for name in ("BASE_URL", "CONFIG", "LOGIN", "PROFILE"):
            patch.setenv("SMSAPI_" + name, "patched")
        os.environ["SMSAPI_PASSWORD"] = "patched"

    @pytest.mark.parametrize("again", range(2))
    def test_restored(again):
        assert variables() == BEFORE

    def test_undo(monkeypatch, sms_sandbox):
        monkeypatch.undo()
        asyncio.run(send())

    def test_command_line(sms_sandbox, capsys):
        from smsapi_async.cli import main
        main(["balance"])
        assert capsys.readouterr().out == "10000.00\\n"
    """
    )
    (project.folder / "mine.toml").write_text('proxy = "http://proxy.invalid:3128"\n')
    run = project.run(
        SMSAPI_LOGIN="mine", SMSAPI_CONFIG="mine.toml", SMSAPI_PROFILE="mine", SMSAPI_LATER="mine"
    )
    assert run.counts == {"passed": 6}, run.output


def test_other_kinds_of_tests(project: Project) -> None:
    """The fixture and the marker also work in tests of unittest and in doctests."""
    project.write(
        APPLICATION
        + """
    import unittest

    @pytest.mark.sms_sandbox(login="unit")
    class TestMarked(unittest.TestCase):
        def test_marked(self):
            assert os.environ["SMSAPI_LOGIN"] == "unit"
            asyncio.run(send())

    class TestAutouse(unittest.IsolatedAsyncioTestCase):
        @pytest.fixture(autouse=True)
        def sandbox(self, sms_sandbox):
            self.sms_sandbox = sms_sandbox

        async def test_async(self):
            await send()
            assert self.sms_sandbox.code_to(NUMBER) == "4821"

    def documented():
        '''
        >>> sandbox = getfixture("sms_sandbox")
        >>> receipt = asyncio.run(send())
        >>> sandbox.code_to("+7 903 123-45-67")
        '4821'
        '''
    """
    )
    run = project.run("--doctest-modules")
    assert run.counts == {"passed": 3}, run.output


def test_a_subprocess(project: Project) -> None:
    """A process that the test starts sends to the sandbox, too."""
    project.write(
        APPLICATION
        + """
    import subprocess, sys

    def test_child(sms_sandbox):
        program = "import asyncio, test_user; asyncio.run(test_user.send())"
        child = subprocess.Popen([sys.executable, "-c", program])
        assert sms_sandbox.code_to(NUMBER, timeout=30) == "4821"
        assert child.wait() == 0
    """
    )
    run = project.run()
    assert run.counts == {"passed": 1}, run.output


def test_failures_show_what_was_sent(project: Project) -> None:
    """A failed check lists the accepted messages and the refused requests in the output of pytest."""
    project.write(
        APPLICATION
        + """
    def test_other_number(sms_sandbox):
        asyncio.run(send("Hello, no digits"))
        sms_sandbox.last_message_to("79990000000")
    """
    )
    run = project.run()
    assert run.counts == {"failed": 1}, run.output
    assert "no message to 79990000000 was sent" in run.output
    assert "sent: 1. to 79031234567: 'Hello, no digits'" in run.output


def test_the_example(project: Project) -> None:
    """The test of a login code in the documentation passes, and its sandbox needs no further setup."""
    project.write((ROOT / "tests" / "examples" / "test_login_code.py").read_text())
    run = project.run()
    assert run.counts == {"passed": 1}, run.output


_COST = """
import json, sys, time
start = time.process_time()
import pytest
middle = time.process_time()
import smsapi_async.testing.plugin
share = (time.process_time() - middle) / (middle - start)
print(json.dumps([share, sorted(sys.modules)]))
"""


def test_the_import_is_cheap() -> None:
    """The import of the plugin takes a twentieth of the CPU time of pytest's own, and no HTTP library."""
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", _COST], check=True, capture_output=True).stdout)
        for _ in range(10)
    ]
    heavy = {"httpx", "httpcore", "starlette", "uvicorn", "anyio", "attrs", "attr", "smsapi_async.errors"}
    assert not heavy & {*runs[0][1]}
    # The best run is the least disturbed by other programs. A comparison does not depend on the speed of the
    # machine: pytest takes some 100 ms.
    assert min(share for share, _ in runs) < 0.05
