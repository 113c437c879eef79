"""Claims of a PostgreSQL ledger, and their ends. One transaction serves several calls that wait.

All functions of this module are synchronous and run in one transaction. They may run again after the
transaction failed.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs

from smsapi_async.errors import LedgerError
from smsapi_async.ledger.postgres import postgres_statements as sql
from smsapi_async.ledger.postgres import queue_claims
from smsapi_async.ledger.postgres import queue_statements as queue_sql
from smsapi_async.ledger.postgres.stored_messages import (
    LedgerAccount,
    SoughtMessage,
    answers_of,
    find,
    sought,
    stored_content_of,
)
from smsapi_async.ledger.queue import DueClaim, DuePart, Pause
from smsapi_async.ledger.redacted_ids import StoredId, possible_digests, redacted_ids
from smsapi_async.ledger.requests import Claimed, InFlight, RequestAnswer
from smsapi_async.ledger.stored_answers import StoredAnswer, ids_column, reason_column
from smsapi_async.models import Message
from smsapi_async.postgres.transactions import Outdated, Transaction

_logger = logging.getLogger("smsapi_async")
Keyed = tuple[str, Message]

CLAIM_SECONDS: Final = 300.0
"""For how many seconds a claim is valid: more than the longest request takes.

After this time, its messages read as unknown. An answer that comes later is still recorded.
"""


@attrs.frozen(eq=False)
class ClaimPart:
    """One call of `Ledger.claim`.

    Attributes:
        token: the token of the claim.
        messages: pairs of a key and a message.
        positions: the position of each message in the report; empty means after all other messages.
        settle: the end of an earlier claim, or None.
    """

    token: str
    messages: Sequence[Keyed]
    positions: Sequence[int]
    settle: "SettlePart | None" = None


@attrs.frozen(eq=False)
class SettlePart:
    """One call of `Ledger.settle`, or of `RequestQueue.settle_due`.

    Attributes:
        token: the token of the claim.
        answer: the answer.
        unknown_limit: the number of successive unknown requests after which the account is paused; None for a
            request that does not count.
    """

    token: str
    answer: RequestAnswer
    unknown_limit: int | None = None


@attrs.frozen(eq=False)
class ReleasePart:
    """One call of `Ledger.release`.

    Attributes:
        token: the token of the claim.
        is_quiet: whether it is no mistake if the messages are not in flight.
        delay: the number of seconds for which no worker may claim the messages from the queue.
    """

    token: str
    is_quiet: bool = False
    delay: float = 0.0


Part = ClaimPart | SettlePart | ReleasePart | DuePart
PartResult = list[Claimed] | DueClaim | Pause | None


@attrs.frozen(eq=False)
class Chosen:
    """A message that gets a new request.

    Attributes:
        wanted: the message.
        request: the index of the request among the new requests.
        place: the place of the message in the request.
        position: the position in the report; None means after all other messages.
    """

    wanted: SoughtMessage
    request: int
    place: int
    position: int | None = None


def run_parts(transaction: Transaction, account: LedgerAccount, parts: Sequence[Part]) -> list[PartResult]:
    """Record answers and releases, and then claims, so that a claim finds what was released.

    Returns:
        The results of each claim. For an answer, the pause of the account; see `RequestQueue.settle_due`.

    Raises:
        Outdated: if another sender claimed or inserted one of the messages meanwhile.
        LedgerError: if a key occurs twice in a claim, or a claim has too many messages.
    """
    claims = [part for part in parts if isinstance(part, ClaimPart)]
    ends = [part for part in parts if isinstance(part, SettlePart)]
    changed = _settle(
        transaction, account, ends + [each.settle for each in claims if each.settle is not None]
    )
    pause = _count_unknown(transaction, account, ends, changed)
    _release(transaction, account, [part for part in parts if isinstance(part, ReleasePart)])
    claimed = iter(_claim(transaction, account, claims))

    def result(part: Part) -> PartResult:
        if isinstance(part, ClaimPart):
            return next(claimed)
        if isinstance(part, DuePart):
            return queue_claims.claim_due(transaction, account, part, CLAIM_SECONDS)
        is_unknown = isinstance(part, SettlePart) and part.answer.state == "unknown"
        return pause if is_unknown else None

    return [result(part) for part in parts]


def _count_unknown(
    transaction: Transaction, account: LedgerAccount, parts: Sequence[SettlePart], changed: set[str]
) -> Pause | None:
    """Count the unknown requests. A repeated answer is in the tables already, and is not counted again.

    Args:
        transaction: an open transaction.
        account: the account of the ledger.
        parts: the answers.
        changed: the tokens of the answers that changed the tables.

    Returns:
        The pause of the account if one of the answers is unknown and the account is paused, or None.
    """
    counted = [part for part in parts if part.unknown_limit is not None]
    states = [
        part.answer.state for part in counted if part.answer.state != "unknown" or part.token in changed
    ]
    pause = None
    if states:
        limit = min(part.unknown_limit for part in counted if part.unknown_limit is not None)
        pause = queue_claims.count_unknown(transaction, account, states, limit)
    if pause is None and len(states) < len(counted):
        return queue_claims.paused(transaction, account)
    return pause


def _claim(
    transaction: Transaction, account: LedgerAccount, claims: Sequence[ClaimPart]
) -> list[list[Claimed]]:
    wanted = [_wanted(account, claim) for claim in claims]
    every = [each for several in wanted for each in several]
    find(transaction, account, every)
    rows = [each.row for each in every if each.row is not None]
    answers = answers_of(transaction, [row for row in rows if row["state"] not in {"pending", "sending"}])
    taken: dict[str, str] = {}
    tokens: list[str] = []
    chosen: list[Chosen] = []
    results: list[list[Claimed]] = []
    for claim, several in zip(claims, wanted, strict=True):
        before = len(chosen)
        result: list[Claimed] = []
        for index, each in enumerate(several):
            is_own = each.row is not None and each.row["state"] == "sending"
            known = _known(each, answers, taken, claim.token if transaction.is_repeat else None)
            result.append(known)
            if known is None and not is_own:
                taken[each.key] = claim.token
                position = claim.positions[index] if claim.positions else None
                chosen.append(Chosen(each, len(tokens), len(chosen) - before, position))
        if len(chosen) > before:
            tokens.append(claim.token)
        results.append(result)
    if chosen:
        _lock_pending(transaction, account, [each.wanted for each in chosen if each.wanted.row is not None])
        values = {"tokens": tokens, "seconds": CLAIM_SECONDS}
        _insert(transaction, account, chosen, sql.INSERT_CLAIMS, values)
    return results


def _wanted(account: LedgerAccount, claim: ClaimPart) -> list[SoughtMessage]:
    wanted = [sought(key, each, redacted=account.redacted) for key, each in claim.messages]
    if len({each.key for each in wanted}) < len(wanted):
        raise LedgerError("a message cannot be claimed, because it occurs twice in one claim")
    if len(wanted) > sql.MOST_MESSAGES:
        raise LedgerError(f"a request can have at most {sql.MOST_MESSAGES} messages")
    return wanted


def _known(
    wanted: SoughtMessage, answers: dict[int, StoredAnswer], taken: dict[str, str], own_token: str | None
) -> Claimed:
    """Return the outcome of a message, or who sends it; None if the caller must send it.

    Args:
        wanted: the message.
        answers: the answers to the requests of all messages.
        taken: for each message that another claim of the transaction has taken, the token of this claim.
        own_token: the token of the claim if an earlier attempt of the claim may be committed, or None.
    """
    row, message = wanted.row, wanted.message
    if wanted.is_another:
        return wanted.refusal
    if wanted.key in taken:
        return InFlight(taken[wanted.key])
    if row is None or message is None or row["state"] == "pending":
        return None
    if row["state"] == "sending":
        return None if row["token"] == own_token else InFlight(row["token"])
    number = message.destination_address
    return answers[row["request_id"]].outcome_of(row["place"], row["size"], message, wanted.given, number)


def _lock_pending(transaction: Transaction, account: LedgerAccount, wanted: Sequence[SoughtMessage]) -> None:
    """Lock pending messages without a request, and the requests of the other pending messages.

    Raises:
        Outdated: if a message is not pending any more, or was moved to another request.
    """
    before = [each.row for each in wanted if each.row is not None]
    if not before:
        return
    keys = [each.key for each in wanted if each.row is not None and each.row["request_id"] is None]
    ids = sorted({row["request_id"] for row in before} - {None})
    locked: set[object] = set()
    if keys:
        rows = transaction.rows(queue_sql.LOCK_WITHOUT_REQUEST, account=account.id, keys=keys)
        locked |= {row["key"] for row in rows}
    if ids:
        locked |= {row["id"] for row in transaction.rows(sql.LOCK_PENDING, ids)}
    find(transaction, account, wanted)
    for each, row in zip(wanted, before, strict=True):
        name = each.key if row["request_id"] is None else row["request_id"]
        if each.row is None or each.row["request_id"] != row["request_id"] or name not in locked:
            raise Outdated


def _insert(
    transaction: Transaction,
    account: LedgerAccount,
    chosen: Sequence[Chosen],
    statement: str,
    values: dict[str, Any],
) -> None:
    """Insert requests with new messages, and move pending messages to the requests.

    Args:
        transaction: an open transaction, which has locked the requests of the pending messages.
        account: the account of the ledger.
        chosen: the messages.
        statement: `INSERT_CLAIMS` or `INSERT_PENDING`.
        values: the values of the statement for the requests.

    Raises:
        Outdated: if another caller inserted one of the messages meanwhile.
    """
    new = [each for each in chosen if each.wanted.row is None]
    contents: dict[str, str] = {}
    for each in new:
        message, digest = each.wanted.message, each.wanted.digest
        if digest not in contents and message is not None:
            contents[digest] = stored_content_of(message, redacted=account.redacted)
    sizes = [0] * (chosen[-1].request + 1)
    for each in chosen:
        sizes[each.request] += 1
    rows = transaction.rows(
        statement,
        account=account.id,
        sizes=sizes,
        keys=[each.wanted.key for each in new],
        numbers=[each.wanted.number for each in new],
        digests=[each.wanted.digest for each in new],
        requests=[each.request + 1 for each in new],
        places=[each.place for each in new],
        positions=[each.position for each in new],
        content_digests=list(contents),
        contents=list(contents.values()),
        **values,
    )
    if rows[0]["added"] != len(new):
        raise Outdated
    moved = [each for each in chosen if each.wanted.row is not None]
    moves = [(each.wanted, int(rows[each.request]["id"]), each.place) for each in moved]
    queued = [(new, each.key) for each, new, _ in moves if each.row and each.row["is_queued"]]
    if queued:
        # If these messages are released, workers send them as before.
        requests, keys = [new for new, _ in queued], [key for _, key in queued]
        transaction.run(queue_sql.INHERIT_PLACE, requests, keys, account.id)
    move(transaction, account, moves)


def move(
    transaction: Transaction, account: LedgerAccount, moves: Sequence[tuple[SoughtMessage, int, int]]
) -> None:
    """Move messages to other requests, and delete the requests that have no message any more.

    Args:
        transaction: an open transaction, which has locked the messages or their requests.
        account: the account of the ledger.
        moves: for each message, the id of its new request and its place in the request.
    """
    if not moves:
        return
    left = sorted({each.row["request_id"] for each, _, _ in moves if each.row is not None} - {None})
    keys, requests = [each.key for each, _, _ in moves], [request for _, request, _ in moves]
    transaction.run(sql.MOVE, keys, requests, [place for _, _, place in moves], account.id)
    transaction.run(sql.DELETE_EMPTY, left)


def add_pending(
    transaction: Transaction, account: LedgerAccount, messages: Sequence[Keyed], positions: Sequence[int]
) -> None:
    """Insert messages with new keys as pending messages."""
    wanted = [sought(key, each, redacted=account.redacted) for key, each in messages]
    find(transaction, account, wanted)
    new: dict[str, tuple[SoughtMessage, int | None]] = {}
    for index, each in enumerate(wanted):
        if each.row is None:
            new.setdefault(each.key, (each, positions[index] if positions else None))
    chosen = [
        Chosen(each, *divmod(index, sql.MOST_MESSAGES), position)
        for index, (each, position) in enumerate(new.values())
    ]
    if chosen:
        _insert(transaction, account, chosen, sql.INSERT_PENDING, {})


def first_position(transaction: Transaction, account: LedgerAccount, keyed: Keyed) -> int:
    """Return the recorded position of a message, or the position after all messages if it is new."""
    wanted = sought(*keyed, redacted=account.redacted)
    find(transaction, account, [wanted])
    if wanted.row is not None:
        return int(wanted.row["position"])
    return int(transaction.value(sql.LAST_POSITION, account.id)) + 1


def _settle(transaction: Transaction, account: LedgerAccount, parts: Sequence[SettlePart]) -> set[str]:
    """Record the answers to requests. Answers that change nothing are logged.

    Returns:
        The tokens of the answers that changed the tables.
    """
    if not parts:
        return set()
    first: dict[str, RequestAnswer] = {}
    for part in parts:
        first.setdefault(part.token, part.answer)
    redacted = _redacted_ids(transaction, account, first) if account.redacted else {}
    answers = list(first.values())
    recorded = _recorded(transaction, account, first) if transaction.is_repeat else set()
    settled = transaction.rows(
        sql.SETTLE,
        list(first),
        [each.state for each in answers],
        [each.at for each in answers],
        [_without_nul(reason_column(each.reason)) for each in answers],
        [each.code for each in answers],
        [ids_column(each, redacted.get(token)) for token, each in first.items()],
        [len(each.segment_ids) for each in answers],
        account.id,
    )
    changed = {row["token"] for row in settled} - recorded
    _warn("answers", len(parts) - len(changed | recorded), len(parts))
    return changed


def _recorded(
    transaction: Transaction, account: LedgerAccount, answers: dict[str, RequestAnswer]
) -> set[str]:
    """Return the tokens of the answers that an earlier attempt has recorded."""
    tokens = list(answers)
    # The server may still work on the commit of the earlier attempt. The lock waits for its end.
    transaction.rows(sql.FIND_CLAIMS, account.id, tokens)
    states, times = [each.state for each in answers.values()], [each.at for each in answers.values()]
    return {row["token"] for row in transaction.rows(sql.SETTLED, tokens, states, times, account.id)}


def _release(transaction: Transaction, account: LedgerAccount, parts: Sequence[ReleasePart]) -> None:
    """Make the messages of claims pending. Releases that change nothing are logged."""
    if not parts:
        return
    tokens, delays = [each.token for each in parts], [each.delay for each in parts]
    released = {row["token"] for row in transaction.rows(sql.RELEASE, tokens, delays, account.id)}
    loud = [each for each in parts if not each.is_quiet]
    # A released request has no token any more, so a repeat cannot find it.
    if not transaction.is_repeat:
        _warn("releases", sum(each.token not in released for each in loud), len(loud))


def _warn(what: str, late: int, count: int) -> None:
    if late:
        _logger.warning("ledger: %d of %d %s came too late and changed nothing", late, count, what)


def _without_nul(reason: str | None) -> str | None:
    return None if reason is None else reason.replace("\0", "\\x00")


def _redacted_ids(
    transaction: Transaction, account: LedgerAccount, answers: dict[str, RequestAnswer]
) -> dict[str, tuple[StoredId, ...]]:
    """Return for each token the segment ids of its request without the numbers of its messages."""
    requests = transaction.rows(sql.FIND_CLAIMS, account.id, list(answers))
    numbers: dict[int, set[str]] = {row["id"]: set() for row in requests}
    for row in transaction.rows(sql.NUMBERS_OF_REQUESTS, list(numbers)):
        numbers[row["request_id"]].add(row["number"])
    redacted = {}
    for row in requests:
        ids, known = answers[row["token"]].segment_ids, numbers[row["id"]]
        if len(known) < row["size"]:
            # A person has resolved a message of the request, and the answer came later. The message now
            # belongs to another request. Or two messages of the request have one number.
            known |= _numbers_in(transaction, account, possible_digests(ids))
        redacted[row["token"]] = redacted_ids(ids, known)
    return redacted


def _numbers_in(transaction: Transaction, account: LedgerAccount, digests: Iterable[str]) -> set[str]:
    return {row["number"] for row in transaction.rows(sql.FIND_NUMBERS, account.id, sorted(digests))}
