"""Tests that the benchmarks give equal work to all contenders and report missed goals, without timings."""

import json
from pathlib import Path

import anyio
import pytest

from benchmarks import __main__ as command
from benchmarks import batches, server
from benchmarks.contenders import CONTENDERS
from benchmarks.measure import Goal, Options, Table, alternate

FOLDER = Path(server.__file__).parent


@pytest.mark.parametrize("name", CONTENDERS)
def test_each_contender_sends_and_returns_the_ids(name: str) -> None:
    """Each contender sends a request with a phone number and a text, and returns the ids in the response."""

    async def main() -> None:
        with anyio.fail_after(20):
            async with CONTENDERS[name](url, 2) as send:
                for number in range(3):
                    ids = await send(f"7903000000{number}", "Ваш код: 1")
                    assert len(ids) == 1
                    assert ids[0].isdigit()

    with server.running() as url:
        anyio.run(main)


def test_each_contender_of_one_text_returns_the_number_of_ids() -> None:
    """Each contender sends one text in several requests, and returns the number of received segment ids."""
    recipients = batches.numbers(0, batches.RECIPIENTS_PER_REQUEST * 2)

    async def main() -> None:
        with anyio.fail_after(20):
            for open_contender in batches.BATCHES.values():
                async with open_contender(url) as send:
                    assert await send(recipients) == len(recipients)

    with server.running() as url:
        anyio.run(main)


@pytest.mark.parametrize("name", command.NAMES)
def test_each_name_of_the_command_is_a_benchmark(name: str) -> None:
    """Each name that the command line accepts is a module with a function `run`."""
    assert "\ndef run(" in (FOLDER / f"{name}.py").read_text()


def test_the_benchmark_of_tracking_has_tables_that_json_can_hold() -> None:
    """The benchmark `tracking` returns two tables that contain all goals and can be written as JSON."""
    from benchmarks import tracking  # noqa: PLC0415 - only this test needs the simulation

    tables = tracking.run("", Options(scale=100))
    assert [len(table.goals) for table in tables] == [2, 1]
    assert {*tables[0].rows} == {*tables[1].rows} == {*tracking.NAMES.values()}
    assert json.dumps([table.plain() for table in tables])


def test_rounds_alternate_and_ratios_are_of_neighbours() -> None:
    """Two equally fast contenders have the ratio 1, even if the load of the machine grows in each round."""
    order: list[str] = []
    # In each round, both contenders return the same figure, which is higher than in the round before.
    drift = iter([10.0, 10.0, 20.0, 20.0, 90.0, 90.0])

    def contender(name: str) -> float:
        order.append(name)
        return next(drift)

    table = Table("Two equal contenders", "sends/s", reference="a")
    for name, figures in alternate({"a": lambda: contender("a"), "b": lambda: contender("b")}, 3).items():
        table.add(name, "rate", figures)
    assert order == ["a", "b"] * 3
    assert (table.rows["b"]["rate"], table.ratio("b", "rate")) == (20.0, 1.0)


@pytest.mark.parametrize(("value", "verdict"), [(0.59, "MISSED"), (0.6, "met")])
def test_a_missed_goal_is_shown(value: float, verdict: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A table prints each goal with the measured figure and the word "met" or "MISSED"."""
    table = Table("Sends", "sends/s")
    table.add("a", "rate", [value])
    table.goals.append(Goal("a / b", value, 0.6, "x"))
    table.show()
    assert capsys.readouterr().out.rstrip().endswith(f"measured {value:.2f}: {verdict}")
    assert table.plain()["goals"][0]["is_met"] is (verdict == "met")


def test_the_server_ends_with_the_block() -> None:
    """After the `with` block of `server.running`, the benchmark server accepts no connection."""

    async def main() -> None:
        with pytest.raises(OSError, match="connect"):
            await anyio.connect_tcp("127.0.0.1", int(url.rsplit(":", 1)[1].split("/")[0]))

    with server.running() as url:
        pass
    anyio.run(main)
