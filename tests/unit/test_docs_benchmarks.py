"""What pages say of benchmarks: commands, names, sizes and clocks are those of the code."""

import re

import pytest
from doc_pages import DOCS, Page, slugs

from tokenward import _jose

ROOT = DOCS.parent
PAGE = Page("benchmarks/index.md")
REGISTRY = (ROOT / "benchmarks" / "registry.py").read_text("utf-8")
PAGES = [
    ROOT / "README.md",
    *(path for path in sorted(DOCS.rglob("*.md")) if "Written by" not in path.read_text("utf-8")),
]


def growth():
    """Return the rows on how cost grows, by the name of the benchmark."""
    return {slugs(row[0])[0]: row[1:] for row in PAGE.rows("How cost grows")}


def test_every_benchmark_of_growth_has_a_row():
    """And no other."""
    written = REGISTRY.partition("_GROWTH = (")[2].partition(")")[0]
    assert re.findall(r"\w+", written) == list(growth())


def source(name):
    """Return the program of a benchmark of growth."""
    folder = ROOT / "benchmarks" / "growth"
    module = folder / f"{name}.py"
    return (module if module.exists() else folder / name / "__init__.py").read_text("utf-8")


@pytest.mark.parametrize("name", list(growth()))
def test_the_clock_of_each_is_the_one_it_says(name):
    """CPU time where it asks for it, and otherwise the wall clock."""
    by_cpu = "clock=time.thread_time" in source(name)
    assert growth()[name][-1].startswith("CPU time of the thread") == by_cpu


@pytest.mark.parametrize("name", list(growth()))
def test_the_sizes_of_each_are_in_its_program(name):
    """First and last, of both efforts."""
    text = source(name).replace("_jose.MAX_KEYS", str(_jose.MAX_KEYS))
    known = {int(number) for number in re.findall(r"\b\d[\d_]*\b", text)}
    shown = re.findall(r"\b\d[\d,]*\b", " ".join(growth()[name][1:3]))
    assert len(shown) >= 2
    assert {int(number.replace(",", "")) for number in shown} <= known


def test_every_benchmark_that_a_page_names_is_one():
    """After ``make bench NAMES=`` and its kin."""
    text = "".join(path.read_text("utf-8") for path in PAGES)
    given = re.findall(r'make bench[a-z-]* (?:BASE=\S+ )?NAMES="?([\w ]+)', text)
    given += re.findall(r"python -m benchmarks((?: \w+)+)", text)
    names = {name for names in given for name in names.split()}
    assert len(names) > 5
    assert names <= set(re.findall(r'"(\w+)"', REGISTRY))


def test_every_command_of_the_page_is_a_target_of_make():
    """What its table names."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", PAGE.text))
    assert {"bench", "bench-full", "bench-compare", "soak"} <= named <= targets


def test_the_variables_of_the_soak_are_those_it_reads():
    """All of them, and no other."""
    terms = (ROOT / "benchmarks" / "soak" / "terms.py").read_text("utf-8")
    read = set(re.findall(r'environ(?:\.get\(|, )"(SOAK_\w+)"', terms))
    assert read == set(re.findall(r"SOAK_\w+", PAGE.text))
