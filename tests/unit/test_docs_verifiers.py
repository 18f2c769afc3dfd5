"""docs/verifiers: methods and numbers are those of the code; its mappings are configurations."""

import re

import pytest
from doc_pages import DOCS, settings, slugs
from verifier_pages import CLASSES, NAMES, PAGES

from tokenward import _jose
from tokenward.by_issuer import _PATIENCE, MAX_REMEMBERED
from tokenward.cloudflare.identity import (
    _REFRESH_AHEAD,
    IDENTITY_TTL,
    MAX_IDENTITIES,
    REFUSAL_TTL,
)
from tokenward.jwks.memory import MAX_DENIED
from tokenward.keys import REREAD_SECONDS
from tokenward.keys.watch import RETRY_SECONDS
from tokenward.tokens.verifier import _MAX_CACHED


@pytest.mark.parametrize("name", [name for name, kinds in CLASSES.items() if kinds])
def test_every_method_has_a_row(name):
    """And every row is a method or a property."""
    kind = CLASSES[name][0]
    shown = {
        re.match(r"\w+", text)[0] for row in PAGES[name].rows("Methods") for text in slugs(row[0])
    }
    public = {n for n in dir(kind) if not n.startswith("_")} - {"after_fork"}
    # Attributes that are told of elsewhere on the page.
    assert public - {"issuer"} == shown


def test_every_page_is_looked_at_here():
    """A page that is new is compared with the code too."""
    assert set(NAMES) == {path.stem for path in (DOCS / "verifiers").glob("*.md")}


@pytest.mark.parametrize("name", NAMES)
def test_mappings_and_toml_are_configurations(name, monkeypatch):
    """Each of a page; what they name is asked for elsewhere."""
    for variable in ("AS_SECRET", "OLD_SECRET"):
        monkeypatch.setenv(variable, "f3a9c1e07b5d4826-of-a-test-and-long-enough")
    page = PAGES[name]
    assert all(compile(block, page.path, "exec") for block in page.blocks)
    for written in (*page.mappings(), *page.tomls()):
        assert settings(written).credentials


def test_the_numbers_of_the_tables_are_those_of_the_code():
    """Of what is kept, and for how long."""
    cloudflare, local = PAGES["cloudflare-access"].text, PAGES["local"].text
    kept = f"| an identity | {IDENTITY_TTL:g} seconds; asked for again in the last "
    assert f"{kept}{_REFRESH_AHEAD:g} of them | {MAX_IDENTITIES:,} |" in cloudflare
    assert f"| that a session is over | {REFUSAL_TTL:g} seconds |" in cloudflare
    assert f"| a revoked assertion | while the process lives | {MAX_DENIED:,} |" in cloudflare
    assert f"at most {MAX_IDENTITIES:,} of that" in cloudflare
    assert f"| {_MAX_CACHED:,} tokens |" in local
    assert f"| the keys | {REREAD_SECONDS:g} seconds;" in local
    assert 1 == RETRY_SECONDS
    assert f"at most {_jose.MAX_TOKEN_BYTES:,} bytes" in local
    assert f"| {MAX_REMEMBERED:,} |" in PAGES["by-issuer"].text
    assert f"more than {_PATIENCE:g} seconds" in PAGES["by-issuer"].text
