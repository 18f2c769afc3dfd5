"""docs/verifiers/cloudflare-access.md: its code is run, and what it says is what is."""

import re
import tomllib
from pathlib import Path

import pytest
from cloudflare_team import ACME, IDENTITY, Team

from tokenward import Authenticator, NotAuthenticated
from tokenward.bearer import error_response
from tokenward.cloudflare import CloudflareAccess, Identity
from tokenward.cloudflare.dev import _FORWARDING
from tokenward.cloudflare.identity import IDENTITY_TTL, REFUSAL_TTL
from tokenward.config import Settings, build_authenticator
from tokenward.errors import InvalidToken

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "verifiers" / "cloudflare-access.md").read_text("utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TOML = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def mapping(block):
    names = {}
    exec(block, names)  # noqa: S102 - what the page says is what is tried
    return names["TOKENWARD"]


def test_the_mappings_can_be_pasted(monkeypatch):
    """Each makes an authenticator for the team; TOML says the same."""
    monkeypatch.setenv("TOKENWARD_ENV", "development")
    blocks = [block for block in PYTHON if "TOKENWARD" in block]
    assert 2 == len(blocks)
    for section in (*map(mapping, blocks), *map(tomllib.loads, TOML)):
        (credential,) = build_authenticator(Settings.model_validate(section)).credentials
        assert "header:cf-access-jwt-assertion" == credential.source.place
        assert ACME == credential.verifier.issuer
    assert mapping(blocks[0]) == tomllib.loads(TOML[0])


def test_the_code_runs(site, clock, make):
    """From the import to the identity."""
    names = {}
    exec(PYTHON[1], names)  # noqa: S102 - what the page says is what is tried
    assert isinstance(names["access"], CloudflareAccess)
    assert 2 == len(names["authenticator"].credentials)
    names["access"].close()
    site[ACME + IDENTITY] = {"email": "alice@acme.example"}
    names |= {"access": make(), "token": Team(clock=clock).person()}
    exec(PYTHON[2], names)  # noqa: S102 - the same
    assert "alice@acme.example" == names["user"].email == names["email"]
    assert isinstance(names["identity"], Identity)


def test_the_numbers_are_those_of_the_code():
    """And the answers are those that are sent."""
    assert f"remembered for {IDENTITY_TTL:.0f} seconds" in PAGE
    assert f"remembered for {REFUSAL_TTL:.0f} seconds" in PAGE
    access = CloudflareAccess("acme", audience="a")
    with pytest.raises(InvalidToken) as caught:
        access.verify("x")
    answer = error_response(caught.value)
    assert f"WWW-Authenticate: {dict(answer.headers)['WWW-Authenticate']}\n" in PAGE
    assert answer.body.decode().replace(":", ": ").replace(',"', ', "') in PAGE
    with pytest.raises(NotAuthenticated) as nobody:
        Authenticator(*access.credentials()).authenticate({})
    assert f"`detail` is `{nobody.value.detail}`" in PAGE


def test_the_headers_that_are_named_are_looked_for():
    """Those that everybody's proxy adds."""
    assert {"Forwarded", "X-Real-Ip", "Via"} < set(_FORWARDING)
    for name in ("Forwarded", "X-Real-Ip", "Via"):
        assert f"`{name}`" in PAGE
