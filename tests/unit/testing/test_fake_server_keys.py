"""The keys of the fake authorization server: published ahead, rotated, forged."""

import json
import threading
import urllib.parse
import urllib.request

import pytest

from tokenward import JWKSVerifier, _jose
from tokenward.errors import ConfigurationError, InvalidSignature, InvalidToken
from tokenward.testing import FakeAuthorizationServer, FakeClock

ALL = ("ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256")


@pytest.fixture
def server():
    """Run a server for the length of a test."""
    with FakeAuthorizationServer() as running:
        yield running


@pytest.fixture
def verifier(server):
    """A verifier of the server's tokens, with a clock that stands."""
    verifier = JWKSVerifier(server.issuer, audience=server.audience)
    yield verifier
    verifier.close()


def fetched(server):
    """Return headers and body of the JWK Set."""
    with urllib.request.urlopen(server.jwks_uri, timeout=90) as answer:  # noqa: S310 - loopback
        return answer.headers, json.load(answer)


def kids(server):
    return [key["kid"] for key in server.jwks()["keys"]]


def kid(token):
    return _jose.parse(token).kid


def test_key_set_is_what_it_serves(server):
    """For `JWKSVerifier(jwks=...)`: no request, and no private member."""
    pinned = JWKSVerifier(server.issuer, audience=server.audience, jwks=server.jwks())

    assert "user-1" == pinned.verify(server.token()).subject
    assert [] == server.requests()
    assert server.jwks() == fetched(server)[1]
    assert {"kty", "crv", "x", "y", "use", "kid", "alg"} >= set(server.jwks()["keys"][0])


def test_next_key_is_published_before_it_signs(server):
    """It signs from the next rotation on; the earlier one stays where it is to be kept."""
    first = kid(server.token())
    server.publish_next()
    assert (first, [first]) == (kid(server.token()), kids(server)[:1])
    (following,) = kids(server)[1:]
    server.rotate()

    assert (following, [following, first]) == (kid(server.token()), kids(server))


def test_next_key_is_published_once(server):
    """Again it is the same; after the rotation it is another."""
    server.publish_next()
    published = kids(server)
    server.publish_next()
    assert published == kids(server)
    server.rotate(keep=False)
    assert published[1:] == kids(server)
    server.publish_next()

    assert 2 == len(kids(server))
    assert published[0] not in kids(server)


def test_key_that_was_published_ahead_costs_no_fetch(server, verifier):
    """What a careful issuer does for whoever keeps its keys."""
    verifier.verify(server.token())
    server.publish_next()
    verifier.refresh()
    server.rotate(keep=False)

    assert "user-1" == verifier.verify(server.token()).subject
    assert 2 == len(server.requests(server.jwks_uri))


def test_rotations_keep_all_earlier_keys(server):
    """One after the other, newest first."""
    seen = [kid(server.token())]
    for _ in range(3):
        server.rotate()
        seen.insert(0, kid(server.token()))

    assert seen == kids(server)


