"""Entries of type `cloudflare`: a team, its two places, and who asks on a developer's machine."""

import pytest
from configurations import SECRET, cloudflare, jwks, parsed, refused

from tokenward import _jose
from tokenward.authenticator import authorization, cookie, header
from tokenward.cloudflare import CloudflareAccess, CloudflareUser
from tokenward.config import Shared, build_authenticator, build_verifier
from tokenward.config.settings import CloudflareEntry
from tokenward.errors import ConfigurationError, InvalidToken, NotAuthenticated
from tokenward.testing import MemoryRevocationBus

TEAM = "https://acme.cloudflareaccess.com"
HEADER, COOKIE = header("Cf-Access-Jwt-Assertion"), cookie("CF_Authorization")
HERE = {"peer": "127.0.0.1"}


@pytest.fixture
def development(monkeypatch):
    monkeypatch.setenv("TOKENWARD_ENV", "development")


def places(*entries):
    return [c.source for c in build_authenticator(parsed(*entries)).credentials]


# --- whose


@pytest.mark.parametrize(
    ("changes", "issuer"),
    [
        ({}, TEAM),
        ({"team": "Acme"}, TEAM),
        ({"domain": "access.acme.example"}, "https://access.acme.example"),
        ({"domain": "http://127.0.0.1:8000"}, "http://127.0.0.1:8000"),
    ],
    ids=str,
)
def test_the_issuer_is_the_teams(read, changes, issuer):
    """The settings know it as the verifier does."""
    settings = read(cloudflare(**changes))
    verifier = build_verifier(settings.credentials[0])

    assert (CloudflareAccess, issuer) == (type(verifier), verifier.issuer)
    assert (issuer,) == settings.issuers


def test_django_may_name_the_issuer(read):
    """Roles are written by the issuer that asserts them."""
    roles = {"issuers": {TEAM: {"staff_roles": ["admin"]}}}
    assert ("admin",) == read(cloudflare(), django=roles).django.issuers[TEAM].staff_roles
    assert (TEAM,) == read(cloudflare(), django={"staff_roles": ["admin"]}).issuers


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"team": ...}, "credentials[0].team: is missing"),
        ({"team": ""}, "credentials[0].team: "),
        ({"team": "https://acme.cloudflareaccess.com"}, "credentials[0]: team is the name"),
        ({"domain": "https://login.acme.example"}, "credentials[0]: domain is a host name"),
        ({"audience": ...}, "credentials[0].audience: is missing; write the name"),
        ({"aud": "x"}, "'aud' is not a setting; did you mean 'audience'?"),
        ({"cookie": "CF_Authorization"}, "credentials[0].cookie: "),
        ({"cookie": 1}, "credentials[0].cookie: "),
        ({"groups_as_roles": "yes"}, "credentials[0].groups_as_roles: "),
        ({"leeway": "30"}, "credentials[0].leeway: "),
        ({"cooldown": 0}, "credentials[0].cooldown: "),
        ({"roles_claim": "groups"}, "credentials[0]: 'roles_claim' is not a setting; known here"),
        ({"dev_user": {}}, "credentials[0].dev_user.email: is missing"),
        ({"dev_user": 5}, "credentials[0].dev_user: "),
        ({"dev_user": {"mail": "a@b.example"}}, "dev_user: 'mail' is not a setting; did you mean"),
        ({"source": "header:"}, "credentials[0].source: "),
    ],
    ids=str,
)
def test_values_that_cannot_be_meant(changes, message):
    """The path of the setting, and the nearest right one."""
    assert message in refused({"credentials": [cloudflare(**changes)]})


@pytest.mark.parametrize(
    "changes",
    [{"dev_user": "somebody"}, {"algorithms": "HS256"}, {"algorithms": "none"}, {"ambient": False}],
    ids=str,
)
def test_what_cannot_be_built(changes):
    """It fails at the start all the same."""
    with pytest.raises(ConfigurationError):
        build_authenticator(parsed(cloudflare(**changes)))


def test_the_defaults_are_those_of_the_class():
    """Leaving a setting out is leaving the argument out."""
    entry = parsed(cloudflare()).credentials[0]
    defaults = CloudflareAccess.__init__.__kwdefaults__
    shared = CloudflareEntry.model_fields.keys() & defaults.keys()

    assert len(shared) > 14
    assert {n: defaults[n] for n in shared} == {n: getattr(entry, n) for n in shared}


def test_a_setting_stands_for_each_argument():
    """But for what no file can hold."""
    in_code = {"revocation_bus", "transport", "clock", "on_event"}
    arguments = CloudflareAccess.__init__.__kwdefaults__.keys() | {"audience", "team"}
    settings = CloudflareEntry.model_fields.keys() - {"type", "source", "ambient", "cookie"}
    assert arguments - in_code == settings


# --- from where


def test_assertions_are_in_the_header():
    """Where Cloudflare puts them, which a proxy attaches by itself."""
    (credential,) = build_authenticator(parsed(cloudflare())).credentials
    assert (HEADER, True) == (credential.source, credential.ambient)


