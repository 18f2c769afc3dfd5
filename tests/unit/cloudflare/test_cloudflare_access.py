"""cloudflare.access: people and service tokens (RULES 12, 14, 17, 43)."""

import copy
import logging
import pickle
import threading

import pytest
from cloudflare_team import ACME, CERTS, IDENTITY, TAG, Team
from hypothesis import given
from hypothesis import strategies as st
from sites import Site, down

from tokenward import _jose
from tokenward.authenticator import Authenticator, cookie, header
from tokenward.bearer import error_response
from tokenward.by_issuer import ByIssuer
from tokenward.cloudflare import CloudflareAccess, CloudflareUser, check_assertion
from tokenward.cloudflare.access import _told
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidSignature,
    InvalidToken,
    TokenExpired,
    TokenRevoked,
)
from tokenward.principal import Principal
from tokenward.protocols import CachingVerifier
from tokenward.testing import MemoryRevocationBus

REFUSED = "CFA token verification failed"


def test_a_person_has_sub_and_email(make, team):
    """And nothing else of theirs is granted."""
    who = make().verify(team.person(country="NL"))
    assert ("uuid-of-alice", "user", "alice@acme.example") == (who.subject, who.kind, who.email)
    assert ACME == who.issuer
    assert "NL" == who.claims["country"]
    assert (frozenset(), frozenset(), None) == (who.roles, who.scopes, who.email_verified)


def test_a_service_token_has_a_common_name_and_no_e_mail_address(make, team):
    """Its subject is of another kind, so that nobody can be called as it."""
    who = make().verify(team.service())
    assert ("service:robot.access", "service", None) == (who.subject, who.kind, who.email)


@pytest.mark.parametrize(
    "more",
    [
        {"email": "alice@acme.example", "email_verified": True},
        {"username": "alice", "preferred_username": "alice"},
        {"client_id": "alice", "azp": "alice"},
        {"sub": None},
    ],
)
def test_a_service_token_has_none_whatever_else_it_says(make, team, more):
    """An empty sub is never a person."""
    who = make().verify(team.service(**more))
    assert ("service:robot.access", "service") == (who.subject, who.kind)
    assert (None, None, None) == (who.email, who.email_verified, who.username)


@pytest.mark.parametrize("more", [{"common_name": "cert.example"}, {"client_id": "uuid-of-alice"}])
def test_a_person_is_one_whatever_else_they_have(make, team, more):
    """A client certificate beside the sign-in, for instance."""
    who = make().verify(team.person(**more))
    assert ("uuid-of-alice", "user", "alice@acme.example") == (who.subject, who.kind, who.email)


def test_roles_are_none_unless_they_are_groups(make, team):
    """A claim that is called roles means nothing here."""
    assert frozenset() == make().verify(team.person(roles=["admin"])).roles


@pytest.mark.parametrize("audience", [TAG, ["other", TAG], ("other", TAG), None])
def test_audiences(make, team, audience):
    """One, several of which one is named, or, written out, any."""
    assert "uuid-of-alice" == make(audience=audience).verify(team.person()).subject


@pytest.mark.parametrize("aud", ["other", ["other"], [], None, 7])
def test_an_assertion_for_another_application_is_refused(make, site, team, aud):
    """Before anything is fetched."""
    with pytest.raises(InvalidToken) as caught:
        make().verify(team.person(aud=aud))
    assert "audience_mismatch" == caught.value.reason
    assert [] == site.asked


def test_a_team_with_a_domain_of_its_own(make, site, clock):
    """Its keys are there, and its assertions say so."""
    own = Team("https://login.acme.example", clock=clock)
    site[own.issuer + CERTS] = own.certs
    access = make(domain="login.acme.example")
    assert own.issuer == access.verify(own.person()).issuer
    with pytest.raises(InvalidToken) as caught:
        access.verify(Team(clock=clock).person())
    assert "unknown_issuer" == caught.value.reason


def test_another_team_is_refused(make, team, site):
    """Its issuer is another, by whatever key it is signed."""
    with pytest.raises(InvalidToken) as caught:
        make("other").verify(team.person())
    assert "unknown_issuer" == caught.value.reason
    assert [] == site.asked


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_algorithms(make, site, clock, algorithm):
    """What Cloudflare signs with today, and may tomorrow."""
    team = Team(clock=clock, algorithm=algorithm)
    site[ACME + CERTS] = team.certs
    assert "uuid-of-alice" == make().verify(team.person()).subject


@pytest.mark.parametrize("typ", ["JWT", "jwt", "application/jwt"])
def test_header_types(make, team, typ):
    """In any case."""
    assert "uuid-of-alice" == make().verify(team.person(typ=typ)).subject


