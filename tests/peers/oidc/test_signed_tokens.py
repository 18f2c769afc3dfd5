"""Access tokens that oidc-provider signs, checked with the keys that it publishes (RFC 9068)."""

import base64
import json

import jwt
import pytest
from oidc_provider import ALGORITHMS, AUDIENCE, JSON, JWKS, SIGNED

from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken

OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


def refused(verifier, token):
    """Return the reason for which a token is refused."""
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    return caught.value.reason


# --- where the keys are


@pytest.fixture(params=["issuer", "discovery_url", "openid discovery_url", "jwks_uri", "all"])
def found(request, server):
    """Each way to say where the keys are, and what is asked for on the way there."""
    documents = {"discovery_url": server.issuer + OAUTH, "openid": server.issuer + OPENID}
    return {
        "issuer": ((server.issuer,), {}, (1, 0, 1)),
        "discovery_url": ((), {"discovery_url": documents["discovery_url"]}, (1, 0, 1)),
        "openid discovery_url": ((), {"discovery_url": documents["openid"]}, (0, 1, 1)),
        "jwks_uri": ((None,), {"jwks_uri": server.jwks_uri}, (0, 0, 1)),
        "all": ((server.issuer,), {"jwks_uri": server.jwks_uri}, (0, 0, 1)),
    }[request.param]


def test_one_fetch_serves_every_token(server, make_jwks_verifier, found):
    """By discovery or directly: the principal is right, and each document is asked for once."""
    issuer, options, documents = found
    verifier = make_jwks_verifier(*issuer, **options)
    for _ in range(3):
        token = server.issue("orders-plus", audience=SIGNED)
        for principal in (verifier.verify(token), verifier.verify(token), verifier.cached(token)):
            # RFC 9068, section 2.2: where nobody else is, the subject is the client.
            assert ("orders-plus", server.issuer) == (principal.subject, principal.issuer)
            assert ("orders-plus", {"read"}) == (principal.client_id, principal.scopes)

    assert documents == tuple(server.asked(path) for path in (OAUTH, OPENID, JWKS))


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_each_algorithm(server, make_jwks_verifier, alg):
    """Signed as it says, and by nothing else: with the others allowed, this one is refused."""
    token = server.issue(audience=f"{SIGNED}/{alg}")
    header = jwt.get_unverified_header(token)
    assert (alg, "at+jwt") == (header["alg"], header["typ"])
    audience = f"{SIGNED}/{alg}"
    alone = make_jwks_verifier(audience=audience, algorithms=[alg])
    others = make_jwks_verifier(audience=audience, algorithms=sorted({*ALGORITHMS} - {alg}))

    assert "caller" == alone.verify(token).client_id
    assert "algorithm" == refused(others, token)
    assert "algorithm" == refused(others, token)
    assert 1 == server.asked(JWKS)


@pytest.mark.parametrize("alg", ["RS256", "PS512", "ES384", "EdDSA"])
def test_altered_token(server, make_jwks_verifier, alg):
    """Another claim under the same signature, or another signature: refused, and no fetch more."""
    verifier = make_jwks_verifier(audience=[SIGNED, f"{SIGNED}/{alg}"])
    header, payload, signature = server.issue(audience=f"{SIGNED}/{alg}").split(".")
    claims = {**_decoded(payload), "scope": "read write admin"}
    verifier.verify(f"{header}.{payload}.{signature}")

    assert "bad_signature" == refused(verifier, f"{header}.{_encoded(claims)}.{signature}")
    _, _, other = server.issue(audience=SIGNED).split(".")
    assert "bad_signature" == refused(verifier, f"{header}.{payload}.{other}")
    assert 1 == server.asked(JWKS)


def test_unsigned_token(server, make_jwks_verifier):
    """``none`` is no algorithm, in any case, and nobody is asked about it."""
    verifier = make_jwks_verifier()
    _, payload, signature = server.issue(audience=SIGNED).split(".")
    for none in ("none", "None", "NONE", "nOnE"):
        header = _encoded({"alg": none, "typ": "at+jwt"})
        assert "algorithm" == refused(verifier, f"{header}.{payload}.")
        assert "algorithm" == refused(verifier, f"{header}.{payload}.{signature}")
    assert 0 == server.asked(JWKS)


def test_public_key_is_no_secret(server, make_jwks_verifier):
    """HMAC cannot be allowed beside keys that are fetched."""
    with pytest.raises(ConfigurationError, match="HS"):
        make_jwks_verifier(algorithms=["HS256", "RS256"])
    with pytest.raises(ConfigurationError, match="HS"):
        make_jwks_verifier(algorithms=["HS256"])
    verifier = make_jwks_verifier()
    _, payload, signature = server.issue(audience=SIGNED).split(".")
    for entry in json.loads(server.read(JWKS))["keys"]:
        header = _encoded({"alg": "HS256", "typ": "at+jwt", "kid": entry["kid"]})
        assert "algorithm" == refused(verifier, f"{header}.{payload}.{signature}")


