"""The published clients whose requests are recorded: what each one sends and how it reads the responses.

`published_clients/README.md` says where each client is published and how its requests were recorded.
"""

from collections.abc import Mapping
from datetime import datetime

import attrs

from tests.sandbox import parsers

FIRST, SECOND = "79031234567", "79161234567"
BOTH = (FIRST, SECOND)
TEXT = "Привет, мир + 100%"
# Some clients do not escape the text. Their texts therefore contain neither `+` nor `%`.
PLAIN = "Привет, мир"
LATER = datetime(2026, 3, 11, 10, 0)  # noqa: DTZ001 - the resource decides the time zone


@attrs.frozen
class Sent:
    """The messages that the sandbox accepts from one recorded request.

    Attributes:
        numbers: the numbers of the recipients.
        text: the text of each message.
        validity: the validity in minutes, or None.
        date: the send date in the request, or None.
        own_clock: whether the send date is in the time zone of the recipients, who are in Moscow. Otherwise
            the send date is in the time zone of the gateway.
    """

    numbers: tuple[str, ...] = (FIRST,)
    text: str = TEXT
    validity: int | None = None
    date: datetime | None = None
    own_clock: bool = False


SENDS: Mapping[str, Sent] = {
    "send": Sent(),
    "send-later": Sent(date=LATER),
    "send-with-8": Sent(),
    "send-with-plus": Sent(),
    "send-emoji": Sent(text="да 🙂 %u"),
    "send-by-time-zone": Sent(date=LATER, own_clock=True),
    "send-bulk": Sent(BOTH),
    "send-bulk-escaped": Sent(BOTH),
    "send-bulk-by-time-zone": Sent(BOTH, date=LATER, own_clock=True),
}


@attrs.frozen
class Client:
    """One published client.

    Attributes:
        session: how the client reads a session id.
        balance: how the client reads a balance.
        ids: how the client reads the segment ids of a message.
        state: how the client reads a state.
        incoming: how the client reads incoming messages.
        statistics: how the client reads statistics.
        sends: what the sandbox accepts, for the operations in which the client differs from `SENDS`.
        beyond: the HTTP status with which a sandbox of the contract refuses an operation that the contract
            does not have. The key "" means all operations.
        needs: the fields of a dialect without which the client cannot read a response.
        leaves_plus: whether the client leaves the `+` of a segment id in a query as it is. The gateway reads
            such a `+` as a space.
    """

    session: parsers.ReadsText = parsers.session_in_json
    balance: parsers.ReadsNumber = parsers.balance_in_json
    ids: parsers.ReadsIds = parsers.array_of_ids
    state: parsers.ReadsState = parsers.state_in_json
    incoming: parsers.ReadsMessages = parsers.incoming_texts
    statistics: parsers.ReadsCounts = parsers.counts
    sends: Mapping[str, Sent] = attrs.field(factory=dict)
    beyond: Mapping[str, int] = attrs.field(factory=dict)
    needs: Mapping[str, str] = attrs.field(factory=dict)
    leaves_plus: bool = False

    def sent(self, operation: str) -> Sent:
        """Return what the sandbox accepts from a recorded request of this client."""
        return self.sends.get(operation, SENDS[operation])

    def refused_by_contract(self, operation: str) -> int | None:
        """Return the HTTP status with which the contract refuses an operation, or None."""
        return self.beyond.get(operation, self.beyond.get(""))


SENT_WITH_VALIDITY = {"send": Sent(validity=10)}
UNKNOWN_PATH = {"": 404}

