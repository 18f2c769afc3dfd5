"""RFC 7523, JSON Web Token Profile for Client Authentication, and RFC 7521 where it rests on it.

Tests are named after the sections they hold.
"""

import json
import logging
import os
import time

import pytest
from service_callers import GRANTS, ISSUER, Caller, basic, make_service

from tokenward import _jose
from tokenward.client_auth import ClientCredentials, PrivateKeyJWT
from tokenward.clients import Client
from tokenward.clients.assertions import ASSERTION_TYPE
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.introspection import IntrospectionClient
from tokenward.protocols import Request
from tokenward.repositories import open_repositories
from tokenward.testing import FakeAuthorizationServer, FakeClock

NOW = 1_700_000_000
ENDPOINT = "https://auth.example.com/token"
ALGORITHMS = sorted(_jose.ASYMMETRIC)


@pytest.fixture(scope="module")
def keys():
    """One key for each algorithm; making an RSA key takes long."""
    made = {name: _jose.generate_key(name) for name in ALGORITHMS if name[:2] not in ("RS", "PS")}
    rsa = _jose.to_pem(_jose.generate_key("RS256"))
    return made | {
        name: _jose.from_pem(rsa, name) for name in ALGORITHMS if name[:2] in ("RS", "PS")
    }


def asserted(auth, *, url=ENDPOINT, issuer=None, form=None):
    """Return the form that is sent, and what stands in its assertion."""
    sent = auth.apply(Request("POST", url, form=form, issuer=issuer)).form
    return sent, _jose.parse(sent["client_assertion"])


@pytest.fixture
def pem(keys):
    """The private key of the examples."""
    return _jose.to_pem(keys["ES256"])


def test_2_2_the_assertion_is_sent_in_the_form(pem):
    """The type is the one of the RFC, and there is one assertion, beside what is asked."""
    sent, _ = asserted(PrivateKeyJWT("orders", pem), form={"token": "a-token"})

    assert "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" == sent["client_assertion_type"]
    assert 3 == len(sent["client_assertion"].split("."))
    assert {"token", "client_id", "client_assertion", "client_assertion_type"} == sent.keys()


def test_rfc7521_4_2_the_client_id_is_that_of_the_assertion(pem):
    """It may be left out; sent, it is the subject's."""
    sent, assertion = asserted(PrivateKeyJWT("orders", pem))

    assert "orders" == sent["client_id"] == assertion.claims["sub"]


def test_3_issuer_and_subject_are_the_client(pem):
    """Points 1 and 2.B."""
    _, assertion = asserted(PrivateKeyJWT("orders", pem))

    assert ("orders", "orders") == (assertion.claims["iss"], assertion.claims["sub"])


@pytest.mark.parametrize(
    ("options", "issuer", "audience"),
    [
        ({}, None, ENDPOINT),
        ({}, "https://auth.example.com", "https://auth.example.com"),
        ({"audience": "https://other.example"}, None, "https://other.example"),
        (
            {"audience": "https://other.example"},
            "https://auth.example.com",
            "https://other.example",
        ),
    ],
    ids=["endpoint", "issuer", "configured", "configured first"],
)
def test_3_the_audience_is_one_string(pem, options, issuer, audience):
    """Point 3: the configured one, else the issuer, else the endpoint; never a list."""
    _, assertion = asserted(PrivateKeyJWT("orders", pem, **options), issuer=issuer)

    assert audience == assertion.claims["aud"]


def test_3_it_is_good_for_a_minute(pem):
    """Points 4 and 6: exp and iat are whole seconds, by the clock that was given."""
    clock = FakeClock(NOW + 0.9)
    auth = PrivateKeyJWT("orders", pem, clock=clock)
    _, first = asserted(auth)
    clock.advance(30)
    _, second = asserted(auth)

    assert (NOW, NOW + 60) == (first.claims["iat"], first.claims["exp"])
    assert (NOW + 30, NOW + 90) == (second.claims["iat"], second.claims["exp"])
    assert {int} == {type(first.claims[name]) for name in ("iat", "exp")}


