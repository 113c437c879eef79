"""The command ``sandbox``: run a test gateway on this machine until Ctrl-C."""

import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from shlex import quote
from typing import Any

import anyio
from anyio import to_thread
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.signals import signal_receiver
from smsapi_async.errors import ValidationError
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import FaultPlan, FaultPlanError

_LATEST = (
    "It imitates the gateway of the later documents, also version 2 of the interface, below /v2.\n"
    "Send dates are in GMT+00:00: pass --gateway-time-zone +00:00 with a send date.\n"
)


async def serve(
    host: str,
    port: int,
    speed: float,
    faults: str | None = None,
    *,
    account: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Run a sandbox until SIGINT, SIGTERM or SIGHUP. Print the sandbox's address when the sandbox listens.

    Args:
        host: the network address to listen on.
        port: the port to listen on; 0 means any free port.
        speed: how many seconds pass on the sandbox's clock in one real second.
        faults: the path of a file with a fault plan, or None.
        account: parameters of `Sandbox`: the balance, the price of a segment, the latency of a response in
            seconds, the name of the dialect, the source addresses, and the URL to which incoming messages are
            pushed.
        as_json: whether the address is printed as JSON.

    Raises:
        ValidationError: if the sandbox cannot listen on the address, if the file contains no valid fault
            plan, or if a source address or the URL for pushes is invalid.
    """
    test_gateway = _sandbox(speed, account)
    plan = None if faults is None else await to_thread.run_sync(_plan, faults)
    async with AsyncExitStack() as stack:
        try:
            sandbox = await stack.enter_async_context(
                run_sandbox(test_gateway, port=port, host=host, faults=plan)
            )
        except OSError as error:
            hint = f"pass another --port or --host ({error.strerror or type(error).__name__})"
            raise ValidationError("--port", str(port), hint) from None
        await _announce_and_wait(sandbox, speed, account["dialect"], as_json=as_json)


def _sandbox(speed: float, account: Mapping[str, Any]) -> Sandbox:
    options = {**account}
    source_addresses, push_url = options.pop("source_addresses"), options.pop("push_url")
    sandbox = Sandbox(speed=speed, **options)
    try:
        sandbox.push_to(push_url)
    except ValueError as error:
        raise ValidationError("--push-url", "this URL", str(error)) from None
    try:
        sandbox.source_addresses = source_addresses
    except ValueError:
        hint = "pass at most 15 digits, or at most 11 Latin characters"
        raise ValidationError("--source-address", "the value", hint) from None
    return sandbox


def _plan(path: str) -> FaultPlan:
    try:
        return FaultPlan.load(path)
    except (OSError, FaultPlanError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ValidationError("--faults", repr(path), f"pass a file with a fault plan ({reason})") from None


def _announce(sandbox: Sandbox, speed: float, dialect: str, *, as_json: bool) -> None:
    # The password of the sandbox may be printed, because it does not protect a real account.
    if as_json:
        output.write_json(
            {
                "base_url": sandbox.base_url,
                "login": sandbox.login,
                "password": sandbox.password,
                "speed": speed,
                "balance": sandbox.balance,
                "price": sandbox.price,
                "latency": sandbox.latency,
                "dialect": dialect,
                "source_addresses": sandbox.source_addresses,
            }
        )
    else:
        source_address = (sandbox.source_addresses or ("ACME",))[0]
        output.write_view(
            Text(
                f"The sandbox listens on {sandbox.base_url}. It sends nothing to phones and bills nobody.\n"
                f"The account has {output.money(sandbox.balance)}, and a segment costs "
                f"{output.money(sandbox.price)}.\n"
                f"{'' if dialect == 'contract' else _LATEST}"
                f"{'' if sandbox.proxy is None else 'It produces the faults of the fault plan. '}"
                "Press Ctrl-C to stop it. Run these commands in another terminal:\n\n"
                f"  export SMSAPI_BASE_URL={sandbox.base_url}\n"
                f"  export SMSAPI_LOGIN={sandbox.login} SMSAPI_PASSWORD={sandbox.password}\n"
                f"  export SMSAPI_SOURCE_ADDRESS={quote(source_address)}\n"
                "  smsapi-async send 79031234567 'Hello'\n"
            )
        )
    sys.stdout.flush()


async def _announce_and_wait(sandbox: Sandbox, speed: float, dialect: str, *, as_json: bool) -> None:
    """Print the address of the sandbox, and wait for SIGINT, SIGTERM or SIGHUP."""
    try:
        with signal_receiver() as signals:
            # A signal that arrives directly after the announcement must have its effect.
            _announce(sandbox, speed, dialect, as_json=as_json)
            async for _ in signals:
                return
    except NotImplementedError:
        # Outside the main thread, no signals are received.
        _announce(sandbox, speed, dialect, as_json=as_json)
        await anyio.sleep_forever()
