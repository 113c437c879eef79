"""Django with a WSGI server: `gunicorn --workers 2 --threads 8 tests.examples.web.django_wsgi`."""

import hmac
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from smsapi_async import SmsApiError
from smsapi_async.blocking import SmsClient
from smsapi_async.ledger import Ledger

SECRET = os.environ["CODE_SECRET"]  # a random text, the same for all workers

# One client for each process. All threads share its event loop and its login. The event loop and the ledger
# open at the first send, so each worker process has its own, also if the server forks after this import.
sms = SmsClient.from_env()
ledger = Ledger.postgres(os.environ["SMSAPI_POSTGRES_DSN"])


@csrf_exempt  # this example has no form
@require_POST
def send_code(request: HttpRequest) -> HttpResponse:
    """Send the code of a login attempt. All clicks of one attempt send one message, in all workers."""
    attempt = request.POST["attempt"]
    code = int.from_bytes(hmac.digest(SECRET.encode(), attempt.encode(), "sha256")) % 10**6
    text, key = f"Your code is {code:06}", f"login {attempt}"
    try:
        sms.send(request.POST["number"], text, timeout=10, key=key, ledger=ledger)
    except SmsApiError as error:
        if error.may_have_been_sent:
            return HttpResponse("The message may be on its way. Please wait.", status=202)
        return HttpResponse("We cannot send you a code now.", status=503)
    return HttpResponse("The code is on its way.")


urlpatterns = [path("codes", send_code)]
if not settings.configured:  # your project has a module with settings
    settings.configure(SECRET_KEY=SECRET, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"])
application = get_wsgi_application()
