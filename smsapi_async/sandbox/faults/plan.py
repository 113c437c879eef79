"""What goes wrong, and when: a script, rules or a seeded draw, as a value that can be kept in a file."""

import math
import re
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
from smsapi_async.sandbox.faults.kinds import Fault

_PRINTABLE_PATH = re.compile(r"[!\"$->@-~]+")


class FaultPlanError(ValueError):
    """A plan's file does not hold a plan; the text names every place that is wrong."""


def _resource(value: str | None) -> str | None:
    return value if value is None else value.strip("/")


def _check_resource(_instance: object, _attribute: object, value: str | None) -> None:
    if value is not None and not _PRINTABLE_PATH.fullmatch(value):
        raise ValueError("a resource is a path such as 'Sms/Send', in printable ASCII and without a query")


def _check_seconds(_instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{attribute.name} is a number of seconds, zero or more")


@attrs.frozen(kw_only=True)
class Rule:
    """One fault for the requests that match.

    `resource` is a path below the base URL such as `Sms/Send`, compared without regard to case; `None` is
    every resource. The first `after` matching requests are let by, then the fault strikes with `probability`,
    at most `times` times (`None`: no limit). `retry_after` is in seconds, for `Fault.TOO_MANY_REQUESTS_429`.
    `ValueError` for numbers out of range.
    """

    fault: Fault = attrs.field(converter=Fault)
    resource: str | None = attrs.field(default=None, converter=_resource, validator=_check_resource)
    times: int | None = attrs.field(default=None, validator=validators.optional(validators.ge(0)))
    probability: float = attrs.field(default=1.0, validator=[validators.ge(0), validators.le(1)])
    after: int = attrs.field(default=0, validator=validators.ge(0))
    retry_after: float = attrs.field(default=0.0, validator=_check_seconds)

    def matches(self, resource: str | None) -> bool:
        """Whether the rule is about `resource`; `None` is a connection whose request is not known yet."""
        return _same_resource(self.resource, resource)


def _faults(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(Fault(fault) for fault in faults)


def _sorted_weights(weights: Mapping[Fault, float]) -> Mapping[Fault, float]:
    return MappingProxyType({Fault(fault): float(weights[fault]) for fault in sorted(weights)})


def _check_weights(_instance: object, _attribute: object, weights: Mapping[Fault, float]) -> None:
    if weights and not (min(weights.values()) >= 0 and 0 < sum(weights.values()) < math.inf):
        raise ValueError("weights are finite, not negative and not all zero")


@attrs.frozen(kw_only=True)
class FaultPlan:
    """A decision for every request; a value without state, started anew by each proxy it is given to.

    Asked in this order: `faults`, one for each request of `resource` until they are used up; the first of
    `rules` that strikes; a draw by `weights` for requests of `resource`. What none of them claims passes.
    `seed` feeds the draws and the rules' probabilities: the draw for the n-th request of a resource depends
    on the seed, the resource and n alone. `retry_after` is in seconds, for the 429s that no rule asked for.

    A script or a counting rule (`times`, `after`) without a resource counts requests of all resources in the
    order of their arrival; give it a resource to make it independent of timing.
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
        """One fault for each request of `resource` (`None`: of any), in order; after the last, all pass."""
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
        """A weighted draw for each request.

        Without a `seed` one is drawn and kept in the plan, so that the run can be replayed. Without `weights`
        seven requests in ten pass and the other kinds share the rest; note that some of them hang until the
        client's timeout.
        """
        return cls(
            seed=secrets.randbits(32) if seed is None else seed,
            weights=_default_weights() if weights is None else weights,
            resource=resource,
            retry_after=retry_after,
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a plan from a `.json` or `.toml` file; `FaultPlanError` if it holds none.

        The keys are the names of this class's fields, all optional; `rules` is a list of tables with the
        fields of `Rule`, `weights` a table by kind. Kinds go by their names in the package's table.
        """
        try:
            return _CONVERTER.structure(read_mapping(Path(path)), cls)
        except ClassValidationError as error:
            raise FaultPlanError("; ".join(transform_error(error, path="plan"))) from error
        except ValueError as error:
            raise FaultPlanError(f"{path} holds no fault plan: {error}") from error

    def dump(self, path: str | PathLike[str]) -> None:
        """Write the plan to a `.json` or `.toml` file that `load` reads back as an equal plan."""
        write_mapping(Path(path), _CONVERTER.unstructure(self))

    def matches(self, resource: str | None) -> bool:
        """Whether the script and the weights are about `resource` (`None`: not known yet)."""
        return _same_resource(self.resource, resource)


def _same_resource(wanted: str | None, resource: str | None) -> bool:
    return wanted is None or (resource is not None and wanted.lower() == resource.lower())


def _default_weights() -> dict[Fault, float]:
    share = 0.3 / (len(Fault) - 1)
    return {fault: 0.7 if fault is Fault.PASS else share for fault in Fault}


_CONVERTER = Converter(forbid_extra_keys=True, omit_if_default=True)
