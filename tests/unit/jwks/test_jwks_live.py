"""`live`: the signature first, then whoever knows better (API 4; RULES 14, 23)."""

from dataclasses import replace

import pytest
from sites import down

from tokenward import _jose
from tokenward._spellings import spellings
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidToken,
    TokenRevoked,
)
from tokenward.jwks import JWKSVerifier
from tokenward.principal import Principal
from tokenward.protocols import serves_live
from tokenward.testing import StubVerifier

ISSUER = "https://as.example"
ANSWER = {"active": True, "sub": "u1", "iss": ISSUER, "scope": "now"}


class Asked:
    """A verifier that says the same of every token, and counts."""

    def __init__(self, answer):
        self.answer = answer
        self.calls = []

    def verify(self, token, /, *, live=False):
        self.calls.append((token, live))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def said(subject="u1", *, issuer="https://as.example/introspect", **claims):
    """Return what an introspection answer becomes."""
    return Principal(subject, issuer=issuer, claims=claims, scopes=frozenset({"now"}))


def refused(verifier, token, **options):
    """Return the refusal of a token."""
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token, **options)
    return caught.value


def test_the_signature_comes_first_and_then_the_question(make, issuer):
    """What the answer says is taken, but for whose token it is."""
    live = Asked(said(**ANSWER))
    verifier = make(live=live)
    token = issuer.token(scope="then")
    principal = verifier.verify(token, live=True)

    assert [(token, True)] == live.calls
    assert ("u1", ISSUER, {"now"}) == (principal.subject, principal.issuer, principal.scopes)
    assert {"then"} == verifier.verify(token).scopes
    assert 1 == len(live.calls)


def test_every_time(make, issuer):
    """Nothing that is cached takes the question's place."""
    live = Asked(said(**ANSWER))
    verifier = make(live=live)
    token = issuer.token()
    for _ in range(3):
        verifier.verify(token, live=True)

    assert (3, 2, 1) == (len(live.calls), verifier.stats().hits, verifier.stats().misses)


def test_a_forged_token_never_reaches_anybody(make, issuer, keys):
    """Whoever can make no token of the issuer's cannot make us ask."""
    live = Asked(said(**ANSWER))
    verifier = make(live=live)
    good = issuer.token()
    forged = [issuer.token(keys.other), issuer.token(exp=1), good[:-4] + "AAAA", "a.b.c", "", None]
    for token in forged:
        refused(verifier, token, live=True)

    assert [] == live.calls


def test_with_nobody_to_ask(make, issuer, site):
    """It is a mistake of ours, whatever the token is; the message says what to give."""
    verifier = make()
    for token in (issuer.token(), "x", None):
        with pytest.raises(ConfigurationError, match="live="):
            verifier.verify(token, live=True)

    assert ([], False) == (site.asked, verifier.serves_live)


@pytest.mark.parametrize(
    ("live", "expected"),
    [(None, False), (Asked(None), True), (StubVerifier({}), True)],
    ids=["none", "one", "stub"],
)
def test_it_says_whether_it_can(make, live, expected):
    """So that the check commands find views that want more."""
    verifier = make(live=live)

    assert (expected, expected) == (verifier.serves_live, serves_live(verifier))


def test_one_that_asks_one_that_cannot(make):
    """It cannot either."""
    inner = make()

    assert (False, True) == (
        make(live=inner).serves_live,
        make(live=make(live=Asked(None))).serves_live,
    )


@pytest.mark.parametrize(
    "answer",
    [
        said("u2", **{**ANSWER, "sub": "u2"}),
        said("u2"),
        said(**{**ANSWER, "iss": f"{ISSUER}/"}),
        said(**{**ANSWER, "iss": ""}),
        said("username:alice", active=True, sub="", username="alice"),
        said("client:c", active=True, sub=7, client_id="c"),
    ],
    ids=["subject", "no-claims", "issuer", "empty-issuer", "empty-subject", "odd-subject"],
)
def test_an_answer_about_somebody_else(make, issuer, answer):
    """It is refused, and the token is not denied for that."""
    verifier = make(live=Asked(answer))
    token = issuer.token()

    assert "no_subject" == refused(verifier, token, live=True).reason
    assert "u1" == verifier.verify(token).subject