def test_3_every_assertion_has_a_jti_of_its_own(pem):
    """Point 7: 128 bits or more, so that a server can take each only once."""
    auth = PrivateKeyJWT("orders", pem)
    seen = [asserted(auth)[1].claims["jti"] for _ in range(50)]

    assert 50 == len(set(seen))
    assert 16 <= min(len(_jose.decode(jti.encode())) for jti in seen)


def test_3_nothing_else_is_said(pem):
    """The claims are those of the RFC."""
    _, assertion = asserted(PrivateKeyJWT("orders", pem))

    assert {"iss", "sub", "aud", "jti", "iat", "exp"} == assertion.claims.keys()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_3_it_is_signed_with_the_clients_key(keys, algorithm):
    """Point 9: with each asymmetric algorithm, and the public key verifies it."""
    key = keys[algorithm]
    auth = PrivateKeyJWT("orders", _jose.to_pem(key), algorithm=algorithm)
    _, assertion = asserted(auth)

    assert {"alg": algorithm, "typ": "JWT"} == dict(assertion.header)
    assert algorithm == auth.algorithm
    _jose.verify(assertion, _jose.KeySet([key]), algorithms=frozenset({algorithm}))


@pytest.mark.parametrize("kind", [bytes, str])
def test_the_key_is_pem_as_text_or_bytes(pem, keys, kind):
    """A file may have been read in either way."""
    text = pem if kind is bytes else pem.decode()
    _, assertion = asserted(PrivateKeyJWT("orders", text))

    _jose.verify(assertion, _jose.KeySet([keys["ES256"]]), algorithms=frozenset({"ES256"}))


def test_the_kid_is_sent_when_it_is_known(pem):
    """What the server calls the key stands in the header; nothing is made up."""
    assert "kid" not in asserted(PrivateKeyJWT("orders", pem))[1].header
    assert "2024" == asserted(PrivateKeyJWT("orders", pem, kid="2024"))[1].header["kid"]


@pytest.mark.parametrize(
    ("algorithm", "says"),
    [
        ("HS256", "not HS256"),
        ("none", "not none"),
        ("es256", "not es256"),
        ("RS256", "not one for RS256"),
        ("PS512", "not one for PS512"),
        ("ES384", "not one for ES384"),
        ("EdDSA", "not one for EdDSA"),
        (None, "not None"),
    ],
)
def test_a_key_that_does_not_fit_stops_start_up(pem, algorithm, says):
    """The algorithm is an asymmetric one, and the key is one for it."""
    with pytest.raises(ConfigurationError, match=says):
        PrivateKeyJWT("orders", pem, algorithm=algorithm)


@pytest.mark.parametrize(
    "private_key",
    [
        *("", "hunter2", b"hunter2", "é", "\ud800", "/run/secrets/key.pem"),
        "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n",
    ],
)
def test_what_is_no_pem_stops_start_up(private_key):
    """The error says what to give, and repeats nothing of what was given."""
    with pytest.raises(ConfigurationError, match="BEGIN PRIVATE KEY") as caught:
        PrivateKeyJWT("orders", private_key)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("private_key", [None, 7, ["a"], object()])
def test_what_is_no_text_stops_start_up(private_key):
    """A key is a string or bytes."""
    with pytest.raises(ConfigurationError, match="private_key"):
        PrivateKeyJWT("orders", private_key)


def test_a_public_or_encrypted_key_stops_start_up(keys):
    """Neither can sign by itself."""
    from cryptography.hazmat.primitives import serialization as s

    private = keys["ES256"].private
    public = private.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    locked = private.private_bytes(
        s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"hunter2")
    )
    for text in (public, locked):
        with pytest.raises(ConfigurationError, match="unencrypted PEM"):
            PrivateKeyJWT("orders", text)