def test_a_header_without_a_type(make, team, site):
    """Older assertions have none."""
    first, second, _ = team.person().split(".")
    said = {"alg": "ES256", "kid": team.key.kid}
    first = _jose.encode(str(said).replace("'", '"').encode())
    signing_input = f"{first}.{second}"
    made = _jose.algorithms.ALGORITHMS["ES256"].sign(signing_input.encode(), team.key.private)
    token = f"{signing_input}.{_jose.encode(made)}"
    assert "uuid-of-alice" == make().verify(token).subject


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("wrong_type", {"typ": "at+jwt"}),
        ("wrong_type", {"typ": "logout+jwt"}),
        ("wrong_type", {"type": "org"}),
        ("wrong_type", {"type": None}),
        ("wrong_type", {"type": "App"}),
        ("wrong_type", {"type": ["app"]}),
        ("wrong_type", {"token_use": "id"}),
        ("claim_missing", {"email": None}),
        ("claim_missing", {"email": ""}),
        ("claim_missing", {"email": ["alice@acme.example"]}),
        ("claim_missing", {"email": None, "common_name": "robot.access"}),
        ("claim_missing", {"exp": None}),
        ("no_subject", {"sub": None}),
        ("no_subject", {"sub": ""}),
        ("no_subject", {"sub": 7, "common_name": "robot.access"}),
        ("no_subject", {"sub": False, "common_name": "robot.access"}),
        ("no_subject", {"sub": "", "common_name": ""}),
        ("no_subject", {"sub": "", "common_name": ["robot.access"]}),
        ("no_subject", {"sub": "", "username": "alice"}),
        ("sender_constrained", {"cnf": {"jkt": "x"}}),
        ("expired", {"expires_in": -60}),
    ],
)
def test_what_is_no_assertion_of_an_application_is_refused(make, site, team, reason, said):
    """Before anything is fetched, and with the same detail."""
    with pytest.raises(InvalidToken) as caught:
        make().verify(team.person(**said))
    assert (reason, REFUSED) == (caught.value.reason, caught.value.detail)
    assert [] == site.asked


def test_the_session_of_the_whole_team_is_told_from_an_assertion(make, team):
    """The cookie of the same name at the team's domain is the usual mistake."""
    with pytest.raises(InvalidToken) as caught:
        make().verify(team.person(type="org"))
    assert "the team's own session" in caught.value.hint


def test_the_profile_can_be_asked_by_itself():
    """For whoever explains a token, step by step."""
    said = {"type": "app", "sub": "a", "email": "a@b.example"}
    assert None is check_assertion({"typ": "JWT"}, said)
    for header_, claims in (({"typ": 7}, said), ({}, said | {"type": 7}), ({}, {})):
        with pytest.raises(InvalidToken):
            check_assertion(header_, claims)


@given(st.text())
def test_any_text_as_assertion_touches_no_socket(text):
    """And raises what is documented."""
    site = Site()
    access = CloudflareAccess("acme", audience=TAG, transport=site)
    for call in (access.verify, access.cached, access.verify_user, access.get_identity):
        with pytest.raises(InvalidToken) as caught:
            call(text) if call != access.cached else _refused(access, text)
        assert REFUSED == caught.value.detail
    assert [] == site.sent


def _refused(access, text):
    # What is not known to be bad is not known at all.
    if access.cached(text) is None:
        access.verify(text)


@pytest.mark.parametrize("token", [None, 7, b"a.b.c", ["a"]])
def test_what_is_no_text_is_refused(make, token):
    """Not with a foreign exception."""
    access = make()
    for call in (access.verify, access.cached, access.verify_email, access.get_identity):
        with pytest.raises(InvalidToken) as caught:
            call(token)
        assert "malformed" == caught.value.reason


def test_a_changed_assertion_never_passes(make, team):
    """One character of the payload, say, and nothing of it is remembered."""
    access, good = make(), team.person()
    first, _, third = good.split(".")
    other = team.person("mallory").split(".")[1]
    access.verify(good)
    for _ in range(2):
        with pytest.raises(InvalidSignature) as caught:
            access.verify(f"{first}.{other}.{third}")
        assert REFUSED == caught.value.detail
    assert "uuid-of-alice" == access.verify(good).subject


def test_the_keys_are_fetched_once_and_nothing_before_the_first_assertion(make, site, team):
    """No I/O in the constructor."""
    access = make()
    assert [] == site.asked
    assert None is access.keys_age()
    for name in ("alice", "bob", "carol"):
        access.verify(team.person(name))
    access.verify(team.service())
    assert [ACME + CERTS] == site.asked
    assert 0 == access.keys_age()


def test_cached_takes_no_io(make, site, team):
    """And knows what was verified, of both kinds."""
    access, person, service = make(), team.person(), team.service()
    assert (None, None) == (access.cached(person), access.cached(service))
    assert [] == site.asked
    for token in (person, service):
        assert access.verify(token) == access.cached(token)
    assert isinstance(access, CachingVerifier)


