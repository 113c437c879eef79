"""The output of the demo: a live display on a terminal, and the tables at the end."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.demo import Demo, DemoMessage, run_demo
from smsapi_async.cli.output import Document
from smsapi_async.privacy import mask_number


async def show_demo(*, speed: float, is_live: bool) -> Demo:
    """Run the demo, and return its results.

    Args:
        speed: how many seconds pass on the sandbox's clock in one real second.
        is_live: whether to show a live display. If standard output is not a terminal, no live display is
            shown.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    if not is_live or not console.is_terminal:
        return await run_demo(lambda _: None, speed=speed)
    spinner = Spinner("dots", style="cyan")
    # `observe` refreshes the display, because with `auto_refresh` a thread of rich would read the results
    # while the demo changes the results.
    with Live(console=console, transient=True, auto_refresh=False) as live:

        def observe(demo: Demo) -> None:
            spinner.update(text=Text(f" {demo.step}"))
            live.update(Group(_head(demo), "", _messages(demo), "", spinner), refresh=True)

        return await run_demo(observe, speed=speed)


def demo_document(demo: Demo) -> Document:
    """Return the results of the demo as JSON data."""
    return {
        "base_url": demo.base_url,
        "balance_before": demo.balance_before,
        "messages": [
            {
                "title": delivery.title,
                **output.receipt_document(delivery.receipt),
                "states": [
                    output.state_document(delivery.states[each])
                    for each in delivery.receipt.segment_ids
                    if each in delivery.states
                ],
            }
            for delivery in demo.deliveries
        ],
        **output.incoming_document(demo.incoming),
        "statistics": demo.statistics and output.statistics_document(demo.statistics),
        "balance_after": demo.balance_after,
        "spent": demo.spent,
        "logins": demo.logins,
        "requests": demo.requests,
    }


def demo_view(demo: Demo) -> RenderableType:
    """Return the results of the demo as tables that fit 80 columns."""
    parts: list[RenderableType] = [
        _head(demo),
        _messages(demo),
        output.incoming_view(demo.incoming, title="Replies"),
        _money(demo),
        Text(f"{demo.requests} requests, {demo.logins} logins. No real message was sent.", style="dim"),
    ]
    if demo.statistics is not None:
        parts.insert(-2, output.statistics_view(demo.statistics, title="Statistics"))
    # An empty line separates the parts.
    return Group(parts[0], *(each for part in parts[1:] for each in ("", part)))


def _head(demo: Demo) -> RenderableType:
    where = f"on {demo.base_url}" if demo.base_url else ""
    balance = "" if demo.balance_before is None else f"Balance: {output.money(demo.balance_before)}"
    return Group(
        Text.assemble(("smsapi-async demo", "bold"), f": the sandbox gateway {where}"), Text(balance)
    )


def _messages(demo: Demo) -> RenderableType:
    rows = output.table("Message", "To", "Segment", "State", "Price", right=["Price"], title="Messages")
    for delivery in demo.deliveries:
        for row in _rows(delivery):
            rows.add_row(*row)
    return rows


def _rows(delivery: DemoMessage) -> Iterator[tuple[RenderableType, ...]]:
    receipt = delivery.receipt
    for index, segment_id in enumerate(receipt.segment_ids):
        state = delivery.states.get(segment_id)
        yield (
            Text("" if index else delivery.title),
            Text("" if index else mask_number(receipt.message.destination_address).strip("'")),
            Text(f"{index + 1}/{len(receipt.segment_ids)}"),
            Text("accepted", style="dim") if state is None else output.state_text(state.state, brief=True),
            Text("" if state is None else output.money(state.price)),
        )


def _money(demo: Demo) -> RenderableType:
    rows = output.table("Before", "Spent", "After", right=["Before", "Spent", "After"], title="Balance")
    rows.add_row(*map(output.money, (demo.balance_before, demo.spent, demo.balance_after)))
    return rows
