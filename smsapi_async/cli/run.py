"""Run one command: parse the arguments, execute the command, print the result or the error."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from io import TextIOWrapper
from threading import Event
from typing import Any

import anyio
import attrs
from rich.console import Console
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.app import app, configuration
from smsapi_async.cli.exit_codes import CommandFailure, ExitCode, explain
from smsapi_async.cli.invocations import Invocation
from smsapi_async.cli.options import HYPHENATED
from smsapi_async.cli.signals import Interruptible
from smsapi_async.cli.usage_errors import unknown_option, wants_json
from smsapi_async.errors import ValidationError

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
        failure = _usage(error, argv) or _located(explain(error, in_doubt=False))
        return _report(failure, as_json=wants_json(argv))
    return ExitCode.DONE if job is None else _carry_out(job)


def _parse(argv: Sequence[str]) -> Invocation[Any] | None:
    """Return the command to execute. Return None if cyclopts has printed the help or the version instead."""
    job: Invocation[Any] | None = app(
        argv, console=Console(), exit_on_error=False, print_error=False, result_action="return_value"
    )
    return job


def _usage(error: BaseException, argv: Sequence[str]) -> CommandFailure | None:
    """Return the failure for a misspelt option in the place of an argument. Return None for other errors."""
    if not isinstance(error, ValidationError) or error.value != HYPHENATED:
        return None
    found = unknown_option(app, argv)
    return None if found is None else CommandFailure(ExitCode.BAD_INPUT, found[0], parameter=found[1] or None)


def _located(failure: CommandFailure) -> CommandFailure:
    """Add the name of the configuration file to the error of a value that comes from the file."""
    source = configuration.source(failure.parameter)
    return (
        failure if source is None else attrs.evolve(failure, line=f"{failure.line} (value of the {source})")
    )


def _carry_out(job: Invocation[Any]) -> ExitCode:
    reporting = Event()
    with Interruptible(job.run, partial(_end_process, job, reporting)) as command:
        return _finish(job, command, reporting)


def _finish(job: Invocation[Any], command: Interruptible[Any], reporting: Event) -> ExitCode:
    tell = partial(_report, as_json=job.as_json, is_stream=job.is_stream)
    try:
        try:
            result = anyio.run(command.run, backend=job.backend, backend_options=dict(job.backend_options))
        finally:
            reporting.set()
    except output.OutputFailed as error:
        return _unwritable(error.cause)
    except _ANY as error:
        return tell(_located(explain(error, in_doubt=job.may_have_sent(), sends=job.sends)))
    if command.is_interrupted:
        return tell(_interrupted(job))
    if result is None:
        return _write(lambda: None)  # The command has written its output. Flush it, and report an error.
    failure = job.failure(result)
    printed = _print(job, result, failure)
    if failure is None:
        return printed
    _write_line(failure)
    return failure.code


def _interrupted(job: Invocation[Any]) -> CommandFailure:
    return explain(KeyboardInterrupt(), in_doubt=job.may_have_sent(), sends=job.sends)


def _end_process(job: Invocation[Any], reporting: Event) -> None:
    """End the process at the third Ctrl-C.

    Args:
        job: the command.
        reporting: is set when the command has ended and its result or its error is printed.
    """
    failure = _interrupted(job)
    # A signal handler runs at an arbitrary place, so it must not use the buffers of the streams. The process
    # does not wait for its threads, because a thread may wait for ever.
    if job.as_json and not reporting.is_set() and not output.has_open_list():
        document = json.dumps({"error": failure.document()})
        os.write(1, f"{document}\n".encode("ascii", "backslashreplace"))
    os.write(2, f"smsapi-async: {failure.line}\n".encode("ascii", "backslashreplace"))
    os._exit(failure.code)


def _print(job: Invocation[Any], result: Any, failure: CommandFailure | None) -> ExitCode:  # noqa: ANN401
    """Print the result of any command. In JSON, the one document also contains the failure."""
    if not job.as_json:
        return _write(lambda: output.write_view(job.view(result)))
    error = {} if failure is None else {"error": failure.document()}
    return _write(lambda: output.write_json({**job.document(result), **error}))


def _report(failure: CommandFailure, *, as_json: bool, is_stream: bool = False) -> ExitCode:
    """Report the failure of a command without a result."""
    _write_line(failure)
    # The segment ids belong to accepted and billed messages. The user needs the ids to request the states.
    if as_json:
        _write(lambda: _write_error(failure, is_stream=is_stream))
    elif failure.segment_ids:
        _write(lambda: output.write_view(Text("\n".join(map(output.printable, failure.segment_ids)))))
    return failure.code


def _write_line(failure: CommandFailure) -> None:
    sys.stderr.write(f"smsapi-async: {failure.line}\n")


def _write_error(failure: CommandFailure, *, is_stream: bool) -> None:
    if not output.end_json_list(failure.document()):
        write = output.write_json_line if is_stream else output.write_json
        write({"error": failure.document()})


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
