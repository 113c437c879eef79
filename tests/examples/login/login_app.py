"""A web application with a login by SMS code. Run it with: python login_app.py PORT."""

import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from smsapi_async import AsyncSmsClient

_FORM = (
    '<form method="post" action="{action}"><label>{label} <input name="value"></label><button>Next</button>'
)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
    """Open one client for the whole application. It reads the account from the environment."""
    async with AsyncSmsClient.from_env() as sms:
        app.state.sms, app.state.codes = sms, set[str]()
        yield


async def value_in(request: Request) -> str:
    """Return what the user typed."""
    return parse_qs((await request.body()).decode())["value"][0]


async def show(_: Request) -> HTMLResponse:
    """Ask for the number of the user."""
    return HTMLResponse(_FORM.format(action="/code", label="Phone"))


async def send_code(request: Request) -> HTMLResponse:
    """Send a code, and ask for the code."""
    code = f"{secrets.randbelow(10**6):06}"
    request.app.state.codes.add(code)
    await request.app.state.sms.send(await value_in(request), f"Your login code: {code}")
    return HTMLResponse(_FORM.format(action="/login", label="Code"))


async def log_in(request: Request) -> HTMLResponse:
    """Check the code."""
    is_right = await value_in(request) in request.app.state.codes
    return HTMLResponse("Welcome" if is_right else "Wrong code", 200 if is_right else 403)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", show),
        Route("/code", send_code, methods=["POST"]),
        Route("/login", log_in, methods=["POST"]),
    ],
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