def test_an_assertion_expires_where_it_is_remembered(make, team, clock):
    """Its times are looked at on every hit."""
    access, token = make(leeway=5), team.person(expires_in=60)
    access.verify(token)
    clock.advance(64)
    assert "uuid-of-alice" == access.verify(token).subject
    clock.advance(1)
    assert None is access.cached(token)
    with pytest.raises(TokenExpired) as caught:
        access.verify(token)
    assert REFUSED == caught.value.detail


def test_a_withdrawn_key_verifies_nothing_any_more(make, site, team, clock):
    """What was remembered included."""
    access, token = make(), team.person()
    access.verify(token)
    new = Team(clock=clock)
    new.key = _jose.generate_key("ES256")
    site[ACME + CERTS] = new.certs
    access.refresh()
    with pytest.raises(InvalidToken) as caught:
        access.verify(token)
    assert "unknown_key" == caught.value.reason
    assert "uuid-of-alice" == access.verify(new.person()).subject


def test_an_outage_is_no_verdict(make, site, team):
    """It has no detail, and is told from a refusal."""
    access = make()
    site[ACME + CERTS] = down()
    with pytest.raises(AuthServiceUnavailable) as caught:
        access.verify(team.person())
    assert None is caught.value.detail
    assert False is access.warm_up()


def test_warm_up(make, site, team):
    """The first request need not wait then."""
    access = make()
    assert True is access.warm_up()
    site[ACME + CERTS] = down()
    assert "uuid-of-alice" == access.verify(team.person()).subject


def test_whatever_is_wrong_with_the_document_is_an_outage(make, site, team):
    """A page of HTML, for instance, of a team that does not exist."""
    for page in (b"<html>", {"keys": 7}, {}, {"keys": []}):
        site[ACME + CERTS] = page
        with pytest.raises(AuthServiceUnavailable):
            make().verify(team.person())


def test_verify_user(make, team):
    """The person, and whether there is more to be asked for."""
    access = make()
    user = CloudflareUser("uuid-of-alice", "alice@acme.example", "NL", exists_identity=True)
    assert user == access.verify_user(team.person())
    plain = team.person(country=None, identity_nonce=None)
    assert CloudflareUser("uuid-of-alice", "alice@acme.example") == access.verify_user(plain)
    odd = team.person(country=7, identity_nonce="")
    assert CloudflareUser("uuid-of-alice", "alice@acme.example") == access.verify_user(odd)


def test_verify_email(make, team):
    """As a string."""
    assert "bob@acme.example" == make().verify_email(team.person("bob"))


def test_a_service_token_is_no_person(make, team):
    """The refusal says what to do."""
    access, token = make(), team.service()
    for call in (access.verify_user, access.verify_email):
        with pytest.raises(InvalidToken) as caught:
            call(token)
        assert ("wrong_type", REFUSED) == (caught.value.reason, caught.value.detail)
        assert "service token" in caught.value.hint


def test_the_person_of_a_principal(make, team):
    """In a view, which has no use for the assertion."""
    access = make()
    who = access.verify(team.person())
    assert access.verify_user(team.person()).email == CloudflareUser.of(who).email
    for nobody in (Principal("a"), Principal("a", kind="client", email="a@b.example")):
        with pytest.raises(InvalidToken):
            CloudflareUser.of(nobody)


def test_where_requests_carry_assertions(make):
    """The header; and the cookie where it is asked for, behind the header; both ambient."""
    access = make()
    assert [header("Cf-Access-Jwt-Assertion")] == [c.source for c in access.credentials()]
    both = access.credentials(cookie=True)
    places = [header("Cf-Access-Jwt-Assertion"), cookie("CF_Authorization")]
    assert places == [c.source for c in both]
    assert all(c.ambient and c.verifier is access for c in both)
    assert both == access.credentials(True)  # noqa: FBT003 - as the signature allows
    assert "Cf-Access-Jwt-Assertion" == Authenticator(*access.credentials()).vary
    assert "Cf-Access-Jwt-Assertion, Cookie" == Authenticator(*both).vary


def test_nobody_can_be_asked_live(make, team):
    """A view that wants it is a mistake of the set-up."""
    access = make()
    assert False is access.serves_live
    with pytest.raises(ConfigurationError, match="take live off"):
        access.verify(team.person(), live=True)


def test_an_invalidated_assertion_is_refused(make, team):
    """Here, and by a bus everywhere."""
    bus, token = MemoryRevocationBus(secrets=["quartz-lantern-9f8a77e1"]), team.person()
    here, there = make(revocation_bus=bus), make(revocation_bus=bus)
    here.verify(token)
    there.verify(token)
    here.invalidate(token)
    for access in (here, there):
        for call in (access.verify, access.cached, access.get_identity):
            with pytest.raises(TokenRevoked) as caught:
                call(token)
            assert REFUSED == caught.value.detail
    for odd in (None, 7, "x", "\ud800"):
        here.invalidate(odd)


