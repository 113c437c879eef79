"""A gateway on your own machine for tests. It behaves like the vendor's gateway, but sends no SMS.

    # Serve the sandbox over a socket, on a free port.
    async with run_sandbox() as sandbox:
        async with AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url) as sms: ...

    # Call the sandbox in the same process, without a socket.
    httpx.AsyncClient(transport=httpx.ASGITransport(sandbox.app), base_url=sandbox.base_url)

    # Put a fault proxy in front of the sandbox.
    async with run_sandbox(faults=FaultPlan.script([Fault.RESET_AFTER_PASS])) as sandbox:
        ...  # `sandbox.proxy.history` lists the faults

The docstring of `smsapi_async.sandbox.faults` describes the kinds of fault.

The sandbox is written from the contract alone and shares no code with the client, so that the sandbox does
not repeat a mistake of the client.

**Number endings.** The last three digits of a destination address determine the states of the segments. A new
segment has state 255 (not yet in the database). One second after acceptance the segment is queued (-2). Two
seconds after acceptance the segment is sent (-1). Five seconds after acceptance the segment reaches its
final state. `Sandbox.advance` moves the clock, so a test does not have to wait.

| Ending | The segment |
|---|---|
| 910, 911, 941, 942, 946, 947, 948, 969 | reaches the final state 10, 11, 41, 42, 46, 47, 48, 69 |
| 997 | reaches the final state -97 (deleted; an older client of the vendor uses this code) |
| 998, 999 | stays in the state -98 (stopped), 99 (unknown) |
| 901, 902 | stays in the state -1 (sent), -2 (queued) |
| 955 | stays in the state 255 (the segment is never in the database) |
| 806, 807, 808, 809 | is never accepted: the whole request (also a bulk) is refused with code 6, 7, 8, 9 |
| 700 | is delivered (0); the source address gets a reply: "Re: " and the first 20 characters of the text |
| anything else | is delivered (0) |

A segment that is not final when the validity of its message ends changes to state 46 (expired). A segment
that stays in the state 255 does not expire. The default validity is 48 hours. When a message is older than 48
hours, Sms/State returns 255 again. A scheduled message is queued until its send date. For a scheduled
message, the steps, the validity and the 48 hours count from the send date and not from the acceptance. A
message with a send date in the past is sent at once.

**Time zones.** SendDate is in GMT+03:00, except for Sms/SendByTimeZone. For Sms/SendByTimeZone, SendDate is
in the local time of the recipient. A small table maps the prefix of a number to a fixed offset from UTC. For
example, 7 is +3, 7912 is +5, 7913 is +7, 7914 is +10, 380 is +2, 375 is +3, 1 is -5, 44 is +0, and 91 is
+5:30. The offset of a number with an unknown prefix is +3. The range of Sms/Statistics is in GMT+03:00. The
range of Sms/In is in UTC. A range includes its start and its end. The sandbox ignores fractions of a second
when it compares a time with a range.

**Behaviour that the contract does not define.** If the form and the query contain the same parameter name,
the sandbox uses the value in the form, as ASP.NET MVC does. A request with a wrong method gets an HTML
response with HTTP status 405. A request with an unknown path gets an HTML response with HTTP status 404. A
text of more than 2000 UTF-16 units gets code 2. A negative Validity gets code 2. A range with a start after
its end gets code 2. An invalid destination address gets code 6. A date or a number that cannot be read gets
code 9. DeliveryRatio is Delivered as a percentage of Total. Total leaves out the messages in Errors.
Sms/Statistics counts the states 10, 11 and 41 as Errors, and the states 42, 47, 48, 69 and -97 as Rejected.
Sms/Statistics counts the states -2, -98, 99 and 255, and all states that the contract does not define, as
InProcess.
"""

from smsapi_async.sandbox.account import AcceptedMessage, Account, Arrival
from smsapi_async.sandbox.gate import Gate
from smsapi_async.sandbox.journeys import Journey, JourneyRule, default_journey

try:
    from smsapi_async.sandbox.gateway import Sandbox
    from smsapi_async.sandbox.server import run_sandbox
except ModuleNotFoundError as error:
    # The extra `sandbox` installs starlette, tomli_w and uvicorn. If another module is missing, a hint about
    # the extra would be wrong.
    library = (error.name or "").partition(".")[0]
    if library not in {"starlette", "tomli_w", "uvicorn"}:
        raise
    hint = f"the sandbox needs {library}: pip install 'smsapi-async[sandbox]'"
    raise ModuleNotFoundError(hint, name=error.name) from None

__all__ = [
    "AcceptedMessage",
    "Account",
    "Arrival",
    "Gate",
    "Journey",
    "JourneyRule",
    "Sandbox",
    "default_journey",
    "run_sandbox",
]
