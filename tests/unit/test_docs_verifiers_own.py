"""docs/verifiers/own.md: a verifier of one's own does what the page says, and so does its test."""

import json
import re
import sys
import types

import pytest
from doc_pages import DOCS, settings, slugs
from verifier_pages import PAGES

from tokenward import (
    AuthServiceUnavailable,
    ConfigurationError,
    InsufficientScope,
    InvalidClaim,
    InvalidToken,
    NotAuthenticated,
)
from tokenward.authenticator import Authenticator, Credential, header
from tokenward.config import build_authenticator
from tokenward.protocols import CachingVerifier, TokenVerifier
from tokenward.testing import FakeAuthorizationServer

OWN = PAGES["own"]


@pytest.fixture
def own():
    """What the page defines, over a `find` of three keys."""

    def find(digest):
        if digest == hashed("down"):
            raise ConnectionError
        return {hashed("good"): {"name": "shop", "scopes": ["read"]}}.get(digest)

    names = {"find": find}
    OWN.run(OWN.block("class APIKeys"), names)
    hashed = lambda key: names["hashlib"].sha256(key.encode()).hexdigest()  # noqa: E731
    return OWN.run(OWN.block("Authenticator("), names)


def test_the_verifier_of_the_page_decides(own):
    """Accepted, refused, and nobody could say."""
    authenticate = own["authenticator"].authenticate
    found = authenticate({"X-Api-Key": "good"}, method="POST").principal
    expected = ("shop", "https://shop.example/keys", {"read"})
    assert expected == (found.subject, found.issuer, found.scopes)
    with pytest.raises(InvalidToken) as refused:
        authenticate({"X-Api-Key": "bad"})
    assert "unknown_api_key" == refused.value.reason
    with pytest.raises(AuthServiceUnavailable):
        authenticate({"X-Api-Key": "down"})


def test_it_is_a_verifier(own):
    """By the protocol; the one with `cached` is another."""
    verifier = own["APIKeys"](None)
    assert isinstance(verifier, TokenVerifier)
    assert not isinstance(verifier, CachingVerifier)


def test_the_test_of_the_page_passes(own):
    """It is run as it stands."""
    names = {"APIKeys": own["APIKeys"]}
    OWN.run(OWN.block("def test_an_unknown_key"), names)["test_an_unknown_key_is_refused"]()


class Answers:
    """A verifier that returns or raises one thing."""

    def __init__(self, outcome):
        self.outcome = outcome

    def verify(self, token, /, *, live=False):
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "kind", "reason"),
    [
        (None, InvalidToken, "no_subject"),
        (True, InvalidToken, "no_subject"),
        (NotAuthenticated(), InvalidToken, "invalid_token"),
        (InsufficientScope(), InsufficientScope, "insufficient_scope"),
        (KeyError("tenant"), KeyError, None),
        (ConfigurationError("no live"), ConfigurationError, None),
    ],
)
def test_what_else_a_verifier_does_admits_nobody(outcome, kind, reason):
    """As the contract says."""
    authenticator = Authenticator(Credential(header("X-Key"), Answers(outcome), ambient=False))
    with pytest.raises(kind) as raised:
        authenticator.authenticate({"X-Key": "anything"})
    assert reason == getattr(raised.value, "reason", None)


def test_every_optional_member_is_looked_for():
    """Those of the table are read somewhere in the package, by that name."""
    rows = OWN.rows("The contract")
    named = {re.match(r"\w+", slugs(row[0])[0])[0] for row in rows}
    import tokenward

    root = DOCS.parent / "src" / "tokenward"
    assert tokenward.__file__.startswith(str(root))
    text = "".join(path.read_text("utf-8") for path in root.rglob("*.py"))
    looked_for = set(re.findall(r"getattr\([\w.]*verifier, \"(\w+)\"", text))
    assert looked_for - {"verify"} == named


@pytest.fixture
def myapp(monkeypatch):
    """A module ``myapp.auth`` with the factory of the page."""
    module = types.ModuleType("myapp.auth")
    module.__dict__.update(OWN.run(OWN.block("def make_verifier"), {}))
    monkeypatch.setitem(sys.modules, "myapp", types.ModuleType("myapp"))
    monkeypatch.setitem(sys.modules, "myapp.auth", module)


@pytest.mark.usefixtures("myapp")
def test_the_entry_of_the_page_makes_a_verifier():
    """The factory is called with the options, and its rule holds."""
    with FakeAuthorizationServer(audience="orders") as server:
        written = json.dumps(OWN.tomls()[0]).replace("https://login.example", server.issuer)
        authenticator = build_authenticator(settings(json.loads(written)))

        def subject_of(token):
            return authenticator.authenticate({"Authorization": f"Bearer {token}"}).principal

        assert "alice" == subject_of(server.token(sub="alice", tenant="acme")).subject
        with pytest.raises(InvalidClaim) as refused:
            subject_of(server.token(tenant="globex"))
    assert "wrong_tenant" == refused.value.reason
