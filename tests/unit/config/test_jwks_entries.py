"""Entries of type `jwks`: one source of keys, every setting, and who is asked live."""

import json
import pickle

import pytest
from configurations import SECRET, introspection, jwks, parsed, refused, verifier_of

from tokenward import _jose
from tokenward.config import Settings, Shared, build_authenticator, build_verifier
from tokenward.config.settings import JWKSEntry, LiveSection
from tokenward.errors import ConfigurationError, InvalidSignature, InvalidToken, TokenExpired
from tokenward.introspection import IntrospectionVerifier
from tokenward.jwks import JWKSVerifier
from tokenward.testing import MemoryRevocationBus

LOGIN = "https://login.example"
KEY = _jose.generate_key("ES256")
KEYS = {"keys": [_jose.public_jwk(KEY)]}
NOBODY = "http://127.0.0.1:1"


def of(server, **changes):
    """Return an entry that finds the keys of a server by its name."""
    return jwks(issuer=server.issuer, **changes)


def live(server, **changes):
    """Return the section that asks a server."""
    auth = {
        "method": "client_secret_basic",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    known = introspection(
        type=..., audience=..., introspection_endpoint=server.introspection_endpoint
    )
    return known | {"client_auth": auth} | changes


def paths(server):
    return [request.path for request in server.requests()]


# --- where the keys come from


def test_an_issuer_alone_is_discovered(server, read):
    """Its metadata says where its keys are; nothing is fetched before the first token."""
    verifier = build_verifier(read(of(server)).credentials[0])
    assert (JWKSVerifier, []) == (type(verifier), paths(server))

    assert "ada" == verifier.verify(server.token(sub="ada")).subject


def test_a_discovery_url_names_the_issuer(server, read):
    """It is what stands before /.well-known/, in the settings too."""
    url = f"{server.issuer}/.well-known/openid-configuration"
    settings = read(jwks(issuer=..., discovery_url=url))
    (entry,) = settings.credentials

    assert (server.issuer, (server.issuer,)) == (entry.issuer, settings.issuers)
    assert "ada" == build_verifier(entry).verify(server.token(sub="ada")).subject
    assert "/.well-known/openid-configuration" == paths(server)[0]


def test_the_issuer_of_a_discovery_url_may_have_a_path():
    """RFC 8414 puts the well-known part between host and path."""
    url = f"{LOGIN}/.well-known/oauth-authorization-server/tenant"
    assert f"{LOGIN}/tenant" == parsed(jwks(issuer=..., discovery_url=url)).credentials[0].issuer


def test_a_written_issuer_is_not_taken_from_the_discovery_url(server):
    """It stands as written, and the document has to name it."""
    url = f"{LOGIN}/.well-known/openid-configuration"
    entry = jwks(issuer="https://other.example", discovery_url=url)
    assert ("https://other.example",) == parsed(entry).issuers


def test_a_jwks_uri_is_asked_and_nothing_is_discovered(server, read):
    """The issuer beside it is only compared."""
    entry = of(server, jwks_uri=server.jwks_uri)
    verifier = build_verifier(read(entry).credentials[0])

    assert "ada" == verifier.verify(server.token(sub="ada")).subject
    assert ["/.well-known/jwks.json"] == paths(server)
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(server.token(iss="https://other.example"))
    assert "unknown_issuer" == caught.value.reason


@pytest.mark.parametrize("written", [KEYS, json.dumps(KEYS)], ids=["mapping", "text"])
def test_keys_may_be_written(read, written):
    """As a mapping or as JSON text; nothing is fetched."""
    verifier = build_verifier(read(jwks(jwks=written)).credentials[0])
    token = _jose.sign({"iss": LOGIN, "sub": "ada", "aud": "orders", "exp": 2**33}, KEY)

    assert "ada" == verifier.verify(token).subject
    with pytest.raises(InvalidSignature):
        verifier.verify(token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"))


@pytest.mark.parametrize("source", [{"jwks": KEYS}, {"jwks_uri": f"{NOBODY}/keys"}], ids=str)
def test_anybodys_tokens_are_taken_where_that_is_written(read, source):
    """None, in TOML false: then the settings name no issuer either."""
    settings = read(jwks(issuer=None, **source))
    assert (None,) == settings.issuers
    assert isinstance(build_verifier(settings.credentials[0]), JWKSVerifier)


def test_tokens_of_anybody_are_verified_with_the_written_keys():
    """The key decides alone."""
    token = _jose.sign({"iss": "https://x.example", "sub": "a", "aud": "orders", "exp": 2**33}, KEY)
    principal = verifier_of(jwks(issuer=None, jwks=KEYS)).verify(token)
    assert ("https://x.example", "a") == (principal.issuer, principal.subject)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"issuer": ...}, "credentials[0]: says not where the keys are; write 'issuer'"),
        ({"issuer": None}, "credentials[0]: 'issuer' is None for nobody in particular"),
        ({"issuer": False}, "credentials[0]: 'issuer' is None for nobody in particular"),
        ({"issuer": ""}, "credentials[0].issuer: "),
        ({"issuer": True}, "credentials[0].issuer: "),
        ({"issuer": 5}, "credentials[0].issuer: "),
        (
            {"issuer": ..., "jwks_uri": f"{LOGIN}/keys"},
            (
                "credentials[0]: says not whose tokens the keys of 'jwks_uri' verify; "
                "write 'issuer', or None (in TOML: false)"
            ),
        ),
        ({"issuer": ..., "jwks": KEYS}, "says not whose tokens the keys of 'jwks' verify"),
        ({"issuer": ..., "discovery_url": f"{LOGIN}/meta"}, "'discovery_url' is one issuer's"),
        (
            {"issuer": None, "discovery_url": f"{LOGIN}/.well-known/openid-configuration"},
            "'discovery_url' is one issuer's",
        ),
        (
            {"jwks": KEYS, "jwks_uri": f"{LOGIN}/keys"},
            "has 'jwks_uri' and 'jwks'; the keys come from one place, keep one",
        ),
        (
            {"discovery_url": f"{LOGIN}/.well-known/x", "jwks_uri": f"{LOGIN}/keys"},
            "has 'discovery_url' and 'jwks_uri'",
        ),
        ({"jwks": 5}, "credentials[0].jwks: "),
        ({"jwks": {"keys": [object()]}}, "credentials[0].jwks: a JWK Set is"),
        ({"jwks": {"keys": [{5: 1, "5": float("nan")}]}, "jwks_uri": 5}, "jwks_uri: "),
    ],
    ids=str,
)
def test_exactly_one_source(changes, message):
    """The path, and what to write."""
    assert message in refused({"credentials": [jwks(**changes)]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"issuer": "http://login.example"}, "credentials[0]: "),
        ({"issuer": "login.example"}, "credentials[0]: "),
        ({"jwks_uri": "http://login.example/keys"}, "credentials[0]: "),
        ({"jwks_uri": "https://u:pw@login.example/keys"}, "credentials[0]: "),
        ({"discovery_url": "ftp://login.example/.well-known/x"}, "credentials[0]: "),
        ({"jwks": "{"}, "credentials[0]: jwks is not the text of a JSON object"),
        ({"jwks": {"keys": []}}, "credentials[0]: jwks has no key for the algorithms"),
        ({"algorithms": ["none"]}, "credentials[0]: algorithms has none"),
        ({"algorithms": ["RS256", "HS256"]}, "credentials[0]: algorithms mixes HS*"),
        ({"algorithms": "HS256"}, "credentials[0]: HS* algorithms take a secret"),
        ({"verify_tls": False}, "credentials[0]: "),
    ],
    ids=str,
)
def test_what_cannot_be_built(changes, message):
    """What the settings cannot know fails at the start all the same, with the entry's path."""
    with pytest.raises(ConfigurationError) as caught:
        build_authenticator(parsed(jwks(**changes)))
    assert str(caught.value).startswith(message)


