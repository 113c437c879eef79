"""Tasks of Celery. Run `celery --app tests.examples.jobs.celery_tasks worker`; call `notify.delay(order)`."""

import os
from typing import Any

from celery import Celery, Task

from smsapi_async import SmsApiError
from smsapi_async.blocking import SmsClient
from smsapi_async.ledger import Ledger

app = Celery("shop", broker=os.environ["CELERY_BROKER"])

# One client for each worker process, with one login. The event loop and the ledger open at the first task,
# so each process has its own, although Celery forks its processes after this import.
sms = SmsClient.from_env()
ledger = Ledger.postgres(os.environ["SMSAPI_POSTGRES_DSN"])


# With `acks_late`, the task of a worker that was killed runs again. The key lets only one run send.
@app.task(bind=True, acks_late=True, ignore_result=True, max_retries=10)
def notify(task: "Task[Any, Any]", order: int) -> None:
    """Send one message for an order. The task has no number and no text, because the broker stores it."""
    try:
        sms.send(number_of(order), "Your order is ready", timeout=30, key=f"ready {order}", ledger=ledger)
    except SmsApiError as error:
        if error.is_retryable:  # nothing was sent
            raise task.retry(exc=error, countdown=error.retry_after or 30) from error
        raise  # a message that may have been sent is in the list of `ledger.unknown()`


def number_of(order: int) -> str:
    """Return the number of a customer. Your program asks its database."""
    return f"7903123{order:04}"
