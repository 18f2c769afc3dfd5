"""README.md, docs/index.md, docs/api.md and the picture: what they name and lead to is there."""

import os
import re
import shlex
import tomllib
import xml.etree.ElementTree as ET

import pytest
from doc_pages import DOCS

import tokenward
from tokenward.cli.arguments import parse

ROOT = DOCS.parent
README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
INDEX = (DOCS / "index.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def links(text):
    """Return what a text leads to in this repository, without anchors."""
    found = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)|<img src=\"([^\"]+)\"", text)
    return sorted({target for pair in found for target in pair if target})


def test_every_link_from_the_root_leads_somewhere():
    """To a page, a folder, a picture or a plot."""
    wanted = links(README) + links(CONTRIBUTING)
    assert len(wanted) > 30
    assert [] == [target for target in wanted if not (ROOT / target).exists()]


def test_every_page_is_in_the_index():
    """By its name, or by the pattern that stands for its folder."""
    listed = set()
    for block in re.findall(r"```{toctree}\n(.*?)```", INDEX, re.DOTALL):
        for line in block.splitlines():
            if line and not line.startswith(":"):
                listed |= {path.relative_to(DOCS) for path in DOCS.glob(f"{line}.md")}
    pages = {path.relative_to(DOCS) for path in DOCS.rglob("*.md")}
    drawn = {path for path in pages if path.parts[0] == "benchmarks"}
    assert pages - drawn - {(DOCS / "index.md").relative_to(DOCS)} == listed - drawn


def commands(text):
    """Return the lines that a reader types, without comments and redirections."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [shlex.split(line.partition(" < ")[0], comments=True) for line in lines]


def typed(program):
    """Return what the README types after the name of a program."""
    return [words[1:] for words in commands(README) if words[0] == program]


@pytest.mark.parametrize("words", typed("tokenward"), ids=" ".join)
def test_every_command_of_the_readme_is_one(words):
    """As the command line reads it."""
    assert callable(parse(words).run)


def test_every_target_of_make_is_one():
    """In the README and in CONTRIBUTING."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)`", README + CONTRIBUTING))
    named |= {words[0] for words in typed("make")}
    assert named <= targets


def test_every_extra_of_the_readme_is_one():
    """What is to be installed can be."""
    there = PROJECT["project"]["optional-dependencies"]
    for _, requirement in typed("pip"):
        assert re.fullmatch(r"tokenward\[(\w+)\]", requirement)[1] in there


PLOT = re.compile(r"`make bench NAMES=(\w+)`\n\n!\[[^]]+\]\(docs/benchmarks/([a-z-]+)\.svg\)\n\n")


def test_each_plot_stands_under_the_command_that_draws_it():
    """By make, which works in a fresh clone; of a benchmark that there is."""
    shown = PLOT.findall(README)
    registry = (ROOT / "benchmarks" / "registry.py").read_text("utf-8")
    assert {name for name, _ in shown} <= set(re.findall(r'"(\w+)"', registry))
    drawn = {"machine": "machine-faults"}
    assert [drawn.get(name, name.replace("_", "-")) for name, _ in shown] == [
        plot for _, plot in shown
    ]
    assert README.count(".svg)") == len(shown) == 4


def test_make_hands_on_what_to_measure():
    """The commands of the README name benchmarks to the program."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = makefile.partition("\nbench: ")[2].partition("\n\n")[0]
    assert "$(PY) -m benchmarks $(NAMES)" in recipe


def test_every_picture_of_the_readme_has_the_whole_width():
    """None stands in a table, where a phone shows it too small to be read."""
    assert [] == [line for line in README.splitlines() if line.startswith("|") and "![" in line]
    pictures = re.findall(r"^!\[[^]]+\]\((\S+)\)$", README, re.MULTILINE)
    assert README.count("![") == len(pictures) == 7


@pytest.mark.parametrize("picture", sorted((DOCS / "images").glob("*.png")), ids=os.path.basename)
def test_screenshots_are_small_and_shown(picture):
    """Under 150 kB each, in the README or on a page."""
    assert picture.stat().st_size < 150_000
    pages = "".join(path.read_text("utf-8") for path in DOCS.rglob("*.md"))
    assert f"images/{picture.name}" in README + pages


# --- API


def test_the_reference_lists_every_public_name():
    """Once each, and no other."""
    page = (DOCS / "api.md").read_text("utf-8")
    listed = re.findall(r"^\.\. auto\w+:: (\w+)$", page, re.MULTILINE)
    assert sorted(tokenward.__all__) == sorted(listed)


# --- the picture

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def picture():
    return ET.parse(DOCS / "images" / "architecture.svg").getroot()  # noqa: S314 - our own picture


def layers():
    """Return the rooms of the import contract, each with its place from the top."""
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (rows,) = (c["layers"] for c in contracts if c["type"] == "layers")
    return {room: place for place, row in enumerate(rows) for room in re.findall(r"\((\w+)\)", row)}


def test_the_picture_can_be_read_aloud_and_on_a_telephone(picture):
    """A title, a description, and no letter below 10 pixels where it is 375 wide."""
    assert "img" == picture.get("role")
    for kind in ("title", "desc"):
        element = picture.find(f"{SVG}{kind}")
        assert element.get("id") in picture.get("aria-labelledby").split()
        assert element.text
    width = float(picture.get("viewBox").split()[2])
    text = ET.tostring(picture, encoding="unicode")
    sizes = map(float, re.findall(r"font-size[=:] *\"?([\d.]+)", text))
    assert min(sizes) * 375 / width >= 10
    assert "prefers-color-scheme" not in text  # a light card, on whatever ground


def test_the_picture_has_the_rooms_in_the_order_of_their_imports(picture):
    """What stands higher in a column stands higher in the contract."""
    places = layers()
    drawn = {}
    for element in picture.iter(f"{SVG}text"):
        for name in re.findall(r"\w+", "".join(element.itertext())):
            if name in places and element.get("class") != "quiet":
                drawn[name] = (float(element.get("x")), float(element.get("y")))
    columns = [
        ["flask", "config", "authenticator", "by_issuer", "jwks", "tokens", "repositories"],
        ["django", "config", "endpoints", "service", "throttle", "keys", "repositories"],
        ["wsgi", "config", "authenticator", "by_issuer", "introspection", "repositories"],
    ]
    shared = {"_http", "_jose", "cache", "claims", "bearer", "passwords"}
    shared |= {"protocols", "principal", "schemas", "errors"}
    assert set().union(*columns) | shared == set(drawn)
    for column in columns:
        heights = [drawn[name][1] for name in [*column, "cache", "errors"]]
        assert heights == sorted(heights)
    for column in columns:
        ranks = [places[name] for name in [*column, "cache", "errors"]]
        assert ranks == sorted(ranks)


def test_the_places_for_what_is_yours_are_those_of_contributing(picture):
    """A verifier, a store, a framework."""
    boxes = picture.iter(f"{SVG}text")
    yours = {text.text for text in boxes if re.match(r"an? \w+$", text.text or "")}
    assert {"a verifier", "a store", "a framework"} == yours
    for name in yours:
        assert f"| {name} |" in CONTRIBUTING
