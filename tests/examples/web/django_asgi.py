"""Django with an ASGI server: `uvicorn --workers 2 tests.examples.web.django_asgi:application`."""

import os
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from smsapi_async import AsyncSmsClient
from smsapi_async.postgres import Shared

shared = Shared.postgres(os.environ["SMSAPI_POSTGRES_DSN"])
sms = AsyncSmsClient.from_env(session_store=shared.sessions)


async def remind(request: HttpRequest, order: int) -> HttpResponse:
    """An async view awaits the client."""
    await send_reminder(order, request.GET["number"])
    return HttpResponse("sent")


def remind_synchronously(request: HttpRequest, order: int) -> HttpResponse:
    """A synchronous view runs in a thread. `async_to_sync` sends in the event loop of the server."""
    async_to_sync(send_reminder)(order, request.GET["number"])
    return HttpResponse("sent")


async def send_reminder(order: int, number: str) -> None:
    """Send one reminder for each order, in whatever worker and however often the views are called."""
    await sms.send(number, "Your order is ready", timeout=10, key=f"ready {order}", ledger=shared.ledger)


urlpatterns = [path("async/<int:order>", remind), path("sync/<int:order>", remind_synchronously)]
if not settings.configured:  # your project has a module with settings
    settings.configure(SECRET_KEY="x", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"])
django = get_asgi_application()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Open the ledger and the client in the lifespan of the server, which Django itself ignores."""
    if scope["type"] != "lifespan":
        await django(scope, receive, send)
        return
    await receive()
    async with shared, sms:
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})