def test_the_cookie_is_a_second_place_of_the_same_entry(read):
    """Behind the header, with the same verifier; other entries come after both."""
    made = build_authenticator(read(cloudflare(cookie=True), jwks())).credentials
    assert [HEADER, COOKIE, authorization()] == [credential.source for credential in made]
    assert [True, True, False] == [credential.ambient for credential in made]
    assert made[0].verifier is made[1].verifier


def test_the_places_are_those_of_the_class():
    """What is written and what is made in code agree."""
    access = CloudflareAccess("acme", audience="4f1c")
    for with_cookie in (False, True):
        in_code = [credential.source for credential in access.credentials(cookie=with_cookie)]
        assert in_code == places(cloudflare(cookie=with_cookie))


def test_another_place_may_be_written():
    """Such as the header that `cloudflared access` users send themselves."""
    entry = cloudflare(source="header:X-Assertion", ambient=False, cookie=True)
    made = build_authenticator(parsed(entry)).credentials
    assert [header("X-Assertion"), COOKIE] == [credential.source for credential in made]
    assert [False, True] == [credential.ambient for credential in made]


def test_two_teams_at_one_place_are_told_apart():
    """By their issuers."""
    two = [cloudflare(cookie=True), cloudflare(team="umbrella", cookie=True)]
    assert [HEADER, COOKIE] == places(*two)


def test_one_team_twice_is_one_entry_with_two_audiences():
    """The message says so, and names both."""
    settings = parsed(cloudflare(), cloudflare(audience="77e1"))
    with pytest.raises(ConfigurationError) as caught:
        build_authenticator(settings)
    told = str(caught.value)
    assert "credentials[0] ('cloudflare') and credentials[1] ('cloudflare')" in told
    assert "write both audiences as a list" in told
    assert ("4f1c", "77e1") == parsed(cloudflare(audience=["4f1c", "77e1"])).credentials[0].audience


# --- what it shares


class Metrics:
    """What `PrometheusMetrics` is to a builder."""

    def __init__(self):
        self.watched = []

    def watch(self, verifier):
        self.watched.append(verifier)


def test_events_and_metrics_are_shared():
    """With the other verifiers of the configuration."""
    seen, metrics = [], Metrics()
    entry = parsed(cloudflare()).credentials[0]
    made = build_verifier(entry, shared=Shared(on_event=seen.append, metrics=(metrics,)))
    with pytest.raises(InvalidToken):
        made.verify("x")
    assert ("verify", TEAM) == (seen[-1].kind, seen[-1].verifier)
    assert [made] == metrics.watched


def test_revocations_are_told_to_every_process():
    """By the bus of the configuration."""
    bus, told = MemoryRevocationBus(secrets=[SECRET]), []
    bus.subscribe(told.append, missed=lambda: None)
    made = build_verifier(parsed(cloudflare()).credentials[0], shared=Shared(revocation_bus=bus))
    made.invalidate("a.b.c")
    assert 1 == len(told)
    made.close()


# --- who asks on a developer's machine (RULES 43)


@pytest.mark.parametrize(
    ("written", "sub"),
    [
        ("ada@example.org", "ada@example.org"),
        ({"email": "ada@example.org"}, "ada@example.org"),
        ({"email": "ada@example.org", "sub": "u1", "country": "NL"}, "u1"),
    ],
    ids=str,
)
def test_dev_user(development, read, written, sub):
    """An address, or more than that; only from this machine."""
    made = build_authenticator(read(cloudflare(dev_user=written)))
    principal = made.authenticate({}, **HERE).principal
    country = written.get("country") if isinstance(written, dict) else None

    assert (TEAM, sub, "ada@example.org") == (principal.issuer, principal.subject, principal.email)
    assert CloudflareUser(sub, "ada@example.org", country) == CloudflareUser.of(principal)
    with pytest.raises(NotAuthenticated):
        made.authenticate({}, peer="192.0.2.1")


def test_dev_user_is_nobody_outside_development(read, monkeypatch):
    """The setting alone opens nothing."""
    monkeypatch.delenv("TOKENWARD_ENV", raising=False)
    made = build_authenticator(read(cloudflare(dev_user="ada@example.org")))
    with pytest.raises(NotAuthenticated) as caught:
        made.authenticate({}, **HERE)
    assert "Invalid CFA Token" == caught.value.detail


def test_dev_user_beside_another_entry_at_the_same_place(development):
    """Joined or not, whoever presents nothing is the same."""
    key = _jose.public_jwk(_jose.generate_key("ES256"))
    entries = [
        jwks(source="header:cf-access-jwt-assertion", jwks={"keys": [key]}),
        cloudflare(team="umbrella"),
        cloudflare(dev_user="ada@example.org"),
    ]
    made = build_authenticator(parsed(*entries))
    assert "ada@example.org" == made.authenticate({}, **HERE).principal.email
    with pytest.raises(NotAuthenticated) as caught:
        made.authenticate({}, peer="192.0.2.1")
    assert "Invalid CFA Token" == caught.value.detail