# --- whose it is, and for whom


def test_token_for_somebody_else(server, make_jwks_verifier):
    """The audience is compared whole, before anything is fetched."""
    verifier = make_jwks_verifier(audience=[AUDIENCE, f"{SIGNED}/ES256"])

    assert "audience_mismatch" == refused(verifier, server.issue(audience=SIGNED))
    assert 0 == server.asked(JWKS)
    assert verifier.verify(server.issue(audience=f"{SIGNED}/ES256"))


def test_token_of_a_tenant(server, make_jwks_verifier):
    """Two issuers on one host with the very same keys: neither's tokens are the other's."""
    ours, theirs = make_jwks_verifier(), make_jwks_verifier(server.tenant)
    token = server.issue(audience=SIGNED)
    tenants = server.issue(audience=SIGNED, root=server.tenant)

    assert server.issuer == ours.verify(token).issuer
    assert server.tenant == theirs.verify(tenants).issuer
    assert "unknown_issuer" == refused(ours, tenants)
    assert "unknown_issuer" == refused(theirs, token)
    # One that shares what it remembers asks nobody about a token of its neighbour's either.
    assert "unknown_issuer" == refused(ours.for_issuer(server.tenant), token)
    assert (1, 1) == (server.asked(JWKS), server.asked("/tenant" + JWKS))


def test_siblings_share_the_connections_and_the_cache(server, make_jwks_verifier):
    """One verifier for each tenant, made when it comes: its keys are its own."""
    verifier = make_jwks_verifier()
    tenant = verifier.for_issuer(server.tenant)
    for _ in range(3):
        assert server.issuer == verifier.verify(server.issue(audience=SIGNED)).issuer
        token = server.issue(audience=SIGNED, root=server.tenant)
        assert server.tenant == tenant.verify(token).issuer

    assert (1, 1) == (server.asked(JWKS), server.asked("/tenant" + JWKS))
    assert 6 == verifier.stats().entries == tenant.stats().entries


@pytest.mark.parametrize("written", ["{}/", "localhost"])
def test_issuer_written_otherwise(server, make_jwks_verifier, written):
    """A trailing slash, or another name of the host, is another issuer: no token of its passes."""
    issuer = server.issuer.replace("127.0.0.1", written) if "{" not in written else None
    verifier = make_jwks_verifier(issuer or written.format(server.issuer))

    assert "unknown_issuer" == refused(verifier, server.issue(audience=SIGNED))
    assert 0 == server.asked(JWKS)


def test_document_of_another_issuer(server, make_jwks_verifier):
    """What stands at the right place and speaks for somebody else names no keys."""
    document = json.dumps({"issuer": server.tenant, "jwks_uri": server.jwks_uri})
    headers = {"Content-Type": JSON}
    server.fail(OAUTH, status=200, body=document, headers=headers)
    verifier = make_jwks_verifier()
    token = server.issue(audience=SIGNED)
    with pytest.raises(AuthServiceUnavailable) as caught:
        verifier.verify(token)

    assert ("issuer_mismatch", 0) == (caught.value.reason, server.asked(JWKS))


# --- other kinds of tokens


@pytest.mark.parametrize("token_types", [None, ("at+jwt",)])
@pytest.mark.parametrize("use", ["idtoken", "logout"])
def test_id_token_is_no_access_token(server, make_jwks_verifier, use, token_types):
    """Well signed, in time and for this audience: what an application must not take."""
    verifier = make_jwks_verifier(audience="caller", token_types=token_types)
    token = server.issue_id_token("caller", use=use)

    assert "wrong_type" == refused(verifier, token)
    assert 0 == server.asked(JWKS)


def test_id_token_where_it_is_wanted(server, make_jwks_verifier):
    """An explicit profile takes it, and takes no logout token."""
    verifier = make_jwks_verifier(audience="caller", token_types=None, accept_id_tokens=True)
    principal = verifier.verify(server.issue_id_token("caller"))

    assert ("alice", server.issuer) == (principal.subject, principal.issuer)
    assert "audience_mismatch" == refused(verifier, server.issue_id_token("orders-plus"))
    assert "wrong_type" == refused(verifier, server.issue_id_token("caller", use="logout"))


def test_signed_answer_is_no_access_token(server, make_jwks_verifier):
    """An answer of the introspection endpoint is a JWT of the same issuer (RFC 9701)."""
    verifier = make_jwks_verifier(audience="signed-ES256", token_types=None, required=())
    answer = server.answer(server.issue(), "signed-ES256")

    assert "wrong_type" == refused(verifier, answer)


def test_token_bound_to_a_certificate(server, make_jwks_verifier):
    """Who holds it cannot be checked here, so it is refused (RFC 8705, section 3)."""
    verifier = make_jwks_verifier()

    assert "sender_constrained" == refused(verifier, server.issue_bound(audience=SIGNED))


def _decoded(segment):
    return json.loads(base64.urlsafe_b64decode(segment + "=="))


def _encoded(members):
    return base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()
