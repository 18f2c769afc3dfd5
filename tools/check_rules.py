"""Check that every rule of behaviour is held by a test that exists.

Reads `docs/rules.md`. A rule is a heading `### 12. Title`, prose, and one of

    Held by: `tests/rfc/test_rfc7662.py::test_2_2_missing_active`, `tests/…::TestClass::test_name`
    Not built yet: what will need it

References go on over the following lines until an empty one. Tests are looked up in the syntax tree
of their file; nothing is imported.

Usage: `python tools/check_rules.py [ROOT]`, where ROOT (default: this repository) holds `docs/` and
`tests/`. Exit status 0 when all is well, 1 with one line for each fault.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

RULES = range(1, 54)

_HEADING = re.compile(r"### (\d+)\. \S")
_SECTION = re.compile(r"#{1,3} ")
_NOT_BUILT = re.compile(r"Not built yet:(?P<reason>.*)")
_HELD_BY = "Held by:"
_REFERENCE = re.compile(r"`([^`]*)`")


@dataclass(frozen=True)
class Rule:
    """One rule as it stands in the document."""

    number: int
    line: int
    references: tuple[str, ...]
    held: bool
    not_built: str | None


def parse(text: str) -> list[Rule]:
    """Return the rules of a document, in its order."""
    lines = text.splitlines()
    starts = [(at, int(m[1])) for at, line in enumerate(lines) if (m := _HEADING.match(line))]
    rules = []
    for start, number in starts:
        body = []
        for line in lines[start + 1 :]:
            if _SECTION.match(line):
                break
            body.append(line)
        rules.append(_rule(number, start + 1, body))
    return rules


def _rule(number: int, line: int, body: list[str]) -> Rule:
    references: list[str] = []
    held = within = False
    not_built = None
    for text in body:
        if text.startswith(_HELD_BY):
            held = within = True
        elif match := _NOT_BUILT.match(text):
            not_built, within = match["reason"].strip(), False
        elif not text.strip():
            within = False
        if within:
            references += _REFERENCE.findall(text)
    return Rule(number, line, tuple(references), held, not_built)


def faults(root: Path) -> Iterator[str]:
    """Yield one line for each fault of the rules under `root`."""
    document = root / "docs" / "rules.md"
    if not document.is_file():
        yield "docs/rules.md: the file does not exist"
        return
    rules = parse(document.read_text(encoding="utf-8"))
    first: dict[int, int] = {}
    for rule in rules:
        where = f"docs/rules.md:{rule.line}: rule {rule.number}"
        if rule.number not in RULES:
            yield f"{where} is not one of {RULES[0]}..{RULES[-1]}"
        if rule.number in first:
            yield f"{where} stands already in line {first[rule.number]}"
        first.setdefault(rule.number, rule.line)
        for fault in _faults_of(rule, root):
            yield f"{where} {fault}"
    for number in RULES:
        if number not in first:
            yield f"docs/rules.md: rule {number} is missing"


def _faults_of(rule: Rule, root: Path) -> Iterator[str]:
    if not rule.held and rule.not_built is None:
        yield 'has neither a "Held by:" nor a "Not built yet:" line'
    if rule.held and not rule.references:
        yield 'has a "Held by:" line that names no test'
    if rule.not_built == "":
        yield 'has a "Not built yet:" line that does not say what will need it'
    for reference in rule.references:
        if fault := _fault_of_reference(reference, root):
            yield f"is held by `{reference}`: {fault}"


def _fault_of_reference(reference: str, root: Path) -> str | None:
    path, *names = reference.split("::")
    if not path.startswith("tests/") or ".." in Path(path).parts:
        return "a reference starts with tests/"
    if not names:
        return "a reference names a test, as in tests/test_x.py::test_name"
    file = root / path
    if not file.is_file():
        return "there is no such file"
    tests = _tests(file)
    if tests is None:
        return "the file is not valid Python"
    if "::".join(names) not in tests:
        return "there is no such test in the file"
    return None


@cache
def _tests(file: Path) -> frozenset[str] | None:
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:
        return None
    return frozenset(_names(tree.body, ""))


def _names(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name.startswith("test"):
                yield prefix + node.name
        elif isinstance(node, ast.ClassDef):
            yield from _names(node.body, f"{prefix}{node.name}::")


def main(arguments: list[str]) -> int:
    """Print the faults found; return the exit status."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    found = list(faults(root))
    for fault in found:
        print(fault)
    if not found:
        print(f"{len(RULES)} rules, each held by a test or waiting for what needs it.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
