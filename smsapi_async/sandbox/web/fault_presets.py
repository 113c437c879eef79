"""The faults that the page offers as switches."""

from smsapi_async.sandbox.faults.kinds import Fault

FAULT_PRESETS = [
    {"fault": fault.value, "label": label, "note": note}
    for fault, label, note in (
        (Fault.RESET_AFTER_PASS, "Cut the line after sending", "the message is sent, but there is no answer"),
        (Fault.HANG_AFTER_PASS, "Send, then never answer", "the message is sent; the client times out"),
        (Fault.CLOSE_BEFORE_READ, "Hang up before reading", "the message is not sent"),
        (Fault.ERROR_500_AFTER_PASS, "Send, then answer 500", "the answer is an HTML page, not JSON"),
        (Fault.TOO_MANY_REQUESTS_429, "Too many requests", "429 with Retry-After; the message is not sent"),
        (Fault.EXPIRED_SESSION, "The session has expired", "401 with code 4; the client must log in again"),
        (Fault.SLOW_BYTES, "A slow line", "the answer arrives byte by byte"),
        (Fault.GARBAGE, "No HTTP at all", "the answer is not HTTP; the message is not sent"),
    )
]  # fmt: skip
"""For each switch: the kind of fault, a label, and a note about the effect."""

FAULT_KINDS = [{"fault": fault.value, "reaches_gateway": fault.reaches_gateway} for fault in Fault]
"""For each kind of fault: its name, and whether the gateway gets the request."""