@pytest.mark.parametrize("name", ["client_id", "audience", "kid"])
@pytest.mark.parametrize("bad", ["", "a\n", 7, b"a"])
def test_an_unusable_text_stops_start_up(pem, name, bad):
    """Empty, not a string, or with a control character."""
    texts = {"client_id": "orders"} | {name: bad}

    with pytest.raises(ConfigurationError, match=name):
        PrivateKeyJWT(private_key=pem, **texts)


@pytest.fixture
def server(keys):
    """A server that knows the client by its public key, and takes each assertion once."""
    with FakeAuthorizationServer(client_jwk=_jose.public_jwk(keys["ES256"])) as fake:
        yield fake


def test_a_server_takes_it_for_tokens(server, pem):
    """Every call has an assertion of its own: a second token is had like the first."""
    auth = PrivateKeyJWT(server.client_id, pem)
    source = ClientCredentials(server.token_endpoint, client_auth=auth)
    tokens = set()
    for _ in range(3):
        tokens.add(source())
        source.invalidate()
    source.close()

    assert 3 == len(tokens)
    assert 3 == len({r.form["client_assertion"] for r in server.requests("/token")})


def test_a_server_takes_it_for_introspection(server, pem):
    """Like any other client authentication (RFC 7662, section 2.1)."""
    auth = PrivateKeyJWT(server.client_id, pem)
    client = IntrospectionClient(server.introspection_endpoint, client_auth=auth)
    answers = [client.introspect(server.token(sub="alice")) for _ in range(2)]
    client.close()

    assert ["alice", "alice"] == [answer["sub"] for answer in answers]


def test_3_2_an_assertion_with_another_key_is_refused(server, keys):
    """That is `client_refused`: the server knows another key."""
    auth = PrivateKeyJWT(server.client_id, _jose.to_pem(_jose.generate_key("ES256")))
    source = ClientCredentials(server.token_endpoint, client_auth=auth)
    with pytest.raises(AuthServiceUnavailable) as caught:
        source()
    source.close()

    assert "client_refused" == caught.value.reason


# --- our own endpoints


@pytest.fixture(scope="module")
def caller(keys):
    """A service that knows one client by its keys, and nothing else of it."""
    jwks = {"keys": [_jose.public_jwk(keys[name]) for name in ("ES256", "RS256", "EdDSA")]}
    client = Client("shop", jwks=jwks, scopes=["read"], grants=GRANTS)
    return Caller(make_service(clients=[client]))


def signed(path, key, *, audience=None, fields=(), algorithm="ES256"):
    """Return the form of a request to one of our endpoints, with an assertion of ours."""
    auth = PrivateKeyJWT("shop", _jose.to_pem(key), algorithm=algorithm, audience=audience)
    request = Request("POST", ISSUER + path, form=dict(fields), issuer=ISSUER)
    return auth.apply(request).form


ASKED = {
    "/token": {"grant_type": "client_credentials"},
    "/introspect": {"token": "x"},
    "/revoke": {"token": "x"},
}


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_2_2_our_endpoints_take_it(caller, keys, path, algorithm):
    """Each of those that ask for client authentication."""
    form = signed(path, keys[algorithm], fields=ASKED[path], algorithm=algorithm)
    assert caller.form(path, form).status == 200


