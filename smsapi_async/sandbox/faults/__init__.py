"""A TCP proxy that produces faults on purpose, for single requests, in front of any HTTP/1.1 server.

Use the proxy to test how code that sends messages handles a failing gateway. `run_fault_proxy` runs the
proxy. A `FaultPlan` determines the fault of each request. `FaultProxy.history` lists the faults so far. The
proxy does not depend on the client under test.

    async with run_fault_proxy("127.0.0.1", port, FaultPlan.script([Fault.RESET_AFTER_PASS])) as proxy:
        ...  # use `proxy.base_url` instead of the base URL of the gateway

The table lists the kinds of fault. The last column says whether the gateway gets the request. The property
`Fault.reaches_gateway` is true for the kinds with "yes" in this column. In `history`, `passed_on` says
whether the proxy passed one particular request on.

| Kind | What the proxy does | The gateway gets the request |
|---|---|---|
| `pass` | passes the request and the response on | yes |
| `refuse` | resets a new connection at once, before the proxy reads a byte or a TLS handshake | no |
| `accept-then-silence` | accepts a connection, ignores all bytes, never responds; no TLS handshake | no |
| `close-before-read` | reads the request line, closes the connection (FIN) | no |
| `reset-before-read` | reads the request line, resets the connection (RST) | no |
| `close-after-read` | reads the whole request, closes the connection | no |
| `reset-after-read` | reads the whole request, resets the connection | no |
| `hang-after-read` | reads the whole request, never responds | no |
| `close-after-pass` | passes the request on, waits for the response, closes the connection | yes |
| `reset-after-pass` | passes the request on, waits for the response, resets the connection | yes |
| `hang-after-pass` | passes the request on, waits for the response, never responds | yes |
| `truncate-after-pass` | passes the request on, sends the response head and half the body, closes | yes |
| `garbage-after-pass` | passes the request on, responds with bytes that are not HTTP, closes | yes |
| `tls-garbage-after-pass` | passes the request on, writes bytes that are not a TLS record, closes [1] | yes |
| `error-500-after-pass` | passes the request on, responds with status 500 and an HTML page | yes |
| `error-502-after-pass` | passes the request on, responds with status 502 and an HTML page | yes |
| `garbage` | responds with bytes that are not HTTP, closes the connection | no |
| `error-500` | responds with status 500 and an HTML page | no |
| `error-502` | responds with status 502 and an HTML page | no |
| `slow-bytes` | passes the request on, sends the response byte by byte | yes |
| `stale-keep-alive` | passes the request and the response on, closes when the next request begins | yes [2] |
| `two-answers` | passes the request on, sends the response and a second response [3] in one write | yes |
| `late-answer` | passes the request and the response on, sends a second response [3] when idle | yes |
| `redirect-307` | responds with status 307 and a redirect to the same target at the proxy | no |
| `too-many-requests-429` | responds with status 429 and `Retry-After` | no |
| `expired-session` | responds with status 401 and `{"Code":4,"Desc":"SessionID expired"}` | no |
| `unsolicited-408` | passes the request and the response on, sends a 408 response [4], closes | yes [2] |

[1] Without TLS, `tls-garbage-after-pass` is the same as `garbage-after-pass`.

[2] The proxy does not read the next request on the same connection and does not pass the next request on.

[3] The second response has status 200 and the body `["STALE-1"]`.

[4] The proxy sends the 408 response when the connection is idle or when the next request begins.

For most kinds of fault, a client cannot detect whether the gateway got the request. The faults exist to test
a client in this uncertainty. If there is no response, the client knows that nothing was sent only if the
connection or its TLS handshake failed. Over plain TCP, `refuse` does not make the connection fail, because
the operating system accepts the connection before the proxy resets it. To make connections fail, call
`FaultProxy.refuse_connections(True)`: the proxy then closes its listening socket. Under TLS, `refuse` and
`accept-then-silence` make the TLS handshake fail, so a client sends no request. If a client is still sending
its request when the proxy applies `close-before-read`, the client may get a connection reset.

**Counting.** When the proxy has read a whole request, the request gets a number, a fault and an entry in
`history`. For the four kinds with `Fault.precedes_reading`, the request gets its number, fault and entry when
the proxy has read the request line. The proxy does not count a request that the client aborts. The proxy also
does not count the next request that note [2] describes.

The proxy can apply `refuse` and `accept-then-silence` to a new connection, before the first request; the
entry in `history` then has no resource. The proxy applies a fault before the first request in two cases. In
the first case, the next fault of a script without a resource is one of these two kinds. In the second case,
the plan has no unused faults in a script, and the first rule that still applies has one of these two kinds,
no resource and probability 1. In all other cases, and on a connection that is in use, the proxy applies the
fault after the request line. After the request line, `refuse` has the same effect as `reset-before-read`.

**Passing on.** The proxy passes a request on when the proxy has read the whole request. Each request is
passed on over a new connection. If the proxy cannot connect to the server, the proxy uses its own response
with status 502 in place of the response of the server, and `passed_on` is false. If the server gets the
request and sends no valid response, the proxy uses the same response with status 502, but `passed_on` is
true. If the end of a request cannot be determined, the client gets a response with status 400, and the proxy
does not count the request.
"""

from smsapi_async.sandbox.faults.connections import HistoryEntry
from smsapi_async.sandbox.faults.kinds import Fault
from smsapi_async.sandbox.faults.plan import FaultPlan, FaultPlanError, Rule
from smsapi_async.sandbox.faults.proxy import FaultProxy, run_fault_proxy

__all__ = ["Fault", "FaultPlan", "FaultPlanError", "FaultProxy", "HistoryEntry", "Rule", "run_fault_proxy"]
