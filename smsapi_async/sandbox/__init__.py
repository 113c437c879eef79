"""A gateway on your own machine for tests. It behaves like the vendor's gateway, but sends no SMS.

    # Serve the sandbox over a socket, on a free port.
    async with run_sandbox() as sandbox:
        async with AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url) as sms: ...

    # The same in a program without an event loop, or in any test. Read the code in the last message.
    with run_sandbox() as sandbox:
        ...
        code = sandbox.code_to("79031234567")

    # Call the sandbox in the same process, without a socket.
    httpx.AsyncClient(transport=httpx.ASGITransport(sandbox.app), base_url=sandbox.base_url)

    # Put a fault proxy in front of the sandbox.
    async with run_sandbox(faults=FaultPlan.script([Fault.RESET_AFTER_PASS])) as sandbox:
        ...  # `sandbox.proxy.history` lists the faults

    # Serve two lines to one gateway: `sandbox.base_url` is without faults, `sandbox.faults_url` is not.
    async with run_sandbox(port=8099, faults_port=8100, faults="plan.toml") as sandbox: ...

    # Wait for a message in an end-to-end test.
    message = await sandbox.accepted(to="79031234567", text="code", timeout=10)

The docstring of `smsapi_async.sandbox.faults` describes the kinds of fault.

The sandbox is written from the contract alone and shares no code with the client, so that the sandbox does
not repeat a mistake of the client.

**Number endings.** The last three digits of a destination address determine the states of the segments. A new
segment has state 255 (not yet in the database). One second after acceptance the segment is queued (-2). Two
seconds after acceptance the segment is sent (-1). Five seconds after acceptance the segment reaches its final
state. `Sandbox.advance` moves the clock, so a test does not have to wait.

| Ending | The segment |
|---|---|
| 910, 911, 941, 942, 946, 947, 948, 969 | reaches the final state 10, 11, 41, 42, 46, 47, 48, 69 |
| 997 | reaches the final state -97 (deleted; an older client of the vendor uses this code) |
| 903, 908, 992 | reaches the final state -3, 8, -200 (only the vendor's SOAP document has these states) |
| 998, 999 | stays in the state -98 (stopped), 99 (unknown) |
| 920, 930, 940, 991 | stays in the state -20, -30, -40, -100 (only the vendor's SOAP document has these) |
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

**Dialects.** The vendor's documents, and the answers that published clients recorded, differ from the
contract in some points. Each field of a `Dialect` is one such point. `Dialect.CONTRACT` is the default;
`Sandbox(dialect="latest")` is the same as `Sandbox(dialect=Dialect.LATEST)`. Each field can be set alone:
`Dialect(id_style="number")`, or `Dialect.LATEST.with_(version_2=False)`.

| Field | CONTRACT | LATEST | The field chooses |
|---|---|---|---|
| `gateway_time_zone` | GMT+03:00 | GMT+00:00 | the time zone of SendDate and of the range of Sms/Statistics |
| `accepts_trunk_prefix` | False | True | whether 89031234567 is accepted, and recorded as 79031234567 |
| `trims_numbers` | False | True | whether white space around a destination address is ignored |
| `bulk_by_time_zone` | "absent" | "available" | Sms/SendByTimeZoneToAddresses; "refused" gives code 6 |
| `version_2` | False | True | whether `/rest/v2` exists: Login and Password in place of a session id |
| `most_recipients` | None | 2999 | the recipients of a bulk; more get code 2; version 2 always has a limit |
| `strict_incoming_range` | False | True | the range of Sms/In: minDateUTC required, at most one year ago |
| `incoming_date` | "CreateDateUtc" | "CreatedDateUtc" | the creation date in Sms/In; also "CreationDateUtc" |
| `incoming_id` | None | None | "integer" or "string" in Sms/In; None follows `id_style` |
| `id_style` | "digits" | "number" | segment ids; also "alphanumeric"; "number" has the recipient's number |
| `finds_unescaped_ids` | False | True | whether Sms/State finds an id whose `+` became a space |
| `state_descriptions` | "document" | "wire" | the texts of the document, or the short texts in answers |
| `refused_login_status` | 401 | 403 | the HTTP status for a wrong login or password |
| `expired_session_code` | 4 | 4 | the error code for an expired session: 3 or 4 |
| `unquoted_errors` | False | False | whether the keys in error bodies are unquoted |
| `reads_all_bodies` | False | True | JSON bodies, multipart forms, and the body of a GET request |
| `accepts_post_to_read` | False | True | whether the resources that are read with GET accept POST |

Version 2 has the same resources as version 1, except User/SessionId. `Arrival.version` is the version of a
request, and `Arrival.resource` is the same name for both versions. Prepared responses, gates and fault plans
apply to both versions. A request to send with GET always gets HTTP status 405, and a list of numbers that
are separated by commas is always one invalid destination address.

**Source addresses.** `Sandbox(source_addresses=["ACME", "79160000000"])` lists the source addresses that the
account may use. The sandbox refuses others with code 6, "Invalid source address". Upper and lower case are
different. A test may set `Sandbox.source_addresses`. By default, the account may use all valid source
addresses.

**Time zones.** SendDate is in the time zone of the gateway, by default GMT+03:00, except for
Sms/SendByTimeZone and Sms/SendByTimeZoneToAddresses. For these, SendDate is in the local time of the
recipient. A small table maps the prefix of a number to a fixed offset from UTC. For example, 7 is +3, 7912 is
+5, 7913 is +7, 7914 is +10, 380 is +2, 375 is +3, 1 is -5, 44 is +0, and 91 is +5:30. The offset of a number
with an unknown prefix is +3. The range of Sms/Statistics is in the time zone of the gateway. The range of
Sms/In is in UTC. A range includes its start and its end. The sandbox ignores fractions of a second when it
compares a time with a range.

**Pushes.** With ``push_url``, `run_sandbox` pushes each incoming message to a handler when the message is
created: a POST with the form parameters ``sourcePhone``, ``number``, ``prefix``, ``text`` and ``messageId``.
A push fails if the handler does not answer within 30 seconds, or if the HTTP status of the answer is not 2xx.
The sandbox repeats a failed push up to four times. A repeat is due 60 seconds after the attempt before. These
seconds pass on the sandbox's clock, so ``advance(minutes=4)`` makes all repeats due, and
`Sandbox.wait_for_pushes` waits for them. An answer
with HTTP status 200, the content type text/plain and the body ``{sms=<text>}`` is a reply. The sandbox
accepts and bills the reply as a message from ``number`` to ``sourcePhone``. The sandbox drops a reply that is
empty or too long, that the account cannot pay, or whose ``sourcePhone`` is not a valid destination address.
`Account.pushes` lists the attempts, and `Account.replies` the replies.

**Clock.** With ``start``, the clock is frozen, otherwise it runs. `Sandbox.pause`, `Sandbox.run`,
`Sandbox.speed` and `Sandbox.advance` control the clock. A client with ``clock=sandbox.clock`` uses the time
of the sandbox: with a frozen clock, ``wait_delivered`` moves the clock forward and takes nearly no real time.

**Page and control API.** `run_sandbox` also serves a page with all messages and requests, at
`Sandbox.page_url`, and a control API below ``/api/v1``. ``GET /api/v1/openapi.json`` describes the control
API. For example, ``GET /api/v1/messages/latest?to=79031234567&wait=10`` waits for a message and returns the
message and its login code. The host name in the URL must be a name of this computer or one of
``allow_hosts``. Both mask each password that is not the password of the sandbox.

**Memory.** `Sandbox(keep=1000)` stores the last 1000 requests, messages, incoming messages, pushes and
decisions about faults. Without ``keep``, the sandbox stores all of them; the command ``sandbox`` has ``keep``
1000 by default. `Account.count`, the balance and Sms/Statistics count the removed ones, too, and Sms/State
still returns the states of a removed message for 48 hours. Sms/In does not return a removed message.
`Sandbox.clear` removes everything that arrived, and `Sandbox.reset` also restores the settings. After either,
Sms/State returns 255 for the removed messages, and Sms/Statistics does not count them.

**Events.** `Sandbox.feed` has a numbered event for each change. A task of any event loop waits for the next
event with `Feed.wait`, and a thread with `Feed.wait_in_thread`. Each message has a number of its own,
`AcceptedMessage.number`, so that parallel tests can ask for the messages after a number.

**Behaviour that the contract does not define.** If the form and the query contain the same parameter name,
the sandbox uses the value in the form, as ASP.NET MVC does. A list may have indexes:
`destinationAddresses[0]=`, or empty ones: `destinationAddresses[]=`. As in ASP.NET MVC, a list ends before
the first index that is missing. A request with a wrong method gets an HTML response with HTTP status 405. A
request with an unknown path gets an HTML response with HTTP status 404. A text of more than 2000 UTF-16 units
gets code 2. A negative Validity gets code 2. A range with a start after its end gets code 2. An invalid
destination address gets code 6. A date or a number that cannot be read gets code 9. DeliveryRatio is
Delivered as a percentage of Total. Total leaves out the messages in Errors. Sms/Statistics counts the states
10, 11, 41, -3, 8 and -200 as Errors, and the states 42, 47, 48, 69 and -97 as Rejected. Sms/Statistics counts
the states -2, -98, 99 and 255, and all states that the contract does not define, as InProcess.
"""

from smsapi_async.sandbox.dialect import Dialect
from smsapi_async.sandbox.gate import Gate

try:
    from smsapi_async.sandbox.account import AcceptedMessage, AcceptedSegment, Account, Arrival, Incoming
    from smsapi_async.sandbox.answers import Answer
    from smsapi_async.sandbox.client_clock import SandboxClock
    from smsapi_async.sandbox.feed import Feed, FeedEvent
    from smsapi_async.sandbox.gateway import Sandbox
    from smsapi_async.sandbox.journeys import Journey, JourneyRule, default_journey
    from smsapi_async.sandbox.push_attempts import PushAttempt
    from smsapi_async.sandbox.server import FaultsPortError, run_sandbox
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
    "AcceptedSegment",
    "Account",
    "Answer",
    "Arrival",
    "Dialect",
    "FaultsPortError",
    "Feed",
    "FeedEvent",
    "Gate",
    "Incoming",
    "Journey",
    "JourneyRule",
    "PushAttempt",
    "Sandbox",
    "SandboxClock",
    "default_journey",
    "run_sandbox",
]
