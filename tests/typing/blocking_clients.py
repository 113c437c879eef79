# mypy: disallow-any-expr
"""The blocking client: the types of its constructor and of its methods are those of `AsyncSmsClient`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_type

from smsapi_async import (
    Delivery,
    IncomingMessage,
    Message,
    Outcome,
    Receipt,
    RetryPolicy,
    SegmentState,
    Statistics,
)
from smsapi_async.blocking import CalledInEventLoop, SmsClient
from smsapi_async.ledger import Ledger, Summary
from smsapi_async.postgres import Shared


class AppSmsClient(SmsClient):
    """A subclass of the client, which an application may define."""


def construct() -> None:
    assert_type(SmsClient("login", "password", concurrency=3, retry=RetryPolicy()), SmsClient)
    assert_type(SmsClient.from_env(source_address="ACME", login="login"), SmsClient)
    assert_type(AppSmsClient.from_env(), AppSmsClient)
    with SmsClient.from_env() as sms:
        assert_type(sms, SmsClient)
    SmsClient("login", 5)  # type: ignore[arg-type]
    SmsClient("login", "password", concurency=3)  # type: ignore[call-arg]
    assert_type(CalledInEventLoop().is_retryable, bool)


def send(sms: SmsClient, ledger: Ledger, day: datetime) -> None:
    assert_type(sms.send("79031234567", "text", key="key", ledger=ledger, timeout=5), Receipt)
    assert_type(sms.send_by_time_zone("79031234567", "text", send_date=day), Receipt)
    assert_type(sms.send_bulk(["79031234567"], "text", validity=timedelta(minutes=5)), list[Receipt])
    assert_type(sms.send_pending(ledger, once=True, max_in_flight=5), Summary)
    sms.send(5, "text")  # type: ignore[arg-type]
    sms.send("79031234567", "text", valididty=5)  # type: ignore[call-arg]


def read(sms: SmsClient, receipt: Receipt, start: datetime) -> None:
    assert_type(sms.balance(timeout=5), Decimal)
    assert_type(sms.state("segment id"), SegmentState)
    assert_type(sms.wait_delivered(receipt), Delivery)
    assert_type(sms.incoming(since=start), list[IncomingMessage])
    assert_type(sms.statistics(start, start), Statistics)


def stream(sms: SmsClient, messages: list[Message], receipt: Receipt) -> None:
    batch = sms.send_many(messages, max_in_flight=5)
    assert_type(batch, AbstractContextManager[Iterator[Outcome]])
    with batch as outcomes, sms.track([receipt]) as deliveries, sms.watch_incoming(every=5) as incoming:
        assert_type(outcomes, Iterator[Outcome])
        assert_type(deliveries, Iterator[Delivery])
        assert_type(incoming, Iterator[IncomingMessage])


def own(sms: SmsClient) -> None:
    ledger = sms.open(Ledger.sqlite("run.db"))
    assert_type(ledger, Ledger)
    assert_type(sms.open(Shared.postgres("postgresql://host/shop")), Shared)
    assert_type(sms.call(ledger.summary), Summary)
    sms.close(grace=timedelta(seconds=5))
