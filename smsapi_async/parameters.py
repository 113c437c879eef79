"""The types of the settings of `AsyncSmsClient`, for type checkers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta, tzinfo
from typing import Literal, TypedDict

from smsapi_async.clock import Clock
from smsapi_async.http.libraries import Http, Kind, SuppliedClient, SuppliedTransport
from smsapi_async.loading import pathlib, ssl
from smsapi_async.observers import Observer
from smsapi_async.pace import Pace
from smsapi_async.session import SessionStore
from smsapi_async.settings import RetryPolicy, Timeouts


class FurtherOptions(TypedDict, total=False):
    """The types of the parameters of `AsyncSmsClient` after the login and the password."""

    source_address: str | None
    base_url: str
    api_version: Literal[1, 2]
    gateway_time_zone: tzinfo
    bulk_by_time_zone: bool
    timeouts: Timeouts | None
    concurrency: int
    requests_per_second: float | None
    pace: Pace | None
    retry: RetryPolicy | None
    login_cool_down: timedelta
    proxy: str | None
    ca_file: str | pathlib.Path | None
    ssl_context: ssl.SSLContext | None
    allow_plain_http: bool
    http: Http | None
    client: SuppliedClient | None
    transport: SuppliedTransport | Kind | None
    session_store: SessionStore | None
    response_limit: int
    clock: Clock | None
    observers: Iterable[Observer] | None


class Options(FurtherOptions, total=False):
    """The types of the parameters of `AsyncSmsClient.from_env`, for type checkers."""

    login: str
    password: str
