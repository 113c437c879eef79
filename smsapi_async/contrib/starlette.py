"""A route for pushed incoming messages, for Starlette and FastAPI, with the library starlette."""

from smsapi_async.contrib.missing import needs

with needs(__name__, {"starlette"}, "starlette"):
    from starlette.routing import Route

from smsapi_async.errors import ValidationError
from smsapi_async.inbox import IncomingReceiver
from smsapi_async.privacy import type_name

__all__ = ["incoming_route"]


def incoming_route(path: str, receiver: IncomingReceiver, *, name: str = "incoming_messages") -> Route:
    """Return a route that passes the pushes of the gateway to a receiver.

    Give the gateway the whole URL with the same slash at its end as the route has: the gateway may follow no
    redirect.

    Use the route as ``Starlette(routes=[incoming_route("/sms", receiver)])``, or as
    ``app.routes.append(incoming_route("/sms", receiver))`` in an application of FastAPI. The route is not in
    the OpenAPI document.

    Args:
        path: the path of the route. If the receiver has a secret ``path``, both paths must have the same end.
        receiver: the receiver.
        name: the name of the route.

    Raises:
        ValidationError: if the receiver has a secret path with another end, or is no `IncomingReceiver`.
    """
    if not isinstance(receiver, IncomingReceiver):
        raise ValidationError("receiver", type_name(receiver), "pass an IncomingReceiver")
    if "{" not in path and not receiver.is_secret_path(path):
        raise ValidationError("path", "this path", "pass the secret path of the receiver")
    # Starlette passes all methods to an ASGI application without `methods`. The receiver checks the method.
    return Route(path, receiver, methods=None, name=name, include_in_schema=False)
