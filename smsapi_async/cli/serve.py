"""The command ``sandbox``: run a test gateway on this machine until Ctrl-C."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from errno import EADDRNOTAVAIL
from functools import partial
from ipaddress import ip_address
from shlex import quote
from socket import gaierror
from typing import Any

from anyio import to_thread
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.signals import wait_for_signal
from smsapi_async.errors import ValidationError
from smsapi_async.sandbox import FaultsPortError, Sandbox, run_sandbox
from smsapi_async.sandbox.faults import FaultPlan, FaultPlanError
from smsapi_async.sandbox.web.access import WebAccess

_LAST_PORT = 65535
_FAULTS = "It produces the faults of the fault plan."
_NO_FAULTS = "It has no fault plan, so it produces no faults."
_EVERYWHERE = (
    "It listens on all network interfaces, so other computers reach it by an address of this computer.\n"
)
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
    faults_port: int | None = None,
    allow_hosts: Sequence[str] = (),
    account: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Run a sandbox until SIGINT, SIGTERM or SIGHUP. Print the sandbox's addresses when the sandbox listens.

    Args:
        host: the network address to listen on.
        port: the port to listen on; 0 means any free port.
        speed: how many seconds pass on the sandbox's clock in one real second.
        faults: the path of a file with a fault plan, or None.
        faults_port: the port of the faulty line; 0 means any free port. None means the port after `port` or,
            if that port is in use, any free port.
        allow_hosts: the host names in the URLs of the page, besides those of this computer.
        account: parameters of `Sandbox`: the balance, the price of a segment, the latency of a response in
            seconds, the name of the dialect, the source addresses, and the URL to which incoming messages are
            pushed.
        as_json: whether the addresses are printed as JSON.

    Raises:
        ValidationError: if the sandbox cannot listen on one of the addresses, if the file contains no valid
            fault plan, or if a source address, an allowed host or the URL for pushes is invalid.
    """
    test_gateway = _sandbox(speed, account)
    _check_hosts(allow_hosts)
    plan = None if faults is None else await to_thread.run_sync(_plan, faults)
    async with AsyncExitStack() as stack:
        listening = partial(
            run_sandbox, test_gateway, port=port, host=host, faults=plan, allow_hosts=allow_hosts
        )
        # If the user chose no port for the faulty line, a port that is in use is no error.
        ports = [_port_after(port), 0] if faults_port is None else [faults_port]
        try:
            sandbox = await _enter(stack, listening, ports)
        except FaultsPortError as error:
            raise _unusable("--faults-port", ports[-1], host, error) from None
        except OSError as error:
            raise _unusable("--port", port, host, error) from None
        await wait_for_signal(partial(_announce, sandbox, host, speed, account["dialect"], as_json=as_json))


async def _enter(
    stack: AsyncExitStack,
    listening: Callable[..., AbstractAsyncContextManager[Sandbox]],
    faults_ports: Sequence[int],
) -> Sandbox:
    """Start a sandbox with the first of the ports on which the faulty line can listen."""
    *others, last = faults_ports
    for faults_port in others:
        with suppress(FaultsPortError):
            return await stack.enter_async_context(listening(faults_port=faults_port))
    return await stack.enter_async_context(listening(faults_port=last))


def _port_after(port: int) -> int:
    return port + 1 if 0 < port < _LAST_PORT else 0


def _unusable(option: str, port: int, host: str, error: OSError) -> ValidationError:
    reason = error.strerror or type(error).__name__
    # No port can be used with this network address.
    if isinstance(error, gaierror) or error.errno == EADDRNOTAVAIL:
        return ValidationError("--host", host, f"pass a network address of this computer ({reason})")
    return ValidationError(option, str(port), f"pass another {option} or --host ({reason})")


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


def _check_hosts(hosts: Sequence[str]) -> None:
    for host in hosts:
        try:
            WebAccess.to("", [host])
        except ValueError:
            raise ValidationError("--allow-host", repr(host), "pass a host name or an IP address") from None


def _plan(path: str) -> FaultPlan:
    try:
        return FaultPlan.load(path)
    except (OSError, FaultPlanError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ValidationError("--faults", repr(path), f"pass a file with a fault plan ({reason})") from None


def _page_line(sandbox: Sandbox) -> str:
    if sandbox.page_url is None:
        return "The page is off. Pass --allow-host with the host name in its URL."
    return f"The page with the messages is {sandbox.page_url}"


def _listens_everywhere(host: str) -> bool:
    try:
        return not host or ip_address(host).is_unspecified
    except ValueError:
        return False


def _announce(sandbox: Sandbox, host: str, speed: float, dialect: str, *, as_json: bool) -> None:
    # The password of the sandbox may be printed, because it does not protect a real account.
    if as_json:
        output.write_json(
            {
                "host": host,
                "base_url": sandbox.base_url,
                "faults_url": sandbox.faults_url,
                "page_url": sandbox.page_url,
                "login": sandbox.login,
                "password": sandbox.password,
                "speed": speed,
                "balance": sandbox.balance,
                "price": sandbox.price,
                "latency": sandbox.latency,
                "dialect": dialect,
                "source_addresses": sandbox.source_addresses,
                "keep": sandbox.keep,
            }
        )
    else:
        plan = sandbox.proxy and sandbox.proxy.plan
        source_address = (sandbox.source_addresses or ("ACME",))[0]
        output.write_view(
            Text(
                f"The sandbox listens on {sandbox.base_url}. It sends nothing to phones and bills nobody.\n"
                f"{_EVERYWHERE if _listens_everywhere(host) else ''}"
                f"The account has {output.money(sandbox.balance)}, and a segment costs "
                f"{output.money(sandbox.price)}.\n"
                f"{'' if dialect == 'contract' else _LATEST}"
                f"{_page_line(sandbox)}\n"
                f"The faulty line is {sandbox.faults_url}.\n"
                f"{_NO_FAULTS if plan is None or plan == FaultPlan() else _FAULTS}\n"
                "Press Ctrl-C to stop it. Run these commands in another terminal:\n\n"
                f"  export SMSAPI_BASE_URL={sandbox.base_url}\n"
                f"  export SMSAPI_LOGIN={sandbox.login} SMSAPI_PASSWORD={sandbox.password}\n"
                f"  export SMSAPI_SOURCE_ADDRESS={quote(source_address)}\n"
                "  smsapi-async send 79031234567 'Hello'\n"
            )
        )
    sys.stdout.flush()
