"""docs/verifiers: the options of every verifier, and their defaults, are those of the code."""

import inspect
import json
import re
import time

import pytest
from doc_pages import slugs
from verifier_pages import CLASSES, PAGES

from tokenward import IntrospectionClient
from tokenward.config import Settings
from tokenward.config.settings import (
    CloudflareEntry,
    CustomEntry,
    IntrospectionEntry,
    JWKSEntry,
    LocalEntry,
    SharedSecretEntry,
)
from tokenward.jwks.sources import NOT_WRITTEN

PLACE = {"type", "source", "ambient"}

OF_THE_WHOLE = {"revocation_bus": "shared_cache", "shared_cache": "shared_cache"}
"""Arguments that come from a section for all entries, where its name is another."""

ENTRIES = {
    "introspection": IntrospectionEntry,
    "jwks": JWKSEntry,
    "cloudflare-access": CloudflareEntry,
    "local": LocalEntry,
    "own": CustomEntry,
}


def tables(name):
    """Return the rows of each table of options of a page: its cells, by the column's name."""
    found = []
    text = PAGES[name].text
    for table in re.findall(r"^\| Python \|.*\n(?:\|.*\n)+", text, re.MULTILINE):
        head, _, *lines = [line.strip("|").split(" | ") for line in table.splitlines()]
        columns = [cell.strip() for cell in head]
        assert all(len(columns) == len(line) for line in lines), table
        found.append([dict(zip(columns, map(str.strip, line), strict=True)) for line in lines])
    return found


def name_in(cell):
    """Return the one name that a cell is; ``None``: it says something else."""
    found = re.fullmatch(r"`(\w+)`", cell)
    return found and found[1]


def value_in(cell):
    """Return what a cell writes down as a default; ``...``: it says something else."""
    if not cell.startswith("`"):
        return ...
    text = cell.strip("`")
    known = {"True": True, "False": False, "time.time": time.time}
    return known[text] if text in known else json.loads(text)


def same(shown, actual):
    """Tell whether a default is the one that is shown; one string is a list of one."""
    if isinstance(actual, (list, tuple)):
        return list(actual) == (shown if isinstance(shown, list) else [shown])
    return shown == actual


OPTIONS = [
    pytest.param(rows, kind, name, id=kind.__name__)
    for name, kinds in CLASSES.items()
    for rows, kind in zip(tables(name), kinds, strict=False)
]


@pytest.mark.parametrize(("rows", "kind", "name"), OPTIONS)
def test_every_argument_has_a_row(rows, kind, name):
    """And every row is an argument; in the order of the signature as far as both have it."""
    shown = {name_in(row["Python"]) for row in rows} - {None}
    assert set(inspect.signature(kind).parameters) == shown


@pytest.mark.parametrize(("rows", "kind", "name"), OPTIONS)
def test_the_defaults_are_those_of_the_signature(rows, kind, name):
    """A literal is the value; what must be written has none; `none` is no literal."""
    parameters = inspect.signature(kind).parameters
    for row in rows:
        if (argument := name_in(row["Python"])) is None:
            continue
        default, shown = parameters[argument].default, value_in(row["default"])
        must = default is inspect.Parameter.empty
        assert must == (row["default"] == "must be written"), argument
        if shown is not ...:
            assert same(shown, default), argument
        elif not must:
            assert default in (None, (), NOT_WRITTEN), argument


@pytest.mark.parametrize("name", ENTRIES)
def test_every_setting_has_a_row(name):
    """And every row that names a setting names one of the entry."""
    rows = [row for table in tables(name) for row in table]
    shown = {name_in(row["configuration"]) for row in rows} - {None}
    expected = set(ENTRIES[name].model_fields) - PLACE
    assert shown - PLACE == expected


@pytest.mark.parametrize("name", ENTRIES)
def test_the_defaults_are_those_of_the_settings(name):
    """The same literal is the default in a file."""
    fields = ENTRIES[name].model_fields
    for row in (row for table in tables(name) for row in table):
        if (setting := name_in(row["configuration"])) is None:
            continue
        field, shown = fields[setting], value_in(row["default"])
        if setting != "introspection_endpoint":  # which ``issuer`` can stand for
            assert field.is_required() == (row["default"] == "must be written"), setting
        if shown is not ...:
            assert same(shown, field.get_default(call_default_factory=True)), setting
        elif not field.is_required():
            assert field.get_default(call_default_factory=True) in (None, (), {}), setting


@pytest.mark.parametrize("name", CLASSES)
def test_what_comes_from_the_whole_is_a_setting_of_it(name):
    """`shared_cache` and `on_event` stand beside `credentials`."""
    told = {
        name_in(row["Python"]): found[1]
        for table in tables(name)
        for row in table
        if (found := re.fullmatch(r"`(\w+)` of the whole", row["configuration"]))
    }
    for argument, setting in told.items():
        assert OF_THE_WHOLE.get(argument, argument) == setting
        assert setting in Settings.model_fields
    kinds = [set(inspect.signature(kind).parameters) for kind in CLASSES[name]]
    shared = {"shared_cache", "revocation_bus", "on_event"}
    assert set(told) == shared & set().union(*kinds)


def test_the_options_of_the_client_are_those_of_from_issuer():
    """As the sentence below the table says."""
    from tokenward.introspection.options import ClientOptions

    named = set(inspect.signature(IntrospectionClient).parameters)
    assert {*ClientOptions.__annotations__} == named - {
        *("introspection_endpoint", "issuer", "client_auth")
    }


def test_a_shared_secret_has_the_settings_that_are_listed():
    """The paragraph lists those of `jwks` that it has."""
    (text,) = re.findall(
        r"its other settings are those of\n`jwks`.*?\.\n", PAGES["jwks"].text, re.DOTALL
    )
    listed = set(slugs(text)) - {"jwks"}
    assert set(SharedSecretEntry.model_fields) - PLACE - {"secret", "algorithm"} == listed
    assert listed <= set(JWKSEntry.model_fields)
    assert '"HS256"' in PAGES["jwks"].text
    assert "HS256" == SharedSecretEntry.model_fields["algorithm"].default
