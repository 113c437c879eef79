"""Tests of fault plans: a plan determines the fault of each request, and can be stored in a file."""

import json
import re
import string
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async.sandbox import faults
from smsapi_async.sandbox.faults import Fault, FaultPlan, FaultPlanError, Rule
from smsapi_async.sandbox.faults.decisions import Decider, Decision

RESOURCES = ["Sms/Send", "Sms/SendBulk", "Sms/State"]

seconds = st.floats(0, 1e9)
resources = (
    st.none()
    | st.text(string.ascii_letters + string.digits + "._-\"\\%'", min_size=1)
    | st.sampled_from(RESOURCES)
)
rules = st.builds(
    Rule,
    fault=st.sampled_from(Fault),
    resource=resources,
    times=st.none() | st.integers(0, 3),
    probability=st.floats(0, 1),
    after=st.integers(0, 3),
    retry_after=seconds,
)
weights = st.dictionaries(st.sampled_from(Fault), st.floats(0.001, 1e6))
plans = st.builds(
    FaultPlan,
    faults=st.lists(st.sampled_from(Fault), max_size=5),
    rules=st.lists(rules, max_size=3).map(tuple),
    weights=weights,
    resource=resources,
    seed=st.integers(),
    retry_after=seconds,
)


def decide(plan: FaultPlan, *wanted: str) -> list[Fault]:
    """Return the faults that the plan chooses for requests to the resources `wanted`, in the same order."""
    decider = Decider(plan)
    return [decider.take(resource).fault for resource in wanted]


def test_script_gives_one_fault_a_request_and_then_passes() -> None:
    """Each request gets the next fault of a script, for any resource.

    After the last fault of the script, all requests pass the proxy without a fault.
    """
    plan = FaultPlan.script([Fault.GARBAGE, Fault.PASS, Fault.ERROR_500])
    assert decide(plan, "Sms/Send", "Sms/State", "Sms/Send", "Sms/Send") == [
        Fault.GARBAGE,
        Fault.PASS,
        Fault.ERROR_500,
        Fault.PASS,
    ]


def test_script_of_a_resource_leaves_the_others_alone() -> None:
    """A script for `Sms/Send` affects only requests to `Sms/Send`.

    The fault plan ignores the case of letters in the name of a resource.
    """
    plan = FaultPlan.script([Fault.GARBAGE, Fault.ERROR_500], resource="/Sms/Send/")
    assert decide(plan, "Sms/State", "sms/send", "User/Balance", "SMS/SEND") == [
        Fault.PASS,
        Fault.GARBAGE,
        Fault.PASS,
        Fault.ERROR_500,
    ]


def test_rule_skips_then_strikes_a_number_of_times() -> None:
    """A rule skips the first `after` requests to its resource, and gives its fault to the next `times`."""
    plan = FaultPlan(rules=(Rule(resource="Sms/Send", fault=Fault.GARBAGE, after=1, times=2),))
    assert decide(plan, "Sms/Send", "Sms/State", *["Sms/Send"] * 3) == [
        Fault.PASS,
        Fault.PASS,
        Fault.GARBAGE,
        Fault.GARBAGE,
        Fault.PASS,
    ]


def test_first_rule_that_strikes_wins() -> None:
    """If several rules apply to a request, the first of these rules determines the fault."""
    plan = FaultPlan(
        rules=(
            Rule(fault=Fault.GARBAGE, probability=0.0),
            Rule(fault=Fault.TOO_MANY_REQUESTS_429, times=1, retry_after=2.5),
            Rule(fault=Fault.ERROR_502),
        )
    )
    decider = Decider(plan)
    assert [decider.take("Sms/Send"), decider.take("Sms/Send")] == [
        Decision(Fault.TOO_MANY_REQUESTS_429, 2.5),
        Decision(Fault.ERROR_502),
    ]


def test_probability_is_met_in_the_long_run() -> None:
    """A rule with probability 0.25 applies to about a quarter of many requests."""
    plan = FaultPlan(rules=(Rule(fault=Fault.GARBAGE, probability=0.25),), seed=7)
    struck = decide(plan, *["Sms/Send"] * 2000).count(Fault.GARBAGE)
    assert 400 < struck < 600


def test_weights_are_met_in_the_long_run() -> None:
    """Random faults occur in proportion to the weights, and a fault with weight 0 never occurs."""
    plan = FaultPlan.random(seed=7, weights={Fault.PASS: 3, Fault.GARBAGE: 1, Fault.ERROR_500: 0})
    drawn = decide(plan, *["Sms/Send"] * 2000)
    assert 400 < drawn.count(Fault.GARBAGE) < 600
    assert Fault.ERROR_500 not in drawn


