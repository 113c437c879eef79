"""The guard outside the tests: in a conftest, during the collection, in hooks, and after the tests."""

import pytest

from tests.testing.conftest import Project
from tests.testing.test_guard import PROGRAMS

PASSING = """
    def test_one():
        pass

    def test_two():
        pass
"""
WORKERS = pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one process", "workers"])


@WORKERS
def test_a_file_that_sends_when_it_is_imported(project: Project, arguments: tuple[str, ...]) -> None:
    """A file whose import makes a request cannot be collected, and the error names the file and the line."""
    project.write(PROGRAMS, "app.py")
    project.write("import app\n\napp.swallow()\n" + PASSING.replace("\n    ", "\n"))
    run = project.run(*arguments)
    assert run.code != 0
    assert "1 error" in run.output
    assert "user/sessionid to integrationapi.net at app.py:" in run.output
    assert "passed" not in run.output


HOOKS = """
    def swallow_at(place):
        swallow(base_url=f"https://{place}.invalid/rest")

    swallow_at("conftest")

    def pytest_configure():
        swallow_at("configure")

    def pytest_sessionstart():
        swallow_at("start")

    def pytest_collection_modifyitems():
        swallow_at("collection")

    def pytest_runtest_logfinish():
        swallow_at("between")

    def pytest_sessionfinish():
        swallow_at("finish")

    def pytest_unconfigure():
        swallow_at("unconfigure")
"""


@WORKERS
def test_a_conftest_that_sends(project: Project, arguments: tuple[str, ...]) -> None:
    """A request of a conftest or of its hooks fails the run but no test, and the output names the line."""
    project.write(PROGRAMS + HOOKS, "conftest.py")
    project.write(PASSING)
    run = project.run(*arguments)
    assert run.code == pytest.ExitCode.TESTS_FAILED, run.output
    assert "2 passed" in run.output
    for place in ("conftest", "configure", "start", "collection", "between", "finish", "unconfigure"):
        assert f"user/sessionid to {place}.invalid at conftest.py:" in run.output
    assert "79031234567" not in run.output


@WORKERS
@pytest.mark.parametrize("hook", ["pytest_sessionfinish", "pytest_unconfigure", "pytest_sessionstart"])
def test_a_single_hook(project: Project, hook: str, arguments: tuple[str, ...]) -> None:
    """One request of one hook is enough to fail the run."""
    if arguments and hook == "pytest_unconfigure":
        pytest.skip("the exit code of a worker does not count")
    project.write(f"{PROGRAMS}\n    def {hook}():\n        swallow()\n", "conftest.py")
    project.write(PASSING)
    assert project.run(*arguments).code == pytest.ExitCode.TESTS_FAILED


def test_a_raised_error_of_a_conftest(project: Project) -> None:
    """A conftest that does not handle the error stops pytest before any test."""
    project.write(f"{PROGRAMS}\n    send()\n", "conftest.py")
    project.write(PASSING)
    run = project.run()
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "RealSendBlocked" in run.output


@WORKERS
def test_a_fixture_that_sends(project: Project, arguments: tuple[str, ...]) -> None:
    """A request in the setup or in the teardown of a fixture is an error of a test."""
    project.write(
        PROGRAMS
        + """
    @pytest.fixture
    def before():
        swallow()

    @pytest.fixture
    def after():
        yield
        swallow()

    @pytest.fixture(scope="session")
    def before_all():
        swallow()

    @pytest.fixture(scope="session")
    def after_all():
        yield
        swallow()

    def test_before(before): ...

    def test_after(after): ...

    def test_before_all(before_all): ...

    def test_after_all(after_all): ...
    """
    )
    run = project.run(*arguments)
    assert run.counts == {"passed": 2, "error": 4}, run.output
    assert run.output.count("user/sessionid to integrationapi.net at test_user.py:") >= 4


LATE = {
    "thread": "threading.Thread(target=late).start()",
    "daemon": "threading.Thread(target=late, daemon=True).start(); atexit.register(time.sleep, 2)",
    "exit": "atexit.register(swallow)",
}


@pytest.mark.parametrize("kind", LATE)
def test_requests_after_the_tests(project: Project, kind: str) -> None:
    """What a test leaves behind in the process sends nothing, and the output names the line."""
    project.write(
        PROGRAMS
        + f"""
    import atexit, time

    def late():
        while "PYTEST_VERSION" in os.environ:
            time.sleep(0.01)
        time.sleep(0.2)
        swallow()

    def test_leaves():
        {LATE[kind]}
    """
    )
    run = project.run()
    assert "1 passed" in run.output
    assert "guard of smsapi-async blocked user/sessionid to integrationapi.net at test_user.py" in run.output


def test_a_program_that_runs_pytest(project: Project) -> None:
    """After `pytest.main`, the program itself may send, and the environment is as before."""
    project.write(PROGRAMS, "app.py")
    project.write("def test_one(): ...")
    project.write(
        """
        import os
        import pytest
        before = dict(os.environ)
        assert pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]) == 0
        assert dict(os.environ) == before
        import app
        try:
            app.send(base_url="https://gateway.invalid/rest")
        except Exception as error:
            print("error:", type(error).__name__)
        """,
        "program.py",
    )
    assert "error: NotSent" in project.python("program.py").output
