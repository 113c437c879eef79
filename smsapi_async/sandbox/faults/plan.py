"""Fault plans: a script, rules or random draws determine the fault of each request."""

import math
import secrets
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Self

import attrs
from attrs import validators
from cattrs import Converter, transform_error
from cattrs.errors import ClassValidationError

from smsapi_async.sandbox.faults.files import read_mapping, write_mapping
from smsapi_async.sandbox.faults.kinds import Fault, is_resource_path
from smsapi_async.sandbox.faults.plan_checks import plan_problems
from smsapi_async.sandbox.steady import steady_repr

_VERSION_2 = "v2/"


class FaultPlanError(ValueError):
    """A file or a JSON document is no valid fault plan.

    The message lists every invalid value with its place, and the kinds of fault or the keys that exist.
    """


def _resource(value: str | None) -> str | None:
    if value is None:
        return None
    # A resource has the same name in both versions of the interface.
    path = value.strip("/")
    return path[len(_VERSION_2) :] if path.lower().startswith(_VERSION_2) else path


def _check_resource(_instance: object, _attribute: object, value: str | None) -> None:
    if value is not None and not is_resource_path(value):
        raise ValueError("resource must be a path like 'Sms/Send', in printable ASCII and without a query")


def _check_seconds(_instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{attribute.name} must be a finite number of seconds, zero or more")


@steady_repr
@attrs.frozen(kw_only=True)
class Rule:
    """A rule that applies one kind of fault to matching requests.

    Attributes:
        fault: the kind of fault that matching requests get.
        resource: the resource whose requests the rule matches, as a path below the base URL in upper or lower
            case, for example `Sms/Send`. The name applies to both versions of the interface. If `resource` is
            None, the rule matches all requests.
        times: the largest number of requests that get the fault; None means no limit.
        probability: the probability that a matching request gets the fault, from 0 to 1.
        after: the number of matching requests that pass before the rule applies.
        retry_after: the seconds in the `Retry-After` header field of `Fault.TOO_MANY_REQUESTS_429`.

    Raises:
        ValueError: if a number is out of range, or if `resource` is not a path.
    """

    fault: Fault = attrs.field(converter=Fault)
    resource: str | None = attrs.field(default=None, converter=_resource, validator=_check_resource)
    times: int | None = attrs.field(default=None, validator=validators.optional(validators.ge(0)))
    probability: float = attrs.field(default=1.0, validator=[validators.ge(0), validators.le(1)])
    after: int = attrs.field(default=0, validator=validators.ge(0))
    retry_after: float = attrs.field(default=0.0, validator=_check_seconds)

    def matches(self, resource: str | None) -> bool:
        """Whether the rule matches `resource`; None means that no request has arrived on the connection."""
        return _same_resource(self.resource, resource)


def _faults(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(Fault(fault) for fault in faults)


def _sorted_weights(weights: Mapping[Fault, float]) -> Mapping[Fault, float]:
    # Sort the kinds of fault, so that two plans with equal weights draw equal faults: the random draw depends
    # on the order of the kinds.
    return MappingProxyType({Fault(fault): float(weights[fault]) for fault in sorted(weights)})


def _check_weights(_instance: object, _attribute: object, weights: Mapping[Fault, float]) -> None:
    if weights and not (min(weights.values()) >= 0 and 0 < sum(weights.values()) < math.inf):
        raise ValueError("weights must be finite, not negative and not all zero")


@steady_repr
@attrs.frozen(kw_only=True)
class FaultPlan:
    """Determines the fault of every request.

    A plan has no state. Each proxy starts at the beginning of the plan. For each request, the proxy checks
    the following sources in this order. The first source that applies determines the fault:

    1. the script `faults`, for a request to `resource`, until all faults of the script are used;
    2. the rules, in their order;
    3. a random draw with `weights`, for a request to `resource`.

    If none of the three sources applies, the request passes.

    A script without a resource counts the requests to all resources in the order of their arrival. A rule
    without a resource also counts the requests to all resources for `times` and `after`. To make the faults
    of a resource independent of the timing of other requests, set `resource`.

    Attributes:
        faults: the script, a list with one fault for each request.
        rules: the rules, in the order in which the proxy checks the rules.
        weights: the relative weight of each kind in the random draw; empty means no random draw.
        resource: the resource of the script and of the random draw: a path below the base URL, for example
            `Sms/Send`, in upper or lower case, for both versions of the interface; None means all resources.
        seed: the seed of all random draws, also for `Rule.probability`. The draw for the n-th request of a
            resource depends only on the seed, the resource and n.
        retry_after: the seconds in the `Retry-After` header field of a response with HTTP status 429, for
            `faults` and `weights`. Each rule has a separate `retry_after`.

    Raises:
        ValueError: if a weight or `retry_after` is out of range, or if `resource` is not a path.
    """

    faults: tuple[Fault, ...] = attrs.field(default=(), converter=_faults)
    rules: tuple[Rule, ...] = ()
    weights: Mapping[Fault, float] = attrs.field(
        factory=dict, converter=_sorted_weights, validator=_check_weights
    )
    resource: str | None = attrs.field(default=None, converter=_resource, validator=_check_resource)
    seed: int = 0
    retry_after: float = attrs.field(default=0.0, validator=_check_seconds)

    @classmethod
    def script(
        cls, faults: Iterable[Fault], *, resource: str | None = None, retry_after: float = 0.0
    ) -> Self:
        """Return a plan with one fault for each request, in the order of `faults`.

        After the last fault, all requests pass.

        Args:
            faults: the kinds of fault. `Fault.PASS` lets one request pass.
            resource: the resource of the requests; None means all resources.
            retry_after: the seconds in the `Retry-After` header field of a response with HTTP status 429.
        """
        return cls(faults=faults, resource=resource, retry_after=retry_after)

    @classmethod
    def random(
        cls,
        *,
        seed: int | None = None,
        weights: Mapping[Fault, float] | None = None,
        resource: str | None = None,
        retry_after: float = 0.0,
    ) -> Self:
        """Return a plan that draws the fault of each request at random.

        Some kinds of fault send no response. With these faults, a client waits until its timeout.

        Args:
            seed: the seed of the draws; None chooses a random seed. The plan contains the seed, so a test can
                repeat the run.
            weights: the relative weight of each kind; None means: 70 % of the requests pass, and the other
                kinds have equal weights.
            resource: the resource of the requests; None means all resources.
            retry_after: the seconds in the `Retry-After` header field of a response with HTTP status 429.
        """
        return cls(
            seed=secrets.randbits(32) if seed is None else seed,
            weights=_default_weights() if weights is None else weights,
            resource=resource,
            retry_after=retry_after,
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a plan from a `.json` or `.toml` file.

        The keys of the file are the names of the attributes of `FaultPlan`. All keys are optional. `rules` is
        a list of tables, and the keys of each table are the attributes of `Rule`. `weights` is a table with
        the kinds as keys. The docstring of `smsapi_async.sandbox.faults` has the names of the kinds.

        Args:
            path: the path of the file with the fault plan.

        Raises:
            FaultPlanError: if the file does not contain a valid plan, or if the suffix of the file is wrong.
            OSError: if the file cannot be read.
        """
        try:
            document = read_mapping(Path(path))
        except ValueError as error:
            raise FaultPlanError(f"{path} contains no fault plan: {error}") from error
        return cls.from_document(document)

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> Self:
        """Return the plan in a JSON object, with the same keys as in a file for `load`.

        Args:
            document: the JSON object, as a mapping.

        Raises:
            FaultPlanError: if the document is not a valid plan.
        """
        if not isinstance(document, Mapping):
            raise FaultPlanError("the document is not a JSON object")
        if problems := plan_problems(document):
            raise FaultPlanError("; ".join(problems))
        try:
            return _CONVERTER.structure(document, cls)
        except ClassValidationError as error:
            raise FaultPlanError("; ".join(transform_error(error, path="plan"))) from error
        except (TypeError, ValueError) as error:
            raise FaultPlanError(f"the document is no fault plan: {error}") from error

    def as_document(self) -> dict[str, object]:
        """Return the plan as a JSON object. A value that is equal to its default is left out."""
        document: dict[str, object] = _CONVERTER.unstructure(self)
        return document

    def dump(self, path: str | PathLike[str]) -> None:
        """Write the plan to a `.json` or `.toml` file. `load` reads an equal plan from this file.

        Args:
            path: the path of the file with the fault plan.

        Raises:
            OSError: if the file cannot be written.
            ValueError: if the suffix of the file is neither `.json` nor `.toml`.
        """
        write_mapping(Path(path), self.as_document())

    def matches(self, resource: str | None) -> bool:
        """Whether the script and the weights apply to `resource`; None means that no request has arrived."""
        return _same_resource(self.resource, resource)


def _same_resource(wanted: str | None, resource: str | None) -> bool:
    return wanted is None or (resource is not None and wanted.lower() == resource.lower())


def _default_weights() -> dict[Fault, float]:
    share = 0.3 / (len(Fault) - 1)
    return {fault: 0.7 if fault is Fault.PASS else share for fault in Fault}


# An unknown key in the file is an error, because the key may be misspelt. A value that is equal to its
# default, for example None, is not written to the file, because TOML has no null.
_CONVERTER = Converter(forbid_extra_keys=True, omit_if_default=True)
