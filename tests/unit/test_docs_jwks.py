"""docs/verifiers/jwks.md and by-issuer.md: their code is run, their tables and numbers hold."""

import base64
import inspect
import json
import re
import sys
import types
from xml.etree import ElementTree as ET

import pytest
from doc_pages import DOCS, Page, principal_of, settings, slugs, subject_of

import tokenward
from tokenward import (
    AuthServiceUnavailable,
    ByIssuer,
    ConfigurationError,
    IntrospectionVerifier,
    InvalidClaim,
    InvalidToken,
    JWKSVerifier,
    TokenRevoked,
    _jose,
)
from tokenward.bearer import MAX_TOKEN_BYTES
from tokenward.cache.document import KeptDocument
from tokenward.jwks.memory import MAX_DENIED
from tokenward.testing import FakeAuthorizationServer, FakeClock, StubVerifier

PAGE = Page("verifiers/jwks.md")
MANY = Page("verifiers/by-issuer.md")
SECRET = "f3a9c1e07b5d4826-of-a-test-and-long-enough"
ISSUER = "https://login.example"


@pytest.fixture
def server():
    """Run the issuer of the page."""
    with FakeAuthorizationServer(
        client_id="orders", client_secret=SECRET, audience="orders"
    ) as server:
        yield server


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    for name in ("AS_SECRET", "OLD_SECRET"):
        monkeypatch.setenv(name, SECRET)


@pytest.fixture
def run(server):
    """Run the one block of a page that has some text, with its issuer at a loopback address."""

    def one(text, page=PAGE, **names):
        return page.run(page.block(text).replace(ISSUER, server.issuer), names)

    return one


@pytest.fixture
def mappings(server):
    """The page's mappings, with its issuer at a loopback address."""

    def of(page=PAGE):
        return json.loads(json.dumps(page.mappings()).replace(ISSUER, server.issuer))

    return of


def test_the_mapping_is_a_configuration(mappings, server):
    """With the first block an application verifies the server's tokens."""
    assert "alice" == subject_of(mappings()[0], server.token(sub="alice"))


def test_the_entry_of_the_readme_is_the_same():
    """What a stranger pastes first is what this page begins with."""
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    (entry,) = re.findall(r"^    (\{\"type\": \"jwks\".*\}),$", readme, re.MULTILINE)
    assert PAGE.mappings()[0]["credentials"] == [json.loads(entry)]


@pytest.mark.parametrize("page", [PAGE, MANY])
def test_toml_says_what_python_says(page):
    """Each TOML block parses; the first is the first mapping's entries, as far as it goes."""
    written = page.tomls()
    assert written
    for mapping in written:
        settings(mapping)
    entries = settings(page.mappings()[0]).credentials
    assert settings(written[0]).credentials == entries[: len(written[0]["credentials"])]


def test_the_verifiers_verify(run, server):
    """Made from the issuer, or from the address of its keys."""
    alone = next(block for block in PAGE.blocks if block.endswith('audience="orders")\n'))
    made = [PAGE.run(alone.replace(ISSUER, server.issuer), {}), run("jwks_uri=")]
    for names in made:
        assert "alice" == names["verifier"].verify(server.token(sub="alice")).subject
    assert 2 == len(server.requests(server.jwks_uri))


def test_live_asks_the_issuer(mappings, server):
    """With the entry's section, a live request hears that a token was revoked."""
    token = server.token(sub="alice")
    assert "alice" == subject_of(mappings()[1], token, live=True)
    server.revoke(token)
    with pytest.raises(InvalidToken) as refused:
        subject_of(mappings()[1], token, live=True)
    assert ("inactive", "alice") == (refused.value.reason, subject_of(mappings()[1], token))


def test_live_in_python_asks_the_issuer(run, server):
    """The same, by hand; and what it said is remembered."""
    verifier = run("live=live")["verifier"]
    token = server.token()
    assert "user-1" == verifier.verify(token, live=True).subject == verifier.verify(token).subject
    server.revoke(token)
    with pytest.raises(InvalidToken):
        verifier.verify(token, live=True)
    # And from then on where nobody is asked.
    with pytest.raises(TokenRevoked):
        verifier.verify(token)


def test_live_with_nobody_to_ask_is_a_configuration_error(server):
    """As the page says."""
    with pytest.raises(ConfigurationError, match="live"):
        JWKSVerifier(server.issuer, audience="orders").verify(server.token(), live=True)