CLIENTS: Mapping[str, Client] = {
    # https://github.com/devinotelecom/sms-restapi-python
    "vendor-python": Client(sends=SENT_WITH_VALIDITY),
    # https://github.com/FedkaEv/sms-restapi-php is a copy of the vendor's client.
    "vendor-php": Client(
        session=parsers.session_without_quotes,
        balance=parsers.balance_in_text,
        state=parsers.date_between_brackets,
        sends=SENT_WITH_VALIDITY,
        leaves_plus=True,
    ),
    # The vendor's SmsRestClient. Its older version does not escape the numbers of a bulk.
    "vendor-ruby": Client(
        session=parsers.session_by_position, balance=parsers.balance_in_text, beyond={"send-bulk": 400}
    ),
    # https://github.com/devinotelecom/sms-restapi-perl
    "vendor-perl": Client(
        session=parsers.session_of_36_characters, balance=parsers.balance_in_text, sends=SENT_WITH_VALIDITY
    ),
    # https://github.com/devinotelecom/sms-restapi-java
    "vendor-java": Client(
        session=parsers.session_without_quotes,
        balance=parsers.balance_in_text,
        sends={
            "send": Sent(text=PLAIN, validity=10),
            "send-with-plus": Sent(text=PLAIN),
            "send-by-time-zone": Sent(text=PLAIN, date=LATER, own_clock=True),
            "send-bulk": Sent(BOTH, PLAIN),
        },
        beyond={"send-with-plus": 400},
        leaves_plus=True,
    ),
    # https://github.com/devinotelecom/sms-restapi-csharp
    "vendor-csharp": Client(
        state=parsers.dates_of_dotnet,
        incoming=parsers.incoming_with_creation_date,
        sends=SENT_WITH_VALIDITY,
        needs={"incoming_date": "CreationDateUtc"},
    ),
    # The examples of the vendor's documents, as curl sends them.
    "vendor-document": Client(
        sends={
            "send": Sent(validity=10),
            "send-by-time-zone": Sent(validity=10, date=LATER, own_clock=True),
            "send-bulk": Sent(BOTH, validity=10),
            "send-bulk-by-time-zone": Sent(BOTH, validity=10, date=LATER, own_clock=True),
        },
        beyond={"send-with-plus": 400, "send-with-8": 400, "send-bulk-by-time-zone": 404},
        leaves_plus=True,
    ),
    # https://github.com/dev-services42/go-lib-devinotele
    "go-lib-devinotele": Client(),
    # https://github.com/Lest4t/godevino
    "go-godevino": Client(
        session=parsers.session_between_quotes,
        balance=parsers.balance_in_text,
        sends=SENT_WITH_VALIDITY,
        beyond={"send-bulk": 400},
    ),
    # https://github.com/strobil/devinotele-restapi-client
    "go-devinotele-restapi-client": Client(ids=parsers.first_id, beyond=UNKNOWN_PATH),
    # https://pypi.org/project/sw-python-sms-devino/
    "python-sw-sms-devino": Client(
        state=parsers.dates_by_expression,
        sends=SENT_WITH_VALIDITY,
        beyond={"send-with-8": 400},
    ),
    # A class DevinoClient over the library requests; the parameters of a POST are in the query.
    "python-requests-query": Client(state=parsers.dates_by_slice, sends=SENT_WITH_VALIDITY),
    # A class ClassDevinoAPI over the library requests, version 2.
    "python-requests-v2": Client(
        balance=parsers.whole_balance,
        state=parsers.delivered_by_description,
        sends={"send": Sent(text=PLAIN)},
        beyond=UNKNOWN_PATH,
        leaves_plus=True,
    ),
    # A service of a FastAPI application over the library aiohttp, version 2.
    "python-aiohttp-v2": Client(ids=parsers.success_only, beyond=UNKNOWN_PATH),
    # https://github.com/ignatenkovnikita/yii2-sms-devinotelecom-v1
    "php-yii2-sms-devinotelecom": Client(sends=SENT_WITH_VALIDITY),
    # https://packagist.org/packages/ol-zamovshafu/devinotelecom-php
    "php-devinotelecom": Client(),
    # https://github.com/sintsov/smsClient
    "php-sintsov-smsclient": Client(sends=SENT_WITH_VALIDITY, beyond={"login": 400, "balance": 400}),
    # https://packagist.org/packages/trin4ik/laravel-devino-api
    "php-laravel-devino-api": Client(ids=parsers.first_id, beyond=UNKNOWN_PATH),
    # A class DevinoTelecomProvider over the library Guzzle, version 2.
    "php-guzzle-query-v2": Client(ids=parsers.success_only, beyond=UNKNOWN_PATH),
    # https://github.com/idfly/yii2-sms-devinotele
    "php-yii2-sms-devinotele": Client(session=parsers.session_by_expression),
    # https://github.com/Avtonom/sms-devinotelecom-bundle
    "php-sms-devinotelecom-bundle": Client(ids=parsers.first_id, beyond={"login": 405, **UNKNOWN_PATH}),
    # A function that passes an array to curl, which makes a multipart form, version 2.
    "php-curl-array-v2": Client(ids=parsers.first_id, beyond=UNKNOWN_PATH),
    # https://github.com/baycik/isell
    "php-isell": Client(ids=parsers.first_id, sends={"send-bulk": Sent()}),
    # https://github.com/provectus/devinotele_rest
    "ruby-devinotele-rest": Client(session=parsers.session_by_position, ids=parsers.success_only),
    # https://github.com/dancingbytes/ibatele_sms
    "ruby-ibatele-sms": Client(balance=parsers.balance_in_text, sends={"send": Sent(validity=2880)}),
    # https://github.com/eryx67/devino_sms
    "erlang-devino-sms": Client(
        sends={"send-bulk": Sent(BOTH, validity=10)}, beyond={"login": 400, "balance": 400, "state": 400}
    ),
    # https://github.com/AlexTanetsDev/sendler
    "typescript-sendler": Client(
        sends={"send": Sent(text=PLAIN), "send-bulk": Sent(BOTH, PLAIN)},
        beyond={"send-bulk": 400},
        leaves_plus=True,
    ),
    # A module for 1C:Enterprise that posts JSON.
    "1c-json": Client(
        session=parsers.session_in_body_of_38, ids=parsers.first_id, beyond={"send": 400}, leaves_plus=True
    ),
}
