"""The benchmarks measure the same work, and say so when a goal is missed. Nothing here is timed."""

import anyio
import pytest

from benchmarks import server
from benchmarks.contenders import WAYS
from benchmarks.measure import Goal, Table, alternate

pytest.importorskip("aiohttp")


@pytest.mark.parametrize("name", WAYS)
def test_each_way_sends_and_gets_its_ids(name: str) -> None:
    """Whatever is compared makes a request with number and text, and has the segment's id from the answer."""

    async def main() -> None:
        with anyio.fail_after(20):
            async with WAYS[name](url, 2) as send:
                for number in range(3):
                    ids = await send(f"7903000000{number}", "Ваш код: 1")
                    assert len(ids) == 1
                    assert ids[0].isdigit()

    with server.running() as url:
        anyio.run(main)


def test_rounds_alternate_and_ratios_are_of_neighbours() -> None:
    """A drift of the machine meets every contender alike: the ratio of equal ones stays 1."""
    order: list[str] = []
    drift = iter([10.0, 10.0, 20.0, 20.0, 90.0, 90.0])

    def contender(name: str) -> float:
        order.append(name)
        return next(drift)

    table = Table("Two alike", "sends/s", reference="a")
    for name, figures in alternate({"a": lambda: contender("a"), "b": lambda: contender("b")}, 3).items():
        table.add(name, "rate", figures)
    assert order == ["a", "b"] * 3
    assert (table.rows["b"]["rate"], table.ratio("b", "rate")) == (20.0, 1.0)


@pytest.mark.parametrize(("value", "verdict"), [(0.59, "MISSED"), (0.6, "met")])
def test_a_missed_goal_is_shown(value: float, verdict: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Under its table each goal stands with what came of it."""
    table = Table("Sends", "sends/s")
    table.add("a", "rate", [value])
    table.goals.append(Goal("a / b", value, 0.6, "x"))
    table.show()
    assert capsys.readouterr().out.rstrip().endswith(f": {verdict}")
    assert table.plain()["goals"][0]["is_met"] is (verdict == "met")


def test_the_server_ends_with_the_block() -> None:
    """After the block nothing listens on the address any more."""

    async def main() -> None:
        with pytest.raises(OSError, match="connect"):
            await anyio.connect_tcp("127.0.0.1", int(url.rsplit(":", 1)[1].split("/")[0]))

    with server.running() as url:
        pass
    anyio.run(main)