def test_the_profile_takes_access_tokens_only(run, server):
    """An `at+jwt` with what is required, and nothing else that the issuer signs."""
    verifier = run('token_types=["at+jwt"]')["verifier"]
    assert "user-1" == verifier.verify(server.token()).subject
    for token in (server.token(typ="JWT"), server.token(jti=None)):
        with pytest.raises(InvalidToken):
            verifier.verify(token)


def test_the_rule_of_the_page_refuses(run, server):
    """`check` is asked."""
    verifier = run("of_our_tenant")["verifier"]
    assert "user-1" == verifier.verify(server.token(tenant="acme")).subject
    with pytest.raises(InvalidClaim) as refused:
        verifier.verify(server.token(tenant="globex"))
    assert "wrong_tenant" == refused.value.reason


def test_roles_come_from_several_claims(mappings, server):
    """A path, a name that is a URL, and a plain one, joined."""
    claims = {"realm_access": {"roles": ["a"]}, "https://shop.example/roles": ["b"], "groups": "c"}
    assert {"a", "b", "c"} == principal_of(mappings()[2], server.token(**claims)).roles


def test_a_shared_secret_verifies_old_tokens(run, mappings):
    """The entry and the verifier say the same of a token that was signed with the secret."""
    token = hs256(SECRET, iss="https://old.example", sub="alice", exp=4_000_000_000)
    assert "alice" == subject_of(mappings()[3], token)
    assert "alice" == run("import base64")["verifier"].verify(token).subject


def test_claims_and_reasons_in_your_own_code(run, server, capsys):
    """The function returns claims, and prints why not."""
    verifier = JWKSVerifier(server.issuer, audience="orders")
    claims_of = run("def claims_of", verifier=verifier)["claims_of"]
    assert "alice" == claims_of(f"Bearer {server.token(sub='alice')}")["sub"]
    claims_of(server.token(aud="billing"))
    server.fail(server.jwks_uri, times=10)
    claims_of(server.token()[:-8] + "AAAAAAAA")
    verifier = JWKSVerifier(server.issuer, audience="orders", retries=0)
    run("def claims_of", verifier=verifier)["claims_of"](server.token())
    printed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert ["audience_mismatch", "bad_signature", "bad_response"] == printed


def test_warm_up_fetches_at_the_start(run, server):
    """Before any token."""
    run("verifier.warm_up()\n")
    assert 1 == len(server.requests(server.jwks_uri))


# --- the tables

_RAISED = dict(row[0:3:2] for row in PAGE.rows("What it raises"))
REFUSED = set(re.findall(r"`([a-z_]+)`", _RAISED["`InvalidToken`"])) - {"check"}
UNAVAILABLE = set(slugs(_RAISED["`AuthServiceUnavailable`"]))


def hs256(secret, **claims):
    """Sign with a secret."""
    key = _jose.parse_key_set({"keys": [oct_jwk(secret)]}, allow_symmetric=True).keys[0]
    return _jose.sign(claims, key)


def oct_jwk(secret, alg="HS256"):
    """Return a secret as a JWK."""
    k = base64.urlsafe_b64encode(secret.encode()).rstrip(b"=").decode()
    return {"kty": "oct", "alg": alg, "k": k}


def with_header(token, **members):
    """Return a token with another header; its signature is not good any more."""
    header, payload, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))) | members
    changed = {name: value for name, value in said.items() if value is not None}
    text = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
    return f"{text}.{payload}.{signature}"


def revoked(server, verifier):
    token = server.token()
    verifier.invalidate(token)
    return token


CAUSES = {
    "malformed": lambda s, v: "opaque",
    "too_large": lambda s, v: s.token(more="x" * MAX_TOKEN_BYTES),
    "algorithm": lambda s, v: hs256(SECRET, iss=s.issuer, aud="orders", exp=4_000_000_000),
    "critical_header": lambda s, v: with_header(s.token(), crit=["exp"]),
    "wrong_type": lambda s, v: s.token(token_use="id"),
    "expired": lambda s, v: s.token(expires_in=-60),
    "not_yet_valid": lambda s, v: s.token(nbf=4_000_000_000),
    "issued_in_future": lambda s, v: s.token(iat=4_000_000_000),
    "invalid_time": lambda s, v: s.token(iat="today"),
    "claim_missing": lambda s, v: s.token(exp=None),
    "unknown_issuer": lambda s, v: s.token(iss=s.issuer + "/"),
    "audience_mismatch": lambda s, v: s.token(aud="billing"),
    "client_mismatch": lambda s, v: s.token(client_id="other"),
    "sender_constrained": lambda s, v: s.token(cnf={"jkt": "x"}),
    "unknown_key": lambda s, v: with_header(s.token(), kid="another"),
    "ambiguous_key": lambda s, v: (s.rotate(), with_header(s.token(), kid=None))[1],
    "bad_signature": lambda s, v: s.token()[:-8] + "AAAAAAAA",
    "check_failed": lambda s, v: s.token(fail=True),
    "no_subject": lambda s, v: s.token(sub=None, client_id=None),
    "revoked": revoked,
}