@pytest.mark.parametrize("path", ASKED)
def test_3_audience_is_issuer_token_endpoint_or_the_endpoint_asked(caller, keys, path):
    """Point 3: no other of our endpoints, and nobody else."""
    outcomes = {}
    for audience in (ISSUER, f"{ISSUER}/token", ISSUER + path, f"{ISSUER}/me", "https://x.example"):
        form = signed(path, keys["ES256"], audience=audience, fields=ASKED[path])
        outcomes[audience] = caller.form(path, form).status
    good = {ISSUER, f"{ISSUER}/token", ISSUER + path}
    assert outcomes == {name: 200 if name in good else 401 for name in outcomes}


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_3_assertion_is_used_once(keys, store, tmp_path):
    """Point 7: the store remembers, for every endpoint and every process together."""
    client = Client("shop", jwks={"keys": [_jose.public_jwk(keys["ES256"])]}, grants=GRANTS)
    url = "memory://" if store == "memory" else f"sqlite:///{tmp_path}/store.db"
    stores = open_repositories(url, create=True, bcrypt_cost=4)
    callers = [Caller(make_service(stores, users=(), clients=[client])) for _ in range(2)]
    form = signed("/token", keys["ES256"], fields=ASKED["/token"] | ASKED["/introspect"])
    assert callers[0].form("/token", form).status == 200
    for caller in callers:
        for path in ASKED:
            assert caller.form(path, form).error == (401, "invalid_client")
    stores.close()


def test_3_2_refusal_is_invalid_client(caller, keys):
    """As RFC 6749, section 5.2, has it, and RFC 7521, section 4.2.1."""
    form = signed("/token", keys["ES384"], fields=ASKED["/token"], algorithm="ES384")
    answer = caller.form("/token", form)
    assert answer.error == (401, "invalid_client")
    assert set(answer.json) == {"error", "error_description"}


def test_rfc7521_4_2_two_methods_are_malformed(caller, keys):
    """The assertion is not in addition to another method."""
    form = signed("/token", keys["ES256"], fields=ASKED["/token"])
    answer = caller.form("/token", form, authorization=basic("shop", "x"))
    assert answer.error == (400, "invalid_request")


def made_out_to(audience, key, **claims):
    """Return an assertion of our own making, to whomever."""
    said = {"iss": "shop", "sub": "shop", "aud": audience, "jti": _jose.encode(os.urandom(16))}
    return _jose.sign(said | {"exp": int(time.time()) + 60} | claims, key)


@pytest.mark.parametrize(
    ("audience", "status"),
    [
        (ISSUER, 200),
        ([ISSUER], 200),
        ([f"{ISSUER}/token"], 200),
        ([ISSUER, "https://evil.example"], 401),
        (["https://evil.example", ISSUER], 401),
        ([ISSUER, ISSUER], 401),
        ([ISSUER, f"{ISSUER}/token"], 401),
        ([], 401),
        ([[ISSUER]], 401),
    ],
)
def test_3_an_assertion_is_made_out_to_us_alone(caller, keys, audience, status):
    """Point 3, and more: whom else it names could present it here as its own."""
    form = signed("/token", keys["ES256"], fields=ASKED["/token"])
    form["client_assertion"] = made_out_to(audience, keys["ES256"])
    assert caller.form("/token", form).status == status


@pytest.mark.parametrize(
    ("claims", "form", "said"),
    [
        ({}, {}, "shop"),
        ({"sub": "stock"}, {"client_id": "shop"}, "stock"),
        ({"sub": "a\nb" + "x" * 9_000}, {}, "a\\x0ab"),
        ({"sub": 7}, {"client_id": "shop"}, "shop"),
        ({"sub": 7}, {}, None),
        (None, {"client_id": "shop"}, "shop"),
        (None, {}, None),
    ],
)
def test_a_refusal_is_audited_by_the_name_it_was_made_in(caller, claims, form, said, caplog):
    """Unverified, and shown so that it forges no line; without a readable one, by the form's."""
    caplog.set_level(logging.INFO, "tokenward.audit")
    fields = ASKED["/token"] | form | {"client_assertion_type": ASSERTION_TYPE}
    other = _jose.generate_key("ES256")
    assertion = "no.assertion" if claims is None else made_out_to(ISSUER, other, **claims)
    assert caller.form("/token", fields | {"client_assertion": assertion}).status == 401

    (line,) = [json.loads(r.getMessage()) for r in caplog.records if r.name == "tokenward.audit"]
    assert "client_auth_failed" == line["event"]
    name = line.get("client_id")
    assert said == name if said is None else name.startswith(said)
    assert len(name or "") < 500