def test_threads_that_rotate_lose_no_key(server):
    """Each token's key is published, however many rotate at once."""
    tokens = []

    def rotate():
        for _ in range(20):
            server.publish_next()
            server.rotate()
            tokens.append(server.token())

    threads = [threading.Thread(target=rotate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set() == set(map(kid, tokens)) - set(kids(server))
    assert 81 == len(kids(server)) == len(set(kids(server)))


# --- how long they may be kept


def test_nothing_is_said_of_how_long_keys_may_be_kept(server):
    """Unless a test wants it."""
    assert "Cache-Control" not in fetched(server)[0]


def test_max_age_of_the_key_set():
    """It is sent as ``Cache-Control`` (RFC 9111, section 5.2.2.1), and a verifier obeys."""
    clock = FakeClock()
    with FakeAuthorizationServer(jwks_max_age=120, clock=clock) as server:
        assert "public, max-age=120" == fetched(server)[0]["Cache-Control"]
        verifier = JWKSVerifier(
            server.issuer, audience=server.audience, jwks_uri=server.jwks_uri, clock=clock
        )
        token = server.token(expires_in=600)
        for _ in range(3):
            verifier.verify(token)
            clock.advance(120)
        verifier.close()
        assert 4 == len(server.requests(server.jwks_uri))
        server.jwks_max_age = 0
        assert "public, max-age=0" == fetched(server)[0]["Cache-Control"]
        server.jwks_max_age = None
        assert "Cache-Control" not in fetched(server)[0]


# --- several algorithms


def test_several_algorithms():
    """A key for each; the first signs unless another is asked for, and rotation renews all."""
    with FakeAuthorizationServer(algorithm=ALL, signed_introspection=True) as server:
        verifier = JWKSVerifier(server.issuer, audience=server.audience, algorithms=ALL)
        for _ in range(2):
            assert "ES256" == _jose.parse(server.token()).alg
            for algorithm in ALL:
                token = server.token(algorithm=algorithm)
                assert algorithm == _jose.parse(token).alg
                assert "user-1" == verifier.verify(token).subject
            assert len(ALL) == len(kids(server)) == len(set(kids(server)))
            server.rotate(keep=False)
        verifier.close()
        with urllib.request.urlopen(  # noqa: S310 - loopback
            server.issuer + "/.well-known/openid-configuration", timeout=90
        ) as answer:
            said = json.load(answer)
    for what in ("id_token", "introspection"):
        assert list(ALL) == said[f"{what}_signing_alg_values_supported"]


def test_algorithm_that_it_has_no_key_for(server):
    """The error names those that it has, and what to write."""
    for make in (server.token, server.forged_token):
        with pytest.raises(ConfigurationError, match=r"'RS256'.*ES256.*algorithm="):
            make(algorithm="RS256")


@pytest.mark.parametrize("algorithm", ["HS256", "none", "ES999", [], ["ES256", "HS256"]])
def test_algorithm_that_it_cannot_have(algorithm):
    """Secrets are not published, and what is unknown is said so."""
    with pytest.raises(ConfigurationError, match="algorithm"):
        FakeAuthorizationServer(algorithm=algorithm)


# --- tokens of somebody else's


def test_forged_token_is_refused(server, verifier):
    """Right in everything but its key, which is in no set."""
    token = server.forged_token(sub="alice", expires_in=60)
    parsed = _jose.parse(token)
    assert (server.issuer, server.audience) == (parsed.claims["iss"], parsed.claims["aud"])
    assert ("alice", 60) == (parsed.claims["sub"], parsed.claims["exp"] - parsed.claims["iat"])
    assert ("at+jwt", "ES256") == (parsed.header["typ"], parsed.alg)
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)

    assert "unknown_key" == caught.value.reason


def test_forged_tokens_name_different_keys(server):
    """One for each, so that no answer about one serves the next."""
    named = {kid(server.forged_token()) for _ in range(50)}

    assert 50 == len(named)
    assert set() == named & set(kids(server))


def test_forged_token_is_signed_by_a_stranger(server):
    """Under whatever name the server's own key stands, it is not what signed it."""
    token = server.forged_token()
    (entry,) = server.jwks()["keys"]
    renamed = JWKSVerifier(
        server.issuer, audience=server.audience, jwks={"keys": [{**entry, "kid": kid(token)}]}
    )
    with pytest.raises(InvalidSignature):
        renamed.verify(token)


def test_forged_token_takes_every_argument():
    """As `token` does."""
    with FakeAuthorizationServer(algorithm=("ES256", "EdDSA")) as server:
        parsed = _jose.parse(server.forged_token(typ="JWT", algorithm="EdDSA", aud=None))

    assert ("JWT", "EdDSA") == (parsed.header["typ"], parsed.alg)
    assert "aud" not in parsed.claims


def test_introspection_knows_no_forged_token(server):
    """It never issued it."""
    form = {"client_id": server.client_id, "client_secret": server.client_secret}
    for token, active in ((server.token(), True), (server.forged_token(), False)):
        body = urllib.parse.urlencode({**form, "token": token}).encode()
        request = urllib.request.Request(server.introspection_endpoint, body)  # noqa: S310
        with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310 - loopback
            assert active is json.load(answer)["active"]