@given(plans, st.lists(st.sampled_from(RESOURCES), max_size=30))
def test_peeking_foretells_and_changes_nothing(plan: FaultPlan, wanted: list[str]) -> None:
    """`peek` returns the fault that the next `take` chooses.

    A call of `peek` or `peek_connection` does not change the fault that the next `take` chooses.
    """
    decider = Decider(plan)
    for resource in wanted:
        foretold = decider.peek(resource)
        decider.peek_connection()
        assert decider.take(resource).fault is foretold


@given(st.integers(), st.lists(st.sampled_from(RESOURCES), max_size=40), st.randoms())
def test_seeded_draw_does_not_depend_on_timing(seed: int, wanted: list[str], random: Random) -> None:
    """The seed of a plan determines the fault of the n-th request to a resource.

    Requests to other resources do not change the fault that the seed determines.
    """
    plan = FaultPlan.random(seed=seed)
    shuffled = random.sample(wanted, len(wanted))
    for resource in RESOURCES:
        mixed = [fault for fault, name in zip(decide(plan, *wanted), wanted, strict=True) if name == resource]
        other = [
            fault for fault, name in zip(decide(plan, *shuffled), shuffled, strict=True) if name == resource
        ]
        assert mixed == other


@given(plans, st.lists(st.sampled_from(RESOURCES), max_size=20), st.sampled_from([".json", ".toml"]))
def test_plan_comes_back_from_its_file(
    tmp_path: Path, plan: FaultPlan, wanted: list[str], suffix: str
) -> None:
    """A plan that is saved and loaded is equal to the original plan, and chooses the same faults."""
    path = tmp_path / f"plan{suffix}"
    plan.dump(path)
    again = FaultPlan.load(path)
    assert again == plan
    assert decide(again, *wanted) == decide(plan, *wanted)


def test_drawn_seed_is_kept_for_the_replay(tmp_path: Path) -> None:
    """A random plan without a seed chooses a random seed, and the file of the plan contains this seed."""
    plan = FaultPlan.random()
    plan.dump(tmp_path / "plan.toml")
    assert f"seed = {plan.seed}" in (tmp_path / "plan.toml").read_text("utf-8")
    assert FaultPlan.random().seed != plan.seed


def test_seed_decides_the_same_for_ever() -> None:
    """A seed produces the same faults in this version of the sandbox as in older versions."""
    plan = FaultPlan.random(seed=1, weights={Fault.PASS: 1, Fault.GARBAGE: 1})
    marks = "".join("x" if fault is Fault.GARBAGE else "." for fault in decide(plan, *["Sms/Send"] * 16))
    assert marks == "xx..x...x.x.x..x"


def test_plan_written_by_hand_is_read(tmp_path: Path) -> None:
    """A plan file can be written by hand with the documented names of fields and faults."""
    path = tmp_path / "plan.toml"
    path.write_text(
        'faults = ["pass"]\n[[rules]]\nfault = "reset-after-pass"\nresource = "Sms/Send"\n', "utf-8"
    )
    assert FaultPlan.load(path) == FaultPlan(
        faults=(Fault.PASS,), rules=(Rule(fault=Fault.RESET_AFTER_PASS, resource="Sms/Send"),)
    )


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("plan.json", '{"faults": ["reset-sometimes"]}', "faults"),
        ("plan.json", '{"fautls": []}', "fautls"),
        ("plan.json", '{"rules": [{"fault": "pass", "probability": 2}]}', "rules"),
        ("plan.json", "[]", "plan.json contains no fault plan"),
        ("plan.json", "{", "Expecting"),
        ("plan.toml", "faults = [", "plan.toml contains no fault plan"),
        ("plan.yaml", "", "plan.yaml"),
    ],
)
def test_bad_file_is_refused_with_the_place(tmp_path: Path, name: str, text: str, told: str) -> None:
    """The error for an invalid plan file contains the invalid field, the syntax error or the file name."""
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(FaultPlanError, match=re.escape(told)):
        FaultPlan.load(tmp_path / name)


def test_a_plan_is_a_json_document() -> None:
    """A plan can be written as a JSON document and read from it, without a file."""
    plan = FaultPlan(rules=(Rule(fault=Fault.REFUSE, times=1),), weights={Fault.PASS: 1})
    document = json.loads(json.dumps(plan.as_document()))
    assert document == {"rules": [{"fault": "refuse", "times": 1}], "weights": {"pass": 1.0}}
    assert FaultPlan.from_document(document) == plan
    assert FaultPlan.from_document({}) == FaultPlan()


