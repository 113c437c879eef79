"""Recognises a file that is not the ledger that it was: a copy, an older state, or a file with two names.

A copy lacks what the original has recorded since, so a batch with the copy would send messages again. The
file itself contains the number of its inode and its generation, which grows with each opening, and about
once a second while something is recorded. The lock file also contains the generation: an older state of the
file, which was put back at the same path, has a lower generation. Where the system has extended attributes,
an attribute of the file contains its id and its generation, too. Most programs do not copy the attribute, so
a copy that got the inode number of a deleted original is recognised.

All functions of this module are synchronous.
"""

import os
from pathlib import Path
from typing import Final

import attrs

from smsapi_async.errors import LedgerError

_ATTRIBUTE = "user.smsapi_async.ledger"
_ACCEPT: Final = "pass accept_copy=True (`smsapi-async ledger accept-copy`) once"
_ACCEPT_COPY: Final = f"if no message was sent with another file since this copy was made, {_ACCEPT}"


@attrs.frozen
class Properties:
    """The properties that the file of a ledger contains.

    Attributes:
        ledger_id: a random id of the ledger, which a copy shares with its original.
        redacted: whether the file contains digests in place of numbers and texts.
        in_use: whether the file is open for writing, or was open when its process died.
        generation: a number in the file that grows when the file is opened for writing, and when the log is
            copied to the file. The log may contain a newer number.
        inode: the number of the inode of the file at its last opening.
        has_mark: whether the file had an extended attribute at its last opening.
    """

    ledger_id: str
    redacted: bool
    in_use: bool
    generation: int
    inode: int
    has_mark: bool


def inode_of(path: str) -> int:
    """Return the number of the inode of a file, as a value that SQLite can store."""
    return _signed(Path(path).stat().st_ino)


def _signed(inode: int) -> int:
    # SQLite stores signed integers of 64 bits, and the numbers of Windows are unsigned.
    return inode - (1 << 64) if inode >= 1 << 63 else inode


def check_names(path: str) -> None:
    """Check that the file has only one name and is not empty.

    With two names (hard links), two processes would have two locks and two write-ahead logs for one file.

    Raises:
        LedgerError: if the file has another name, or is empty.
    """
    status = Path(path).stat()
    if status.st_nlink > 1 and Path(path).is_file():
        raise LedgerError(
            f"{path} has {status.st_nlink} names (hard links), and a ledger can have only one; delete the"
            " other names"
        )
    if status.st_size == 0 and Path(path).is_file():
        raise LedgerError(
            f"{path} is empty, so what was recorded in it is lost, or the file never was a ledger; if no"
            " message was sent with it, delete the file"
        )


def has_log(path: str) -> bool:
    """Return whether the write-ahead log of a file contains anything. A reader may leave an empty log."""
    try:
        return Path(f"{path}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def check_log(path: str, in_use: bool, *, had_log: bool) -> None:
    """Check that the write-ahead log of a file is there.

    Args:
        path: the path of the file.
        in_use: the property of the file.
        had_log: the result of `has_log` before the file was opened.

    Raises:
        LedgerError: if the log is missing, and with the log what was recorded last.
    """
    if in_use and not had_log:
        raise LedgerError(
            f"{path} was in use when its process ended or when the file was copied or moved, and what was"
            f" recorded last is in the file {Path(path).name}-wal, which is missing; put that file back"
            " beside the ledger, or use the original; if another SQLite program has opened the ledger since,"
            f" no record is missing: {_ACCEPT}"
        )


def check_identity(path: str, properties: Properties, generation: int) -> None:
    """Check that a file is the file that was opened last, and not a copy of it.

    Args:
        path: the path of the file.
        properties: the properties of the file.
        generation: the generation that the lock file contains; 0 if it is not known.

    Raises:
        LedgerError: if the file is a copy, or an older state of the file.
    """
    mark = read_mark(path)
    known = mark.partition(" ") if mark else None
    is_copy = properties.inode != inode_of(path) or (
        properties.has_mark and (known is None or known[0] != properties.ledger_id)
    )
    if is_copy:
        raise LedgerError(
            f"{path} is a copy of a ledger: messages that were sent with the original since then are not in"
            f" the copy and would be sent again; use the original; {_ACCEPT_COPY}"
        )
    if known is not None and known[2].isdigit():
        generation = max(generation, int(known[2]))
    if generation > properties.generation:
        raise LedgerError(
            f"{path} is an older state of this ledger: messages that were sent since then are not in the file"
            f" and would be sent again; put the newest state back; {_ACCEPT_COPY}"
        )


def write_mark(path: str, ledger_id: str, generation: int) -> bool:
    """Store the id of a ledger and its generation in an extended attribute of the file.

    Returns:
        Whether the file system has extended attributes.
    """
    if not hasattr(os, "setxattr"):
        return False
    try:
        os.setxattr(path, _ATTRIBUTE, f"{ledger_id} {generation}".encode())
    except OSError:
        return False
    return True


def read_mark(path: str) -> str | None:
    """Return what `write_mark` stored; None if there is nothing."""
    if not hasattr(os, "getxattr"):
        return None
    try:
        return os.getxattr(path, _ATTRIBUTE).decode("ascii", "replace")
    except OSError:
        return None


class PlaceInFileSystem:
    """The names of the open files of a ledger. Another program may delete or rename the files meanwhile.

    The next run would not find what is then written to the files, and would send the messages again. Without
    the lock file, another process could open the ledger for writing, too.

    Args:
        path: the path of the file without symbolic links. The file must exist.
        given: the path that the caller passed. It may be a symbolic link, which may get another target.
    """

    def __init__(self, path: str, given: str) -> None:
        self._path = path
        self._files: list[tuple[str, tuple[int, int]]] = []
        self._size = 0
        # Whether a caller has got the error already.
        self.has_told = False
        for name in dict.fromkeys((path, f"{path}-wal", f"{path}-lock", given)):
            status = Path(name).stat()
            self._files.append((name, (status.st_dev, status.st_ino)))

    def check(self) -> None:
        """Check that the names still belong to the same files.

        Raises:
            LedgerError: if a file was deleted, renamed, replaced or truncated.
        """
        if (name := self.changed()) is not None:
            self.has_told = True
            raise LedgerError(
                f"{name} was deleted, renamed, replaced or truncated while the ledger was open, so"
                " nothing more is recorded or sent; put the file back before the next run"
            )

    def changed(self) -> str | None:
        """Return the name of the first file that does not belong to its name any more, or None."""
        for name, identity in self._files:
            try:
                # Each claim calls this function, and `Path.stat` takes three times as long.
                status = os.stat(name)
            except OSError:
                return name
            if (status.st_dev, status.st_ino) != identity:
                return name
            if name == self._path:
                # The file never becomes smaller, unless another program overwrites the file.
                if status.st_size < self._size:
                    return name
                self._size = status.st_size
        return None
