"""The output of the demo: a live display on a terminal, and the tables at the end."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.demo import Demo, DemoMessage, run_demo
from smsapi_async.cli.output import Document
from smsapi_async.cli.signals import wait_for_signal
from smsapi_async.privacy import mask_number


async def show_demo(*, speed: float, keep: bool, as_json: bool) -> Demo | None:
    """Run the demo.

    Args:
        speed: how many seconds pass on the sandbox's clock in one real second.
        keep: whether to print the results, and to leave the sandbox and its page open until SIGINT, SIGTERM
            or SIGHUP.
        as_json: whether the results are printed as JSON. Otherwise a terminal shows a live display.

    Returns:
        The results; None if the results were printed already.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    is_live = console.is_terminal and not as_json
    spinner = Spinner("dots", style="cyan")
    # `observe` refreshes the display, because with `auto_refresh` a thread of rich would read the results
    # while the demo changes the results.
    with Live(console=console, transient=True, auto_refresh=False) if is_live else nullcontext() as live:

        def observe(demo: Demo) -> None:
            if live is not None:
                spinner.update(text=Text(f" {demo.step}"))
                live.update(Group(_head(demo), "", _messages(demo), "", spinner), refresh=True)

        async def stay(demo: Demo) -> None:
            if live is not None:
                live.stop()
            await wait_for_signal(partial(_print, demo, as_json=as_json))

        demo = await run_demo(observe, speed=speed, stay=stay if keep else None)
    return None if keep else demo


def _print(demo: Demo, *, as_json: bool) -> None:
    if as_json:
        output.write_json(demo_document(demo))
    else:
        output.write_view(demo_view(demo))
    sys.stdout.flush()


def demo_document(demo: Demo) -> Document:
    """Return the results of the demo as JSON data."""
    return {
        "base_url": demo.base_url,
        "link": demo.link,
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
    if demo.link is not None:
        # The link is one line, so that a terminal makes all of it a link.
        words = "The sandbox and its page stay open. Press Ctrl-C to stop them.\n"
        parts.append(Text(f"{words}{demo.link}", overflow="ignore", no_wrap=True))
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
