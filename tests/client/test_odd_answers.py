"""One odd field in a response of the gateway does not hide the other fields of the response."""

import socket

import pytest

from smsapi_async import AsyncSmsClient, InvalidAnswer, InvalidOperation, Phase, Schedule, State
from smsapi_async.http.choice import Kind
from tests.client.tools import NUMBER, TEXT, RawServer, json_answer, read_request

pytestmark = pytest.mark.anyio
LOGIN = b'"Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1"'


def _gateway(answers: dict[bytes, bytes]) -> RawServer:
    """Return a gateway that answers each resource with the same HTTP response."""

    def serve(connection: socket.socket) -> None:
        while request := read_request(connection):
            path = request.split(b" ")[1].split(b"?")[0].removeprefix(b"/rest/")
            connection.sendall(answers.get(path) or json_answer(LOGIN))

    return RawServer(serve)


def _client(gateway: RawServer) -> AsyncSmsClient:
    base_url = f"http://127.0.0.1:{gateway.port}/rest"
    return AsyncSmsClient("login", "password", base_url=base_url, source_address="ACME")


@pytest.mark.parametrize(
    "field",
    [
        '"Price":"1,50"',
        '"Price":NaN',
        '"ReportedDateUtc":""',
        '"ReportedDateUtc":"/Date(253402300800000)/"',
        '"StateDescription":["Доставлено"]',
    ],
)
async def test_a_delivered_message_does_not_stay_pending(field: str, transport: Kind) -> None:
    """`wait_delivered` returns at once for a delivered message, even if another field of the state is odd."""
    state = f'{{"State":0,{field}}}'.encode()
    answers = {b"Sms/Send": json_answer(b'["1"]'), b"Sms/State": json_answer(state)}
    with _gateway(answers) as gateway:
        async with _client(gateway) as sms:
            receipt = await sms.send(NUMBER, TEXT)
            assert (await sms.state("1")).state is State.DELIVERED
            delivery = await sms.wait_delivered(receipt, schedule=Schedule(first=0.01))
    assert (delivery.phase, delivery.is_final, delivery.price) == (Phase.DELIVERED, True, None)


async def test_texts_of_the_gateway_can_be_stored(transport: Kind) -> None:
    """Segment ids, descriptions of states and descriptions of errors can be encoded in UTF-8."""
    refusal = rb'{"Code":6,"Desc":"Invalid source address \ud83d"}'
    head = f"HTTP/1.1 400 Bad Request\r\nContent-Length: {len(refusal)}\r\n\r\n".encode()
    answers = {
        b"Sms/Send": json_answer(rb'["id-\ud83d"]'),
        b"Sms/State": json_answer(rb'{"State":0,"StateDescription":"\udc00"}'),
        b"Sms/SendBulk": head + refusal,
    }
    with _gateway(answers) as gateway:
        async with _client(gateway) as sms:
            [segment_id] = (await sms.send(NUMBER, TEXT)).segment_ids
            state = await sms.state(segment_id)
            with pytest.raises(InvalidOperation) as caught:
                await sms.send_bulk([NUMBER], TEXT)
    assert (segment_id, state.state_description) == ("id-\ufffd", "\ufffd")
    assert "\ufffd" in caught.value.description
    assert f"{segment_id}{state}{caught.value}".encode()


@pytest.mark.parametrize("amount", ['"1_000"', '"١٢"', '"1,50"'])
async def test_what_is_no_number_is_no_balance(amount: str, transport: Kind) -> None:
    """`balance` raises `InvalidAnswer` for an amount that only Python reads as a number."""
    with _gateway({b"User/Balance": json_answer(amount.encode())}) as gateway:
        async with _client(gateway) as sms:
            with pytest.raises(InvalidAnswer):
                await sms.balance()