def checked(claims):
    """Fail as a `check` with a mistake does."""
    if claims.get("fail"):
        raise KeyError("tenant")


@pytest.mark.parametrize("reason", sorted(CAUSES))
def test_a_refusal_has_the_reason_of_the_table(server, reason):
    """Each row's token is refused, and with that reason."""
    clients = ["web"] if reason == "client_mismatch" else ()
    verifier = JWKSVerifier(server.issuer, audience="orders", clients=clients, check=checked)
    token = CAUSES[reason](server, verifier)
    with pytest.raises(InvalidToken) as refused:
        verifier.verify(token)
    assert reason == refused.value.reason
    assert refused.value.hint


def test_every_refusal_of_the_table_is_tried():
    """What stands there is tested above; a `check` that names no reason is nobody's to test."""
    assert REFUSED == set(CAUSES) | {"invalid_claim"}


@pytest.mark.parametrize(
    ("reason", "path", "answer"),
    [
        ("bad_response", "/.well-known/jwks.json", {"status": 500}),
        ("no_usable_key", "/.well-known/jwks.json", {"status": 200, "body": b'{"keys": []}'}),
        ("no_metadata", None, {"status": 404}),
        ("issuer_mismatch", None, {"status": 200, "body": b'{"issuer": "https://other.example"}'}),
        ("endpoint_missing", None, {"status": 200, "body": b'{"issuer": "ISSUER"}'}),
        (
            "endpoint_refused",
            None,
            {"status": 200, "body": b'{"issuer": "ISSUER", "jwks_uri": "file:///etc/keys"}'},
        ),
    ],
)
def test_an_outage_has_the_reason_of_the_table(server, reason, path, answer):
    """A row's cause gives that reason, and it is no refusal."""
    paths = [path] if path else [f"/.well-known/{name}" for name in METADATA]
    body = answer.get("body", b"").replace(b"ISSUER", server.issuer.encode())
    for each in paths:
        server.fail(
            each,
            times=9,
            status=answer["status"],
            headers={"Content-Type": "application/json"},
            body=body,
        )
    with pytest.raises(AuthServiceUnavailable) as outage:
        JWKSVerifier(server.issuer, audience="orders").verify(server.token())
    assert (reason, True) == (outage.value.reason, reason in UNAVAILABLE)


METADATA = ("oauth-authorization-server", "openid-configuration")


# --- what happens when


@pytest.fixture
def clock():
    """The time of the verifier and of the server."""
    return FakeClock()


@pytest.fixture
def timed(clock):
    """A server and a verifier of its tokens, in a time that stands still."""
    with FakeAuthorizationServer(audience="orders", clock=clock, expires_in=100_000) as server:
        yield server, JWKSVerifier(server.issuer, audience="orders", clock=clock, retries=0)


def test_the_outage_table_is_measured(timed, clock):
    """Within ttl nothing, then stale, then 503; an unknown kid is a 503 all along."""
    server, verifier = timed
    token, later = server.token(), server.token(sub="later")
    unknown = with_header(token, kid="new")
    server.fail(server.jwks_uri, times=1)
    with pytest.raises(AuthServiceUnavailable):
        verifier.verify(token)
    with pytest.raises(AuthServiceUnavailable):
        verifier.verify(token)
    assert 1 == len(server.requests(server.jwks_uri))
    clock.advance(30)
    verifier.verify(token)
    server.fail(server.jwks_uri, times=1_000)
    for after in (839, 900, 900 + 3_599):
        with_time(clock, verifier, after)
        assert "later" == verifier.verify(later).subject
        with pytest.raises(AuthServiceUnavailable):
            verifier.verify(unknown)
    with_time(clock, verifier, 900 + 3_601)
    with pytest.raises(AuthServiceUnavailable):
        verifier.verify(token)


def with_time(clock, verifier, age):
    """Let the keys be ``age`` seconds old."""
    clock.advance(age - (verifier.keys_age() or 0))