def test_a_refusal_is_everybodys_own():
    """Its detail is set on a copy: what others raise stays as it is."""
    shared = TokenRevoked("a hint")
    told = _told(shared)
    assert (TokenRevoked, REFUSED, "a hint") == (type(told), told.detail, told.hint)
    assert None is shared.detail


def test_the_answer_has_the_detail_beside_the_standard_members(make):
    """And copies of the error keep it, as adapters make them."""
    with pytest.raises(InvalidToken) as caught:
        make().verify("x")
    body = (
        b'{"error":"invalid_token","error_description":"The access token is invalid.",'
        b'"detail":"CFA token verification failed"}'
    )
    for error in (caught.value, copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):  # noqa: S301
        assert body == error_response(error).body


def test_several_teams_behind_one_place(make, site, team, clock):
    """By their issuers; a refusal by either has the detail."""
    other = Team("https://other.cloudflareaccess.com", clock=clock)
    site[other.issuer + CERTS] = other.certs
    both = ByIssuer({ACME: make(), other.issuer: make("other")})
    assert [ACME, other.issuer] == [both.verify(t.person()).issuer for t in (team, other)]
    with pytest.raises(InvalidToken) as caught:
        both.verify(team.person(type="org"))
    assert REFUSED == caught.value.detail


def test_events(make, team, site):
    """One verdict each, whoever decided; fetches and uses of the cache beside them."""
    events = []
    access = make(on_event=events.append)
    token = team.person()
    access.verify(token)
    access.cached(token)
    access.cached(team.person("bob"))
    access.verify_user(token)
    for bad in (team.person(type="org"), "x"):
        with pytest.raises(InvalidToken):
            access.verify(bad)
    site[ACME + IDENTITY] = down()
    with pytest.raises(AuthServiceUnavailable):
        access.get_identity(token)
    assert {ACME} == {e.verifier for e in events}
    verdicts = [e.outcome for e in events if e.kind == "verify"]
    assert ["ok", "ok", "ok", "wrong_type", "malformed", "unavailable"] == verdicts
    assert ["ok", "connect_failed"] == [e.outcome for e in events if e.kind == "upstream"]
    assert "process.hit" in {e.outcome for e in events if e.kind == "cache"}


def test_an_observer_that_fails_changes_nothing(make, team, site):
    """Nor one that is told of an identity."""

    def fail(event):
        raise RuntimeError

    site[ACME + IDENTITY] = {"email": "alice@acme.example"}
    access = make(on_event=fail)
    assert "uuid-of-alice" == access.verify(team.person()).subject
    assert "alice@acme.example" == access.get_identity(team.person()).email


def test_it_is_never_pickled(make):
    """It holds sockets."""
    with pytest.raises(TypeError, match="one in each process"):
        pickle.dumps(make())


def test_nothing_of_an_assertion_is_logged(make, site, team, caplog):
    """At any level, by anybody, whatever becomes of it."""
    caplog.set_level(logging.DEBUG)
    access = make(groups_as_roles=True)
    authenticator = Authenticator(*access.credentials(cookie=True))
    site[ACME + IDENTITY] = {"groups": ["a"]}
    tokens = [team.person(), team.person(type="org"), team.person(aud="other"), team.person("bob")]
    errors = []
    for token in tokens:
        for headers in (
            {"Cf-Access-Jwt-Assertion": token},
            {"Cookie": f"CF_Authorization={token}"},
        ):
            try:
                authenticator.authenticate(headers)
            except AuthError as error:
                errors.append(f"{error!r} {error} {error.hint} {error.reason}")
        site[ACME + IDENTITY] = down()
    with pytest.raises(AuthServiceUnavailable):
        access.get_identity(tokens[-1])
    assert 6 == len(errors)
    said = "".join([caplog.text, repr(access), repr(authenticator.credentials), *errors])
    assert "refused at header:cf-access-jwt-assertion" in said
    for token in tokens:
        assert not any(part in said for part in token.split(".")[1:])


def test_threads_share_one_fetch(make, site, team):
    """However many come at once."""
    access, barrier, found = make(), threading.Barrier(8), []

    def come(token):
        barrier.wait(90)
        found.append(access.verify(token).subject)

    threads = [threading.Thread(target=come, args=(team.person(str(n)),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert sorted(f"uuid-of-{n}" for n in range(8)) == sorted(found)
    assert [ACME + CERTS] == site.asked


def test_closing_closes_its_connections(make, site, team):
    """Those for keys and those for identities; and verifying starts anew."""
    access = make()
    access.close()
    assert 2 == site.closed
    assert "uuid-of-alice" == access.verify(team.person()).subject
