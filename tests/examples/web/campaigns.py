"""A part of the FastAPI application: its health, and campaigns that continue after `kill -9`."""

import logging
import os
from typing import Annotated, NamedTuple

import anyio
import psycopg
from fastapi import APIRouter, Depends, Request

from smsapi_async import AsyncSmsClient, BatchHalted, LedgerError, Message
from smsapi_async.ledger import Ledger
from smsapi_async.postgres import aenqueue

DSN = os.environ["SMSAPI_POSTGRES_DSN"]
logger = logging.getLogger("app")
router = APIRouter()


class Sms(NamedTuple):
    """What all requests of a worker share."""

    client: AsyncSmsClient
    ledger: Ledger


def sms_of(request: Request) -> Sms:
    """Return what the lifespan of the application has opened."""
    sms: Sms = request.app.state.sms
    return sms


Service = Annotated[Sms, Depends(sms_of)]


@router.post("/campaigns/{name}", status_code=202)
async def start_campaign(name: str, text: str, numbers: list[str]) -> None:
    """Enqueue all messages or none. A repeated request enqueues nothing, because of the keys."""
    messages = [Message(number, text, key=f"{name} {number}") for number in numbers]
    async with await psycopg.AsyncConnection.connect(DSN) as transaction:
        await aenqueue(transaction, messages)


@router.get("/health")
async def health(sms: Service) -> str:
    """Fail if the gateway or the database cannot be reached, or if the login is wrong."""
    await sms.client.balance(timeout=5)
    await sms.ledger.pending(limit=1)
    return "ok"


async def keep_sending(sms: Sms) -> None:
    """Send what is enqueued, also what another worker left when it was killed."""
    while True:
        try:
            await sms.client.send_pending(sms.ledger)
        except (BatchHalted, LedgerError) as error:  # for example, no credits are left
            logger.warning("sending begins again in 10 seconds: %s", error)
            await anyio.sleep(10)