# --- what is written


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audience": ...}, "credentials[0].audience: is missing; write the name"),
        ({"audience": []}, "credentials[0].audience: "),
        ({"audiance": "x"}, "'audiance' is not a setting; did you mean 'audience'?"),
        ({"jwks_url": "x"}, "'jwks_url' is not a setting; did you mean 'jwks_uri'?"),
        ({"algorithm": "RS256"}, "'algorithm' is not a setting; did you mean 'algorithms'?"),
        ({"max_entries": 1}, "'max_entries' is not a setting; did you mean 'cache_entries'?"),
        ({"algorithms": []}, "credentials[0].algorithms: "),
        ({"token_types": []}, "credentials[0].token_types: "),
        ({"accept_id_tokens": "yes"}, "credentials[0].accept_id_tokens: "),
        ({"accept_id_tokens": 1}, "credentials[0].accept_id_tokens: "),
        ({"ttl": 0}, "credentials[0].ttl: "),
        ({"ttl": "900"}, "credentials[0].ttl: "),
        ({"ttl": True}, "credentials[0].ttl: "),
        ({"ttl": float("inf")}, "credentials[0].ttl: "),
        ({"cooldown": 0}, "credentials[0].cooldown: "),
        ({"stale_for": -1}, "credentials[0].stale_for: "),
        ({"cache_entries": 1.5}, "credentials[0].cache_entries: "),
        ({"max_token_bytes": 0}, "credentials[0].max_token_bytes: "),
        ({"verify_tls": 0}, "credentials[0].verify_tls"),
        ({"source": "query:x"}, "credentials[0].source: "),
        ({"live": True}, "credentials[0].live: "),
        ({"live": {"client_auth": {"method": "basic"}}}, "credentials[0].live.client_auth: "),
        ({"live": {}}, "credentials[0].live.client_auth: is missing"),
        ({"live": {"type": "introspection"}}, "credentials[0].live: 'type' is not a setting"),
        ({"live": {"tttl": 5}}, "live: 'tttl' is not a setting; did you mean 'ttl'?"),
        (
            {"live": {"client_auth": {"method": "bearer", "tokn": SECRET}}},
            "credentials[0].live.client_auth: 'tokn' is not a setting; did you mean 'token'?",
        ),
    ],
    ids=str,
)
def test_values_that_cannot_be_meant(changes, message):
    """The path of the setting, and the nearest right one."""
    assert message in refused({"credentials": [jwks(**changes)]})


