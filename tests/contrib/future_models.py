"""Models of pydantic and a route of FastAPI in a module whose annotations are texts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel

from smsapi_async.contrib.pydantic import Outcome, PhoneNumber, Receipt
from tests.models_json.values import RECEIPT

router = APIRouter()


class FutureOrder(BaseModel):
    """An order with a phone number and the results of its messages."""

    phone: Annotated[str, PhoneNumber(region="RU")]
    receipt: Receipt | None = None
    outcomes: list[Outcome] = []


@router.post("/future")
async def future(order: FutureOrder) -> Receipt:
    """Return a receipt, if the order is valid."""
    assert order.phone == RECEIPT.message.destination_address
    return RECEIPT
