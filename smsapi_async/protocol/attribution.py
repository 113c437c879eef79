"""Divides the segment ids of a request among its messages (contract, "Sms/SendBulk")."""


def attribute(count: int, segment_ids: tuple[str, ...]) -> list[tuple[str, ...]] | None:
    """Divide the segment ids of a bulk among the messages.

    The gateway returns all ids of the first message, then all ids of the second message, and so on
    (contract, "Sms/SendBulk"). All messages of a bulk have the same number of segments, because they have
    the same text.

    Args:
        count: the number of messages of the bulk.
        segment_ids: all segment ids, in the order of the response.

    Returns:
        The segment ids of each message. None if the ids cannot be divided evenly, because a guess could
        assign an id to the wrong message.
    """
    share = share_size(count, segment_ids)
    if not share:
        return None
    return [segment_ids[start : start + share] for start in range(0, len(segment_ids), share)]


def share_size(count: int, segment_ids: tuple[str, ...]) -> int:
    """Return how many segment ids each message of a bulk has; 0 if the ids cannot be divided evenly."""
    share, rest = divmod(len(segment_ids), count)
    return 0 if rest else share
