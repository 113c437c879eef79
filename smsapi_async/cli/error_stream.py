"""Standard error that never fails, so that a closed terminal does not disturb a command."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter, FileIO, TextIOWrapper, UnsupportedOperation
from typing import Any


@contextmanager
def unfailing_stderr() -> Iterator[None]:
    """Replace `sys.stderr` in the block by a stream that discards the output that cannot be written.

    After the end of the terminal, or of the process that reads a pipe, each write to standard error fails.
    Otherwise the error of a progress bar would stop a batch.
    """
    original = sys.stderr
    try:
        is_file = isinstance(original, TextIOWrapper) and original.fileno() >= 0
    except UnsupportedOperation:
        is_file = False
    if not is_file:
        yield  # A test or a caller has replaced standard error, and there may be no file.
        return
    raw = _UnfailingFile(original.fileno(), "w", closefd=False)
    sys.stderr = TextIOWrapper(
        BufferedWriter(raw), encoding=original.encoding, errors=original.errors, line_buffering=True
    )
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = original


class _UnfailingFile(FileIO):
    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer of bytes
        size = memoryview(data).nbytes
        try:
            written = super().write(data)
        except OSError:
            return size
        # None means that the file is not blocking and accepts nothing now.
        return size if written is None else written
