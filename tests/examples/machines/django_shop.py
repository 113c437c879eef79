"""A web backend with Django, which enqueues a message in the transaction of an order."""

from typing import Any

from django.db import connection, transaction

from smsapi_async import Message
from smsapi_async.postgres import enqueue


def ship(order: Any) -> None:
    """Store an order, and send a message if and only if this transaction commits."""
    with transaction.atomic():
        order.save()
        enqueue(connection, Message(order.phone, "Your order has shipped", key=f"shipped {order.pk}"))
