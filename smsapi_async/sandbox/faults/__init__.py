"""A TCP proxy that misbehaves on purpose, per HTTP request, in front of any HTTP/1.1 server.

It shows how code that sends messages bears a gateway that fails: `run_fault_proxy` runs it, a `FaultPlan`
says what goes wrong, `FaultProxy.history` what went wrong. It knows nothing of the client it is used to
test.

    async with run_fault_proxy("127.0.0.1", port, FaultPlan.script([Fault.RESET_AFTER_PASS])) as proxy:
        ...  # proxy.base_url stands for the gateway's

What each kind does, and whether the gateway got the request (`Fault.reaches_gateway`; in `history`,
`passed_on`):

| Kind | What the proxy does | Got it |
|---|---|---|
| `pass` | passes the request and the answer on | yes |
| `refuse` | resets a new connection as it is accepted, before a byte or a TLS handshake is read | no |
| `accept-then-silence` | accepts, heeds nothing that comes, never answers; no TLS handshake either | no |
| `close-before-read` | closes (FIN) when the request line is there | no |
| `reset-before-read` | resets (RST) when the request line is there | no |
| `close-after-read` | closes when the whole request is read | no |
| `reset-after-read` | resets when the whole request is read | no |
| `hang-after-read` | reads the whole request and never answers | no |
| `close-after-pass` | passes on, waits for the answer, closes instead of answering | yes |
| `reset-after-pass` | the same with a reset | yes |
| `hang-after-pass` | passes on, waits for the answer, never answers | yes |
| `truncate-after-pass` | passes on, sends the answer's head and half its body, closes | yes |
| `garbage-after-pass` | passes on, answers with bytes that are no HTTP, closes | yes |
| `tls-garbage-after-pass` | the same beneath TLS: bytes that are no TLS record; without TLS as above | yes |
| `error-500-after-pass` | passes on, answers 500 with an HTML page | yes |
| `error-502-after-pass` | passes on, answers 502 with an HTML page | yes |
| `garbage` | answers with bytes that are no HTTP, closes | no |
| `error-500` | answers 500 with an HTML page | no |
| `error-502` | answers 502 with an HTML page | no |
| `slow-bytes` | passes on, sends the answer byte by byte | yes |
| `stale-keep-alive` | passes on, answers, closes when the first byte of the next request comes | yes [1] |
| `two-answers` | passes on, answers; in the same write a second answer, 200 with `["STALE-1"]` | yes |
| `late-answer` | passes on, answers; a second answer as above once the connection is idle a moment | yes |
| `redirect-307` | answers 307 to the same target at the proxy | no |
| `too-many-requests-429` | answers 429 with `Retry-After` | no |
| `expired-session` | answers 401 `{"Code":4,"Desc":"SessionID expired"}` | no |
| `unsolicited-408` | passes on, answers; then 408, idle or to the next request, and closes | yes [1] |

[1] The next request on that connection is neither read nor passed on.

A client cannot tell most pairs of "yes" and "no" apart, which is the point: only a connection that was
never opened proves from the outside that nothing was sent. That is not `refuse` over plain TCP, where
connecting mostly succeeds before the reset, but `FaultProxy.refuse_connections(True)`, which closes the
listening socket. Under TLS `refuse` and `accept-then-silence` break the handshake, hence come before any
request; and a client that is still sending may see `close-before-read` as a reset.

How requests are counted. A request gets its number, its decision and its line in `history` when it is read
to its end; for the four kinds that strike before that (`Fault.precedes_reading`), when its request line is
there. A request its client gives up halfway is not counted, nor is the one of note [1]. `refuse` and
`accept-then-silence` are decided for the connection as it is accepted, as a request of no resource, where
the plan gives them to whatever comes next: by a script or by a rule with probability 1, either without a
resource. Anywhere else, and on a connection that is in use, they wait for the request line; `refuse` is
then the same as `reset-before-read`.

A request is passed on once it is whole, over a connection of its own. If the server behind the proxy cannot
be reached the answer is a 502 of the proxy's, and `passed_on` stays false. A request whose end cannot be
told is answered with 400 and not counted.
"""

from smsapi_async.sandbox.faults.connections import HistoryEntry
from smsapi_async.sandbox.faults.kinds import Fault
from smsapi_async.sandbox.faults.plan import FaultPlan, FaultPlanError, Rule
from smsapi_async.sandbox.faults.proxy import FaultProxy, run_fault_proxy

__all__ = ["Fault", "FaultPlan", "FaultPlanError", "FaultProxy", "HistoryEntry", "Rule", "run_fault_proxy"]
