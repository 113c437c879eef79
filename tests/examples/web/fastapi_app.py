"""FastAPI, with codes and campaigns. Run with: `uvicorn tests.examples.web.fastapi_app:app --workers 2`."""

import hmac
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from smsapi_async import AsyncSmsClient, SmsApiError, ValidationError
from smsapi_async.postgres import Shared

from .campaigns import DSN, Service, Sms, keep_sending, logger, router

SECRET = os.environ["CODE_SECRET"].encode()  # a random text, the same for all workers


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    """Open one client for each worker. All workers share the ledger and the login."""
    async with (
        Shared.postgres(DSN) as shared,
        AsyncSmsClient.from_env(session_store=shared.sessions) as client,
        anyio.create_task_group() as tasks,
    ):
        app.state.sms = sms = Sms(client, shared.ledger)
        tasks.start_soon(keep_sending, sms)
        yield
        tasks.cancel_scope.cancel()


app = FastAPI(lifespan=lifespan)
app.include_router(router)


@app.post("/codes")
async def send_code(attempt: str, number: str, sms: Service) -> str:
    """Send the code of a login attempt. All clicks of one attempt send one message, in all workers."""
    code = int.from_bytes(hmac.digest(SECRET, attempt.encode(), "sha256")) % 10**6
    text = f"Your code is {code:06}"
    await sms.client.send(number, text, timeout=10, key=f"login {attempt}", ledger=sms.ledger)
    return "The code is on its way."


@app.exception_handler(SmsApiError)
def explain(_: Request, error: SmsApiError) -> JSONResponse:
    """Answer with a sentence for the user. The text of an error contains no number and no secret."""
    logger.warning("%s", error)
    if error.may_have_been_sent:
        return JSONResponse("The message may be on its way. Please wait.", 202)
    return JSONResponse(
        "This message cannot be sent now.", 422 if isinstance(error, ValidationError) else 503
    )