def test_a_type_that_nobody_knows_is_told_the_known_ones():
    """All of them, the nearest among them."""
    told = refused({"credentials": [jwks(type="jwk")]})
    assert "credentials[0]: 'jwk' is no 'type'; known: " in told
    for known in ("jwks", "introspection", "cloudflare", "local", "shared_secret", "custom"):
        assert f"'{known}'" in told


def test_the_defaults_are_those_of_the_class():
    """Leaving a setting out is leaving the argument out."""
    entry = parsed(jwks()).credentials[0]
    defaults = JWKSVerifier.__init__.__kwdefaults__
    shared = JWKSEntry.model_fields.keys() & defaults.keys()
    plural = {"roles_claim": ("roles",)}

    assert len(shared) > 18
    assert {n: plural.get(n, defaults[n]) for n in shared} == {n: getattr(entry, n) for n in shared}


def test_a_setting_stands_for_each_argument():
    """But for what no file can hold."""
    in_code = {"check", "revocation_bus", "transport", "clock", "on_event"}
    arguments = JWKSVerifier.__init__.__kwdefaults__.keys() | {"audience", "issuer"}
    assert arguments - in_code == JWKSEntry.model_fields.keys() - {"type", "source", "ambient"}


def test_roles_are_where_the_entry_says(server):
    """Nested, and several places joined."""
    verifier = verifier_of(of(server, roles_claim=["realm_access.roles", "groups"]))
    token = server.token(realm_access={"roles": ["editor"]}, groups=["staff"])
    assert {"editor", "staff"} == verifier.verify(token).roles


def test_only_access_tokens_of_rfc_9068(server, read):
    """`token_types` is a list, or one of them."""
    verifier = build_verifier(read(of(server, token_types="at+jwt")).credentials[0])
    assert verifier.verify(server.token()).subject
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(server.token(typ="JWT"))
    assert "wrong_type" == caught.value.reason


def test_id_tokens_where_that_is_written(server, read):
    """Off unless it is."""
    token = server.token(typ="JWT", nonce="n", at_hash="x")
    accepting = build_verifier(read(of(server, accept_id_tokens=True)).credentials[0])
    assert "user-1" == accepting.verify(token).subject
    with pytest.raises(InvalidToken):
        verifier_of(of(server)).verify(token)


def test_leeway_counts(server):
    """In seconds."""
    token = server.token(expires_in=-60)
    assert verifier_of(of(server, leeway=120)).verify(token).subject
    with pytest.raises(TokenExpired):
        verifier_of(of(server)).verify(token)


def test_settings_are_detached_from_the_written_keys():
    """What is changed in the mapping later changes nothing."""
    keys = {"keys": [dict(KEYS["keys"][0])]}
    settings = parsed(jwks(jwks=keys))
    keys["keys"].clear()
    assert KEYS == json.loads(settings.credentials[0].jwks)


def test_written_keys_are_in_no_repr_and_no_pickle():
    """With HS256 they are secrets."""
    secret = _jose.encode(b"w5Zq-7Jc1Lr0TnVbX2eHsYkUoPdMgAiF")
    keys = {"keys": [{"kty": "oct", "k": secret}]}
    settings = parsed(jwks(jwks=keys, algorithms="HS256"))
    made = build_authenticator(settings)
    assert secret not in f"{settings!r} {settings} {settings.credentials[0]!r} {made!r}"
    with pytest.raises(TypeError):
        pickle.dumps(settings)


# --- what it shares


def test_events_and_revocations_are_shared(server):
    """With the other verifiers of the configuration."""
    bus, seen = MemoryRevocationBus(secrets=[SECRET]), []
    shared = Shared(revocation_bus=bus, on_event=seen.append)
    entry = parsed(of(server)).credentials[0]
    one, two = (build_verifier(entry, shared=shared) for _ in range(2))
    token = server.token()
    for verifier in (one, two):
        verifier.verify(token)
    one.invalidate(token)

    assert ("verify", server.issuer, "ok") in [(e.kind, e.verifier, e.outcome) for e in seen]
    with pytest.raises(InvalidToken):
        two.verify(token)
    for verifier in (one, two):
        verifier.close()