def test_a_key_that_was_not_published_ahead_costs_one_fetch(timed):
    """The first token of it is accepted; a second surprise waits for the cooldown."""
    server, verifier = timed
    verifier.verify(server.token())
    server.rotate()
    assert "user-1" == verifier.verify(server.token()).subject
    assert 2 == len(server.requests(server.jwks_uri))
    server.rotate()
    with pytest.raises(InvalidToken) as refused:
        verifier.verify(server.token())
    assert "unknown_key" == refused.value.reason
    assert 2 == len(server.requests(server.jwks_uri))


def test_a_withdrawn_key_stops_at_the_next_refresh(timed, clock):
    """Also for a token that was verified before; or at once with `refresh()`."""
    server, verifier = timed
    token = server.token()
    verifier.verify(token)
    server.rotate(keep=False)
    clock.advance(839)
    assert "user-1" == verifier.verify(token).subject
    clock.advance(1)
    with pytest.raises(InvalidToken):
        verifier.verify(token)


# --- numbers and the picture


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ttl", "**`ttl`** ({} seconds)"),
        ("refresh_ahead", "**`refresh_ahead`** ({} seconds)"),
        ("cooldown", "**`cooldown`** ({} seconds)"),
        ("stale_for", "**`stale_for`** ({} seconds)"),
        ("leeway", "`leeway` ({} seconds)"),
        ("max_token_bytes", "`max_token_bytes` ({})"),
        ("cache_entries", "`cache_entries` ({})"),
    ],
)
def test_a_number_of_the_page_is_the_default(name, text):
    """Whoever changes a default changes the page."""
    default = inspect.signature(JWKSVerifier).parameters[name].default
    assert text.format(f"{default:,}") in PAGE.text


def test_numbers_that_are_no_arguments_are_those_of_the_code():
    """The bound of the denylist, of keys, and of the registry of issuers."""
    assert f"{MAX_DENIED:,} tokens" in PAGE.text
    parameters = inspect.signature(ByIssuer).parameters
    assert f"`ttl` ({parameters['ttl'].default} seconds)" in MANY.text
    assert f"`max_verifiers` ({parameters['max_verifiers'].default:,})" in MANY.text
    bits = (_jose.jwk.MIN_RSA_BITS, _jose.jwk.MAX_RSA_BITS)
    assert "RSA keys have {:,} to {:,} bits".format(*bits) in PAGE.text
    assert inspect.signature(KeptDocument).parameters.keys() >= {"refresh_ahead", "stale_for"}


def test_the_page_names_every_algorithm():
    """And no other."""
    names = {"RS", "PS", "ES"}
    named = {f"{kind}{bits}" for kind in names for bits in (256, 384, 512)} | {"EdDSA"}
    text = PAGE.text.partition("`algorithms` is ")[2].partition("RSA keys")[0]
    assert named == set(re.findall(r"\b(?:[RPE]S\d{3}|EdDSA)\b", text)) == set(_jose.ASYMMETRIC)


def test_the_picture_is_drawn_to_its_scale():
    """At 7 for a minute from 150 on, with the defaults of the verifier."""
    root = ET.parse(DOCS / "images" / "keys.svg").getroot()  # noqa: S314 - our own picture
    svg = "{http://www.w3.org/2000/svg}"
    ends = {
        kind: {
            (float(rect.get("x")) + float(rect.get("width")) - 150) / 7
            for rect in root.iter(f"{svg}rect")
            if rect.get("class") == kind and rect.get("height") == "32"
        }
        for kind in ("due", "stale", "wrong")
    }
    defaults = {n: p.default for n, p in inspect.signature(JWKSVerifier).parameters.items()}
    ttl, due = defaults["ttl"] / 60, (defaults["ttl"] - defaults["refresh_ahead"]) / 60
    gone = ttl + defaults["stale_for"] / 60
    assert {"due": {ttl}, "stale": {gone}, "wrong": {2 * due}} == ends
    fresh = min(
        (r for r in root.iter(f"{svg}rect") if r.get("class") == "fresh"),
        key=lambda r: float(r.get("y")),
    )
    assert due == float(fresh.get("width")) / 7
    assert all(root.findtext(f"{svg}{name}") for name in ("title", "desc"))
    assert "images/keys.svg" in PAGE.text


# --- many issuers


@pytest.fixture
def partner():
    """Run another issuer."""
    with FakeAuthorizationServer(audience="https://orders.example") as server:
        yield server


