"""Run one command: parse the arguments, execute the command, print the result or the error."""

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from io import TextIOWrapper
from typing import Any

import anyio
from rich.console import Console
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.app import app
from smsapi_async.cli.exit_codes import CommandFailure, ExitCode, explain
from smsapi_async.cli.invocations import Invocation
from smsapi_async.cli.signals import Interruptible

# The exceptions that can end a command: `KeyboardInterrupt` is not a subclass of `Exception`, and trio raises
# `KeyboardInterrupt` in an exception group.
_ANY = (Exception, KeyboardInterrupt, BaseExceptionGroup)


def run(argv: Sequence[str]) -> ExitCode:
    """Run the command that `argv` describes, and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Print characters that the encoding of the terminal lacks as escape sequences, because an
            # encoding error after a send would look like a failed send.
            stream.reconfigure(errors="backslashreplace")
    try:
        job = _parse(argv)
    except _ANY as error:  # The user gets one line for every error, never a traceback.
        return _report(explain(error, in_doubt=False), as_json=False)
    return ExitCode.DONE if job is None else _carry_out(job)


def _parse(argv: Sequence[str]) -> Invocation[Any] | None:
    """Return the command to execute. Return None if cyclopts has printed the help or the version instead."""
    job: Invocation[Any] | None = app(
        argv, console=Console(), exit_on_error=False, print_error=False, result_action="return_value"
    )
    return job


def _carry_out(job: Invocation[Any]) -> ExitCode:
    with Interruptible(job.run, partial(_end_process, job)) as command:
        return _finish(job, command)


def _finish(job: Invocation[Any], command: Interruptible[Any]) -> ExitCode:
    try:
        result = anyio.run(command.run, backend=job.backend, backend_options=dict(job.backend_options))
    except output.OutputFailed as error:
        return _unwritable(error.cause)
    except _ANY as error:
        return _report(explain(error, in_doubt=job.may_have_sent(), sends=job.sends), as_json=job.as_json)
    if command.is_interrupted:
        return _report(_interrupted(job), as_json=job.as_json)
    if result is None:
        return _write(lambda: None)  # The command has written its output. Flush it, and report an error.
    printed = _print(job, result)
    failure = job.failure(result)
    return printed if failure is None else _report(failure, as_json=job.as_json)


def _interrupted(job: Invocation[Any]) -> CommandFailure:
    return explain(KeyboardInterrupt(), in_doubt=job.may_have_sent(), sends=job.sends)


def _end_process(job: Invocation[Any]) -> None:
    failure = _interrupted(job)
    # A signal handler runs at an arbitrary place, so it must not use the buffer of `sys.stderr`. The process
    # does not wait for its threads, because a thread may wait for ever.
    os.write(2, f"smsapi-async: {failure.line}\n".encode("ascii", "backslashreplace"))
    os._exit(failure.code)


def _print(job: Invocation[Any], result: Any) -> ExitCode:  # noqa: ANN401 - the result of any command
    if job.as_json:
        return _write(lambda: output.write_json(job.document(result)))
    return _write(lambda: output.write_view(job.view(result)))


def _report(failure: CommandFailure, *, as_json: bool) -> ExitCode:
    sys.stderr.write(f"smsapi-async: {failure.line}\n")
    # Print the segment ids of the accepted and billed messages, because the user needs the ids to request the
    # states.
    if failure.segment_ids and as_json:
        _write(lambda: output.write_json({"segment_ids": failure.segment_ids}))
    elif failure.segment_ids:
        _write(lambda: output.write_view(Text("\n".join(map(output.printable, failure.segment_ids)))))
    return failure.code


def _write(action: Callable[[], None]) -> ExitCode:
    try:
        action()
        sys.stdout.flush()
    except OSError as error:
        return _unwritable(error)
    return ExitCode.DONE


def _unwritable(error: OSError) -> ExitCode:
    # Redirect standard output to the null device, where output cannot fail. At exit, the interpreter flushes
    # standard output again and would print a second error if the flush failed.
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    line = "the command was carried out, but its result could not be written"
    return _report(CommandFailure(ExitCode.UNEXPECTED, f"{line} ({type(error).__name__})"), as_json=False)
