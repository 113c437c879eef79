"""The code refers only to existing headings of `protocol/CONTRACT.md`, and agrees with its tables."""

import re
from pathlib import Path

import pytest

import smsapi_async
from smsapi_async import errors, states
from smsapi_async.protocol import resources

PACKAGE = Path(smsapi_async.__file__).parent
CONTRACT = (PACKAGE / "protocol" / "CONTRACT.md").read_text(encoding="utf-8")
FILES = sorted(PACKAGE.rglob("*.py"))
HEADINGS = re.findall(r"^#{2,3} (.+)$", CONTRACT, re.MULTILINE)

# The patterns accept a line break inside a reference, because a docstring or a comment may contain one.
# The dialect `Dialect.CONTRACT` of the sandbox is no reference.
_CITATION = re.compile(r"(?<!\.)\bcontract,(?:\s|#)+", re.IGNORECASE)
_HEADINGS = re.compile(r'"([^"]+)"(?:(?:\s|#)+and(?:\s|#)+"([^"]+)")?')


def _citations(source: str) -> list[list[str]]:
    """Return the headings in each reference, with an empty list for a reference without quotation marks."""
    names = [_HEADINGS.match(source, citation.end()) for citation in _CITATION.finditer(source)]
    return [[] if found is None else [_one_line(name) for name in found.groups() if name] for found in names]


def _one_line(name: str) -> str:
    """Return a heading with one space in place of a line break and a comment sign."""
    return re.sub(r"(?:\s|#)+", " ", name)


def _table(heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, without the row of titles and without backticks."""
    section = re.split(r"^#{2,3} ", CONTRACT.split(f"\n## {heading}\n", 1)[1], flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_headings_are_unique() -> None:
    """No two headings are equal, so that each reference identifies one section."""
    assert len(HEADINGS) == len(set(HEADINGS))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_each_reference_names_a_heading(file: Path) -> None:
    """Each reference to the contract contains a heading in quotation marks, and this heading exists."""
    for names in _citations(file.read_text(encoding="utf-8")):
        assert names, f"{file.name}: a reference to the contract without quotation marks"
        assert set(names) <= set(HEADINGS)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('(contract, "Codes")', [["Codes"]]),
        ('(contract, "Dates sent" and "Dates received").', [["Dates sent", "Dates received"]]),
        ('# see (contract,\n    # "Dates\n    # sent")', [["Dates sent"]]),
        ('Contract, "Session".', [["Session"]]),
        ("(contract, table of codes)", [[]]),
        ("(contract, ``Sms/Send``)", [[]]),
        ("the contract does not say", []),
    ],
)
def test_how_references_are_found(source: str, names: list[list[str]]) -> None:
    """`_citations` finds references in upper and lower case, across a line break, and without quotes."""
    assert _citations(source) == names


def test_the_codes_are_those_of_the_table() -> None:
    """`errors.REJECTIONS` and `errors.FAULTS` together contain exactly the codes of the table "Codes"."""
    assert sorted(int(row[0]) for row in _table("Codes")) == sorted([*errors.REJECTIONS, *errors.FAULTS])


def test_the_states_are_those_of_the_table() -> None:
    """`states.TABLE` contains exactly the states of the table "States".

    The phase of each state and the value of `is_final` are those of the table.
    """
    documented = sorted((int(state), final, phase) for state, _, final, phase in _table("States"))
    assert documented == sorted(
        (int(state), "yes" if description.is_final else "no", description.phase.value)
        for state, description in states.TABLE.items()
    )


def test_the_resources_are_those_of_the_table() -> None:
    """`protocol/resources.py` contains exactly the resources and methods of the table "Resources"."""
    known = [value for value in vars(resources).values() if isinstance(value, resources.Resource)]
    documented = _table("Resources")
    assert sorted(row[:2] for row in documented) == sorted([one.name, one.method] for one in known)
    assert {row[0] for row in documented} <= set(HEADINGS)
