"""A gateway on your own machine that behaves as the vendor's does, and bills nobody.

    async with run_sandbox() as sandbox:                      # over a socket, on a free port
        async with AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url) as sms: ...

    httpx.AsyncClient(transport=httpx.ASGITransport(sandbox.app), base_url=sandbox.base_url)   # in process

    async with run_sandbox(faults=FaultPlan.script([Fault.RESET_AFTER_PASS])) as sandbox:      # misbehaving
        ...  # `smsapi_async.sandbox.faults` has the kinds; `sandbox.proxy.history` tells what went wrong

It is written from the contract alone and shares no code with the client, so that one mistake cannot pass
both.

**What a number's last three digits ask for.** A segment is not yet in the database (255) for one second,
then queued (-2), sent (-1) two seconds after it was accepted, and final after five. `advance` moves all of
this.

| Ending | The segment |
|---|---|
| 910, 911, 941, 942, 946, 947, 948, 969 | ends in 10, 11, 41, 42, 46, 47, 48, 69 |
| 997 | ends in -97 (deleted, as an older client of the vendor spells it) |
| 998, 999 | stays at -98 (stopped), at 99 (unknown) |
| 901, 902 | stays at -1 (sent), at -2 (queued) |
| 955 | stays at 255: never in the database |
| 806, 807, 808, 809 | is never accepted: the request, a bulk as well, is refused with code 6, 7, 8, 9 |
| 700 | is delivered, and the recipient answers "Re: " and the first 20 characters to the source address |
| anything else | is delivered (0) |

A segment that is not final when the validity of its message ends becomes 46 (expired), except one that
stays at 255. The default validity is 48 hours. A message older than 48 hours is forgotten: 255 again. A
scheduled message is queued until it is due; its steps, validity and age count from then. A time that is
past means at once.

**Time zones.** SendDate is GMT+03:00, except for Sms/SendByTimeZone: there it is the recipient's wall clock
by a small table of fixed offsets (7 is +3, with 7912 +5, 7913 +7, 7914 +10 and others; 380 is +2, 375 +3, 1
-5, 44 +0, 91 +5:30; an unknown prefix is +3). Statistics are asked in GMT+03:00, incoming messages in UTC;
both ends of a range are counted, to the whole second.

**Where the contract is silent.** A name given in both form and query is taken from the form, as ASP.NET MVC
does. A wrong method is 405, an unknown path 404, both in HTML. A text over 2000 UTF-16 units is code 2, so
are a negative Validity and a range whose start is after its end; a bad destination is code 6. A date or a
number that cannot be read is code 9. DeliveryRatio is a percentage of Total. Statistics count 10, 11 and 41
as Errors; 42, 47, 48, 69 and -97 as Rejected; whatever has no count of its own as InProcess.
"""

from smsapi_async.sandbox.account import AcceptedMessage, Account, Arrival
from smsapi_async.sandbox.gate import Gate
from smsapi_async.sandbox.journeys import Journey, JourneyRule, default_journey

try:
    from smsapi_async.sandbox.gateway import Sandbox
    from smsapi_async.sandbox.server import run_sandbox
except ModuleNotFoundError as error:
    library = (error.name or "").partition(".")[0]
    if library not in {"starlette", "uvicorn"}:
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