@pytest.mark.parametrize(
    "answer",
    [
        said(**{**ANSWER, "iss": None}),
        said(active=True, sub="u1"),
        said(),
        replace(said("client:c", active=True, client_id="c"), kind="client"),
        said("username:alice", active=True, sub=None, username="alice"),
    ],
    ids=["iss-null", "no-iss", "no-claims", "no-sub", "sub-null"],
)
def test_an_answer_that_says_less(make, issuer, answer):
    """Who it is, the signature says: many servers name no sub or iss (RULES 24)."""
    principal = make(live=Asked(answer)).verify(issuer.token(client_id="c"), live=True)

    assert ("u1", "user", ISSUER) == (principal.subject, principal.kind, principal.issuer)
    assert {"now"} == principal.scopes


@pytest.mark.parametrize("reason", ["inactive", "revoked"])
def test_a_refusal_for_good_denies_the_token(make, issuer, reason):
    """Here, from then on, in either spelling of its signature; and nobody is asked again."""
    live = Asked(InvalidToken("the server says no", reason=reason))
    verifier = make(live=live)
    token, twin = spellings(issuer.token())
    assert "u1" == verifier.verify(token).subject
    assert reason == refused(verifier, token, live=True).reason

    for spelling in (token, twin):
        for options in ({}, {"live": True}):
            assert isinstance(refused(verifier, spelling, **options), TokenRevoked)
        with pytest.raises(TokenRevoked):
            verifier.cached(spelling)
    assert 1 == len(live.calls)


def test_the_twin_is_a_token_of_its_own_until_then(make, issuer):
    """What the denial is for: the other spelling verifies as well."""
    token, twin = spellings(issuer.token())
    verifier = make()
    assert token != twin

    assert ["u1", "u1"] == [verifier.verify(one).subject for one in (token, twin)]


@pytest.mark.parametrize("reason", ["audience_mismatch", "expired", "wrong_type", "not_yet_valid"])
def test_another_refusal_denies_nothing(make, issuer, reason):
    """It may be another one tomorrow."""
    live = Asked(InvalidToken("no", reason=reason))
    verifier = make(live=live)
    token = issuer.token()
    assert reason == refused(verifier, token, live=True).reason

    assert "u1" == verifier.verify(token).subject
    live.answer = said(**ANSWER)
    assert "u1" == verifier.verify(token, live=True).subject


def test_an_outage_decides_nothing(make, issuer):
    """Nobody knows: 503, and views that do not ask go on."""
    live = Asked(down("deadline"))
    verifier = make(live=live)
    token = issuer.token()
    with pytest.raises(AuthServiceUnavailable) as caught:
        verifier.verify(token, live=True)

    assert "deadline" == caught.value.reason
    assert "u1" == verifier.verify(token).subject


def test_without_keys_nobody_is_asked(make, issuer):
    """The signature cannot be checked, so nothing is sent."""
    live = Asked(said(**ANSWER))
    issuer.fail(down())
    with pytest.raises(AuthServiceUnavailable):
        make(live=live).verify(issuer.token(), live=True)

    assert [] == live.calls


def test_one_verdict_is_told(make, issuer, observer):
    """That of the whole: whatever the signature was, the token was refused (RULES 53)."""
    live = Asked(said(**ANSWER))
    verifier = make(live=live, on_event=observer)
    token = issuer.token()
    verifier.verify(token, live=True)
    assert [("cache", "process.miss"), ("upstream", "ok"), ("verify", "ok")] == observer.told()
    live.answer = down()
    with pytest.raises(AuthServiceUnavailable):
        verifier.verify(token, live=True)
    assert [("cache", "process.hit"), ("verify", "unavailable")] == observer.told()
    live.answer = InvalidToken("no", reason="inactive")
    refused(verifier, token, live=True)
    assert [("cache", "process.hit"), ("verify", "inactive")] == observer.told()
    refused(verifier, token, live=True)

    assert [("cache", "process.negative_hit"), ("verify", "revoked")] == observer.told()


def test_an_algorithm_without_twins(issuer, clock):
    """A denial takes one spelling where there is but one."""
    key = _jose.generate_key("EdDSA")
    verifier = JWKSVerifier(
        ISSUER,
        audience="orders",
        algorithms=["EdDSA"],
        jwks={"keys": [_jose.public_jwk(key)]},
        clock=clock,
        live=Asked(InvalidToken("no", reason="revoked")),
    )
    token = issuer.token(key)
    refused(verifier, token, live=True)

    assert "revoked" == refused(verifier, token).reason
    assert "u1" == verifier.verify(issuer.token(key, jti="2")).subject
