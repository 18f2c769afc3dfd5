"""docs/verifiers: the reasons that a page lists are those that its verifier can give."""

import re

import pytest
from doc_pages import Page, slugs
from verifier_pages import PAGES

from tokenward.introspection._verdicts import _NOT_KEPT
from tokenward.observe import OUTCOMES

REFUSALS = Page("refusals.md")
CLAIMS = {"claims", "your code"}
FETCHING = {"HTTP", "cache", "issuer's keys"}
# Never in a verdict: a body of JSON is what the service's client sends.
NOT_ASKED = {"bad_request"}

GIVEN = {
    "introspection": (
        {*CLAIMS, "introspection"},
        {"client_mismatch"},
        {*FETCHING, "discovery", "introspection", "our credentials"},
        set(),
    ),
    "jwks": (
        {*CLAIMS, "signed tokens"},
        set(),
        {*FETCHING, "discovery"},
        {"algorithm_unsupported", "client_auth_unsupported"},
    ),
    "cloudflare-access": (
        {*CLAIMS, "signed tokens", "Cloudflare"},
        {"client_mismatch", "check_failed", "invalid_claim"},
        {*FETCHING, "Cloudflare"},
        set(),
    ),
    "local": (
        {*CLAIMS, "signed tokens", "own tokens"},
        {"client_mismatch"},
        {"own tokens", "keys", "stores"},
        set(),
    ),
}
"""Whose reasons a page lists, by `docs/refusals.md`, and which of them it cannot have."""


def listed(name):
    """Return the reasons of a page's table, by the status that they are answered with."""
    found = {"401": set(), "503": set()}
    for raised, answered, reasons in PAGES[name].rows("What it raises"):
        if raised != "`ConfigurationError`":
            found[answered[:3]] |= set(re.findall(r"`([a-z_]+)`", reasons)) - {"check"}
    return found


def given(heading, parts, but):
    """Return the reasons of a section of the refusals that these parts give."""
    rows = REFUSALS.rows(heading)
    found = {slugs(row[0])[0] for row in rows if parts & set(row[-1].split(", "))}
    return found - but


@pytest.mark.parametrize("name", GIVEN)
def test_the_reasons_of_a_page_are_those_that_its_parts_give(name):
    """Both ways, by the table of all refusals, which the code is compared with."""
    parts, never, asking, unasked = GIVEN[name]
    refused = "401 `invalid_token`: a token is refused"
    unavailable = "503 `temporarily_unavailable`: nobody could decide"
    expected = {
        "401": given(refused, parts, never),
        "503": given(unavailable, asking, NOT_ASKED | unasked | {"unavailable"}),
    }
    assert expected == listed(name)
    assert listed(name)["401"] <= OUTCOMES


def test_what_is_not_kept_is_named():
    """Of introspection: three reasons."""
    (text,) = re.findall(r"Three refusals are not kept.*?;", PAGES["introspection"].text, re.DOTALL)
    assert set(slugs(text)) == _NOT_KEPT


def test_the_reasons_around_a_verifier_are_reasons_of_the_request():
    """Those that the page names come from reading the request, or after it."""
    part = PAGES["own"].text.partition("## What it raises")[2].partition("## ")[0]
    rows = REFUSALS.rows("The request is refused")
    of_the_request = {slugs(row[0])[0] for row in rows if "request" in row[-1].split(", ")}
    assert set(slugs(part)) == of_the_request - {"not_authenticated"}