class Metrics:
    """What `PrometheusMetrics` is to a builder."""

    def __init__(self):
        self.watched = []

    def watch(self, verifier):
        self.watched.append(verifier)


def test_metrics_watch_it(server):
    """And whoever it asks."""
    metrics = Metrics()
    shared = Shared(metrics=(metrics,))
    made = build_verifier(parsed(of(server, live=live(server))).credentials[0], shared=shared)
    assert made is metrics.watched[-1]
    assert [IntrospectionVerifier, JWKSVerifier] == [type(one) for one in metrics.watched]


# --- live


def test_without_live_nobody_can_be_asked(server):
    """The verifier says so to whoever looks beforehand."""
    verifier = verifier_of(of(server))
    assert verifier.serves_live is False
    with pytest.raises(ConfigurationError, match="live"):
        verifier.verify(server.token(), live=True)


def test_live_asks_the_server(server, read):
    """About a token that was checked here first; a revoked one is refused."""
    made = build_verifier(read(of(server, live=live(server))).credentials[0])
    token = server.token(sub="ada")
    assert (True, "ada") == (made.serves_live, made.verify(token).subject)
    assert [] == server.requests("/introspect")

    assert "ada" == made.verify(token, live=True).subject
    assert 1 == len(server.requests("/introspect"))
    server.revoke(token)
    with pytest.raises(InvalidToken):
        made.verify(token, live=True)


def test_live_takes_the_issuer_of_the_entry_and_finds_the_endpoint(server, read):
    """Then an answer has to name it, too."""
    section = live(server)
    del section["introspection_endpoint"]
    settings = read(of(server, live=section))
    assert server.issuer == settings.credentials[0].live.issuer
    assert build_verifier(settings.credentials[0]).verify(server.token(), live=True).subject


def test_what_live_does_not_say_is_as_in_the_entry():
    """Tokens are the same ones, and the server is a neighbour."""
    around = {
        "audience": ("a", "b"),
        "leeway": 7,
        "roles_claim": ("groups",),
        "timeout": 3,
        "connect_timeout": 1,
        "retries": 0,
        "verify_tls": "/ca.pem",
        "proxies": {"https": "http://proxy.example:1"},
    }
    section = introspection(type=..., audience=...)
    told = parsed(jwks(live=section, **around)).credentials[0].live
    assert around | {"issuer": LOGIN} == {name: getattr(told, name) for name in (*around, "issuer")}
    assert set(LiveSection.INHERITED) == {*around, "issuer"}
    defaults = ("ttl", "required")
    expected = parsed(introspection()).credentials[0]
    assert [getattr(expected, name) for name in defaults] == [getattr(told, n) for n in defaults]


def test_longer_tokens_than_are_sent_anywhere_may_be_taken():
    """Then live decisions are for the others: a server is asked about 16,384 bytes at most."""
    entry = parsed(jwks(live=introspection(type=..., audience=...), max_token_bytes=60_000))
    assert 16_384 == entry.credentials[0].live.max_token_bytes


def test_live_may_say_otherwise(read):
    """Each for itself: an answer may name neither issuer nor audience."""
    section = introspection(type=..., audience=None, issuer=None, leeway=0, roles_claim="r")
    told = read(jwks(live=section)).credentials[0].live
    assert (None, None, 0, ("r",)) == (told.audience, told.issuer, told.leeway, told.roles_claim)


def test_live_has_to_know_whom_to_ask():
    """Where the entry takes anybody's tokens, no issuer says where the endpoint is."""
    section = introspection(type=..., audience=..., introspection_endpoint=...)
    told = refused({"credentials": [jwks(issuer=None, jwks=KEYS, live=section)]})
    assert "credentials[0].live: says nobody to ask; write 'issuer'" in told


def test_roles_of_a_live_answer_are_where_the_entry_says(server):
    """A view that asks live sees the same roles as one that does not."""
    made = verifier_of(of(server, roles_claim="realm.roles", live=live(server)))
    token = server.token(realm={"roles": ["editor"]})
    assert {"editor"} == made.verify(token).roles == made.verify(token, live=True).roles


def test_a_live_section_that_cannot_be_built_is_named():
    """By its path."""
    section = introspection(
        type=..., audience=..., introspection_endpoint="http://as.example/introspect"
    )
    with pytest.raises(ConfigurationError, match=r"^credentials\[0\]: live: "):
        build_authenticator(parsed(jwks(live=section)))


def test_secrets_of_live_are_in_no_repr():
    """As those of an introspection entry."""
    section = introspection(type=..., audience=...)
    settings = Settings.model_validate({"credentials": [jwks(live=section)]})
    assert SECRET not in f"{settings!r} {build_authenticator(settings)!r}"