def moved(value, **issuers):
    """Put the issuers of the page at loopback addresses."""
    text = json.dumps(value)
    for name, issuer in issuers.items():
        text = text.replace(f"https://{name}.example/", issuer).replace(
            f"https://{name}.example", issuer
        )
    return json.loads(text)


def test_entries_are_joined_by_issuer(server, partner):
    """Each token goes to its own issuer; opaque ones to the server that is asked."""
    roles = "https://partner.example/roles"
    text = moved(MANY.mappings()[0], login=server.issuer)
    # The name of the claim is no address.
    text["credentials"][1] |= {"issuer": partner.issuer, "roles_claim": roles}
    with FakeAuthorizationServer(
        client_id="orders", client_secret=SECRET, audience="orders"
    ) as asked:
        text["credentials"][2]["issuer"] = asked.issuer
        assert "alice" == subject_of(text, server.token(sub="alice"))
        found = principal_of(text, partner.token(sub="bob", **{roles: ["buyer"]}))
        assert ("bob", {"buyer"}) == (found.subject, found.roles)
        assert "carol" == subject_of(text, asked.token(opaque=True, sub="carol"))
    with pytest.raises(InvalidToken) as refused:
        subject_of(text, server.token(iss="https://stranger.example"))
    assert "unknown_issuer" == refused.value.reason


def test_an_issuer_left_out_cannot_be_joined(server):
    """Two entries that cannot be told apart stop the program."""
    entry = {"type": "jwks", "issuer": server.issuer, "audience": "orders"}
    alone = {"type": "shared_secret", "secret": SECRET, "issuer": None, "audience": None}
    for entries in ([entry, alone], [entry, entry]):
        with pytest.raises(ConfigurationError):
            subject_of({"credentials": entries}, server.token())


def test_the_registry_in_python_routes(server, partner):
    """The mapping, and what takes opaque tokens."""
    names = {}
    for text in ("partner = JWKSVerifier", "otherwise=opaque"):
        block = MANY.block(text).replace('"https://partner.example/"', f'"{partner.issuer}"')
        names["opaque"] = StubVerifier({"opaque": tokenward.Principal("carol")})
        MANY.run(block.replace(ISSUER, server.issuer), names)
        if text == "partner = JWKSVerifier":
            assert "bob" == names["verifier"].verify(partner.token(sub="bob")).subject
        assert "alice" == names["verifier"].verify(server.token(sub="alice")).subject
    assert "carol" == names["verifier"].verify("opaque").subject


def test_tenants_are_asked_for(server, partner):
    """The function knows two; a third is refused and asked nothing."""
    block = MANY.block("def verifier_of").replace(f"{ISSUER}/acme", server.issuer)
    names = MANY.run(block.replace(f"{ISSUER}/globex", partner.issuer), {})
    verifier = names["verifier"]
    assert "alice" == verifier.verify(server.token(sub="alice")).subject
    assert "bob" == verifier.verify(partner.token(sub="bob", aud="orders")).subject
    with pytest.raises(InvalidToken) as refused:
        verifier.verify(server.token(iss="https://stranger.example"))
    assert "unknown_issuer" == refused.value.reason


@pytest.fixture
def myapp(monkeypatch):
    """A module ``myapp.auth`` with what a block defines."""

    def with_names(names):
        module = types.ModuleType("myapp.auth")
        module.__dict__.update(names)
        monkeypatch.setitem(sys.modules, "myapp", types.ModuleType("myapp"))
        monkeypatch.setitem(sys.modules, "myapp.auth", module)

    return with_names


def test_tokens_without_an_issuer_are_told_by_that(run, server, myapp):
    """Old ones by the secret, new ones by the issuer, and neither by the other."""
    myapp(run("class OldAndNew", MANY))
    mapping = moved(MANY.tomls()[1], login=server.issuer)
    end = {"exp": 4_000_000_000}
    assert "old" == subject_of(mapping, hs256(SECRET, sub="old", **end))
    assert "new" == subject_of(mapping, server.token(sub="new"))
    for token in (
        hs256(SECRET, sub="old", iss=server.issuer, **end),
        server.token(iss=None),
        "opaque",
    ):
        with pytest.raises(InvalidToken):
            subject_of(mapping, token)


def test_the_entry_of_introspection_is_one():
    """It is what takes opaque tokens."""
    from tokenward.config import build_verifier

    entry = settings(MANY.mappings()[0]).credentials[2]
    assert isinstance(build_verifier(entry), IntrospectionVerifier)
