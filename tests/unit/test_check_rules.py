"""tools/check_rules.py: every fault it exists for is reported, and nothing else is."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "check_rules.py"
NUMBERS = range(1, 54)

TESTS = """
import pytest

@pytest.mark.parametrize("value", [1, 2])
def test_plain(value): ...

async def test_async(): ...

def helper(): ...

TEXT = "def test_in_a_string(): ..."

class TestGroup:
    def test_inside(self): ...
"""


def document(**rules: str) -> str:
    """Return a sound document in which the keywords (`r12=...`) replace the rules they number."""
    parts = ["# Rules", "", "## Verifying", ""]
    for number in NUMBERS:
        body = "Prose.\n\nHeld by: `tests/rfc/test_x.py::test_plain`"
        parts.append(rules.get(f"r{number}", f"### {number}. Title\n\n{body}") + "\n")
    return "\n".join(parts)


def held_by(references: str) -> str:
    """Return the document whose rule 12 is held by `references`."""
    return document(r12=f"### 12. Title\n\nProse.\n\nHeld by: {references}")


@pytest.fixture
def check(tmp_path):
    """Return a function that runs the tool over a document: (exit status, lines printed)."""
    tests = tmp_path / "tests" / "rfc"
    tests.mkdir(parents=True)
    (tests / "test_x.py").write_text(TESTS, encoding="utf-8")
    (tests / "test_broken.py").write_text("def test_plain(:\n", encoding="utf-8")

    def run(text=None):
        if text is not None:
            (tmp_path / "docs").mkdir()
            (tmp_path / "docs" / "rules.md").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, TOOL, tmp_path], capture_output=True, text=True, check=False
        )
        assert "" == done.stderr
        return done.returncode, done.stdout.splitlines()

    return run


def only_fault(result):
    """Return the one line of a run that failed with one fault."""
    status, lines = result
    assert (1, 1) == (status, len(lines)), lines
    return lines[0]


def test_sound_document_passes(check):
    """A document with every rule, each with a test that exists, is accepted."""
    status, lines = check(document())

    assert (0, 1) == (status, len(lines))


@pytest.mark.parametrize(
    "references",
    [
        "`tests/rfc/test_x.py::test_plain`, `tests/rfc/test_x.py::test_async`",
        "`tests/rfc/test_x.py::TestGroup::test_inside`",
        "\n- `tests/rfc/test_x.py::test_plain`\n- `tests/rfc/test_x.py::test_async`",
        "`tests/rfc/test_x.py::test_plain`\n\nMore prose about `something else`.",
    ],
)
def test_references_may_be_separated_by_commas_or_lines(check, references):
    """References end at an empty line; until then commas and line ends separate them."""
    assert 0 == check(held_by(references))[0]


def test_not_built_yet_with_a_reason_passes(check):
    """A rule may wait for the feature that needs it, when it says which."""
    assert 0 == check(document(r12="### 12. Title\n\nNot built yet: the shared cache"))[0]


def test_missing_document(check):
    """Without a document nothing is checked, and that is a fault."""
    assert "docs/rules.md: the file does not exist" == only_fault(check())


def test_missing_rule(check):
    """A number of the range that has no heading is named."""
    assert "docs/rules.md: rule 12 is missing" == only_fault(check(document(r12="")))


def test_last_rule_missing(check):
    """The range ends with its last rule, not before it."""
    assert "docs/rules.md: rule 53 is missing" == only_fault(check(document(r53="")))


def test_duplicated_rule(check):
    """The second heading with one number is named, with the line of the first."""
    text = document() + "### 1. Again\n\nNot built yet: x\n"

    assert only_fault(check(text)).endswith("rule 1 stands already in line 5")


def test_number_outside_the_range(check):
    """A heading with a number that no rule has is named."""
    text = document() + "### 54. More\n\nNot built yet: x\n"

    assert only_fault(check(text)).endswith("rule 54 is not one of 1..53")


def test_rule_with_neither(check):
    """Prose alone holds nothing."""
    fault = only_fault(check(document(r12="### 12. Title\n\nProse about `tests/rfc/test_x.py`.")))

    assert fault.endswith('rule 12 has neither a "Held by:" nor a "Not built yet:" line')


def test_next_section_does_not_lend_its_line(check):
    """What stands under the next heading belongs to that heading."""
    text = document(r12="### 12. Title\n\nProse.\n\n## Section\n\nHeld by: `tests/x.py::test_y`")

    assert "rule 12 has neither" in only_fault(check(text))


def test_held_by_nothing(check):
    """A line that names no test in backticks holds nothing."""
    fault = only_fault(check(held_by("the integration suite")))

    assert fault.endswith('rule 12 has a "Held by:" line that names no test')


def test_not_built_yet_without_a_reason(check):
    """Waiting needs a reason."""
    fault = only_fault(check(document(r12="### 12. Title\n\nNot built yet:")))

    assert "does not say what will need it" in fault


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("tests/rfc/test_gone.py::test_plain", "there is no such file"),
        ("tests/rfc::test_plain", "there is no such file"),
        ("tests/rfc/test_x.py::test_gone", "there is no such test in the file"),
        ("tests/rfc/test_x.py::test_inside", "there is no such test in the file"),
        ("tests/rfc/test_x.py::TestGone::test_inside", "there is no such test in the file"),
        ("tests/rfc/test_x.py::TestGroup", "there is no such test in the file"),
        ("tests/rfc/test_x.py::test_in_a_string", "there is no such test in the file"),
        ("tests/rfc/test_x.py::helper", "there is no such test in the file"),
        ("tests/rfc/test_broken.py::test_plain", "the file is not valid Python"),
        ("tests/rfc/test_x.py", "a reference names a test, as in tests/test_x.py::test_name"),
        ("src/test_x.py::test_plain", "a reference starts with tests/"),
        ("tests/../../x.py::test_plain", "a reference starts with tests/"),
    ],
)
def test_reference_to_nothing(check, reference, reason):
    """Each kind of reference that leads nowhere is named with its reason."""
    fault = only_fault(check(held_by(f"`tests/rfc/test_x.py::test_plain`, `{reference}`")))

    assert fault.endswith(f"rule 12 is held by `{reference}`: {reason}")


def test_every_fault_has_its_line(check):
    """One run reports all faults, not only the first."""
    status, lines = check(document(r3="", r12="### 12. Title\n\nProse."))

    assert (1, 2) == (status, len(lines))