KINDS = f"the kinds are: {', '.join(Fault)}"
KEYS = "the keys are: faults, rules, weights, resource, seed, retry_after"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, ["not a JSON object"]),
        ([], ["not a JSON object"]),
        ("pass", ["not a JSON object"]),
        ({"x": 1}, ["plan has the unknown key 'x'", KEYS]),
        ({5: 1}, ["plan has the unknown key 5", KEYS]),
        ({"rules": 5}, ["plan.rules must be a list"]),
        ({"rules": [5]}, ["plan.rules[0] must be an object with the keys fault, resource, times"]),
        ({"rules": [{"fault": "nope"}]}, ["plan.rules[0].fault is 'nope'", KINDS]),
        ({"rules": [{}]}, ["plan.rules[0].fault is missing", KINDS]),
        ({"rules": [{"fault": "pass", "x": 1}]}, ["plan.rules[0] has the unknown key 'x'", "retry_after"]),
        ({"rules": [{"fault": "pass", "times": 1.5}]}, ["plan.rules[0].times must be an integer"]),
        ({"rules": [{"fault": "pass", "times": True}]}, ["plan.rules[0].times must be an integer"]),
        ({"rules": [{"fault": "pass", "after": None}]}, ["plan.rules[0].after must be an integer"]),
        ({"rules": [{"fault": "pass", "probability": 2}]}, ["plan.rules[0].probability", "from 0 to 1"]),
        ({"faults": "pass"}, ["plan.faults must be a list"]),
        ({"faults": ["pass", "nope"]}, ["plan.faults[1] is 'nope'", KINDS]),
        ({"faults": ["x" * 1000]}, [f"is '{'x' * 59}..., which"]),
        ({"faults": [None]}, ["plan.faults[0] is None", KINDS]),
        ({"weights": [1]}, ["plan.weights must be an object", KINDS]),
        ({"weights": {"nope": 1}}, ["a key of plan.weights is 'nope'", KINDS]),
        ({"weights": {"pass": -1}}, ["plan.weights['pass'] must be a finite number of at least 0"]),
        ({"weights": {"pass": "1"}}, ["plan.weights['pass'] must be a finite number"]),
        ({"weights": {"pass": 0}}, ["the sum of plan.weights", "greater than 0"]),
        ({"weights": {"pass": 10**400}}, ["plan.weights['pass'] must be a finite number"]),
        ({"resource": "Sms/Send?x"}, ["plan.resource must be a path like 'Sms/Send'"]),
        ({"resource": 5}, ["plan.resource must be a path"]),
        ({"seed": 0.5}, ["plan.seed must be an integer"]),
        ({"seed": float("nan")}, ["plan.seed must be an integer"]),
        ({"retry_after": float("inf")}, ["plan.retry_after must be a finite number of at least 0"]),
        ({"x": 1, "faults": ["nope"], "seed": "1"}, ["'x'", "plan.faults[0]", "plan.seed"]),
    ],
)
def test_bad_document_is_refused(document: Any, words: list[str]) -> None:
    """The error for an invalid plan names each wrong place, and lists the kinds or keys that exist."""
    with pytest.raises(FaultPlanError) as caught:
        FaultPlan.from_document(document)
    assert [each for each in words if each not in str(caught.value)] == []


@pytest.mark.parametrize("kind", ["nope", None, 5])
def test_unknown_kind(kind: Any) -> None:
    """An unknown kind of fault raises `ValueError` with the kinds that exist."""
    for make in (Fault, lambda each: FaultPlan.script([each]), lambda each: Rule(fault=each)):
        with pytest.raises(ValueError, match=re.escape(f"{kind!r} is no kind of fault; {KINDS}")):
            make(kind)


@pytest.mark.parametrize(
    "fields",
    [
        {"probability": 1.5},
        {"probability": float("nan")},
        {"times": -1},
        {"after": -1},
        {"retry_after": float("inf")},
        {"resource": "Sms/Send?SessionID=1"},
        {"resource": ""},
    ],
)
def test_rule_out_of_range_is_refused(fields: dict[str, object]) -> None:
    """Creating a rule with an invalid value raises `ValueError`."""
    with pytest.raises(ValueError, match=r"."):
        Rule(fault=Fault.PASS, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_out_of_range_are_refused(weight: float) -> None:
    """A plan raises `ValueError` if a weight is negative or not finite, or if all weights are zero."""
    with pytest.raises(ValueError, match="weights"):
        FaultPlan.random(seed=1, weights={Fault.PASS: weight})


def test_documented_table_is_the_truth() -> None:
    """The table in the documentation lists all faults in the order of `Fault`.

    The table in the documentation states correctly whether the gateway receives the request.
    """
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| .+ \| (yes|no)", faults.__doc__ or "", re.MULTILINE)
    assert rows == [(fault.value, "yes" if fault.reaches_gateway else "no") for fault in Fault]


@given(plans)
def test_connection_is_judged_only_by_what_is_certain(plan: FaultPlan) -> None:
    """If `peek_connection` returns another fault than PASS, the next request gets the returned fault.

    The resource of the next request does not change the fault that `peek_connection` returned.
    """
    fault = Decider(plan).peek_connection()
    if fault is not Fault.PASS:
        assert {Decider(plan).peek(resource) for resource in RESOURCES} == {fault}
