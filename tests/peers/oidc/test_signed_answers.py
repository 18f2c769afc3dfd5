"""Answers that oidc-provider signs (RFC 9701), and what somebody in between might make of them."""

import time

import jwt
import pytest
from oidc_provider import AUDIENCE, JSON, SECRETS, SIGNED_ANSWER, SIGNING

from tokenward import ClientSecretBasic
from tokenward.errors import AuthServiceUnavailable, InvalidToken

TOKEN = "/token/introspection"
KEYS = "/jwks"


@pytest.fixture
def make_signed(server, make_client):
    """Make a client that demands signed answers, and is registered for them."""

    def make(endpoint=None, *, registered="ES256", demanded=None, **options):
        client_id = f"signed-{registered}"
        options = {
            "client_auth": ClientSecretBasic(client_id, SECRETS[client_id]),
            "signed_response_alg": demanded or registered,
            **options,
        }
        if endpoint is None:
            return make_client(by_issuer=server.issuer, **options)
        return make_client(endpoint, issuer=server.issuer, **options)

    return make


def outage(verifier, token, reason):
    """Assert that nothing is made of an answer, and nothing kept."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        verifier.verify(token)
    assert AuthServiceUnavailable is type(caught.value)
    assert (reason, 0) == (caught.value.reason, verifier.stats().entries)


def refused(verifier, token):
    """Return the reason for which a token is refused."""
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    return caught.value.reason


# --- good ones


@pytest.mark.parametrize("algorithm", SIGNING)
def test_signed_answer_is_verified(server, make_signed, make_verifier, algorithm):
    """With each algorithm; the keys are fetched once, found in the issuer's metadata."""
    verifier = make_verifier(make_signed(registered=algorithm))
    tokens = [server.issue() for _ in range(3)]

    assert {("client:caller", server.issuer)} == {
        (principal.subject, principal.issuer) for principal in map(verifier.verify, tokens)
    }
    assert (3, 1) == (server.asked(), server.asked(KEYS))


def test_endpoint_and_keys_may_be_configured(server, make_signed, make_verifier):
    """Then no metadata is asked for."""
    client = make_signed(server.storing_endpoint, jwks_uri=server.issuer + KEYS)

    assert "client:caller" == make_verifier(client).verify(server.issue()).subject
    assert 0 == server.asked("/.well-known/oauth-authorization-server")


def test_signed_answer_is_kept_like_another(server, make_signed, make_verifier, clock):
    """Once per ttl; what it says ends with it."""
    verifier = make_verifier(make_signed(server.storing_endpoint), ttl=60)
    token = server.issue()
    for _ in range(5):
        verifier.verify(token)
    server.revoke(token)
    clock.advance(60)

    assert "inactive" == refused(verifier, token)
    assert 2 == server.asked("/storing" + TOKEN)


@pytest.mark.parametrize("what", ["unknown", "jwt"])
def test_refusal_beside_signed_answers(server, make_signed, make_verifier, what):
    """Inactive is signed too; that a JWT is not introspected is an error, which nobody signs."""
    verifier = make_verifier(make_signed())
    token = "never-issued" if what == "unknown" else server.issue(audience=AUDIENCE + "/signed")
    expected = {"unknown": "inactive", "jwt": "unsupported_token_type"}[what]

    assert expected == refused(verifier, token)


def test_client_that_registered_no_algorithm(server, make_client, make_verifier):
    """Asked for a signed answer, the provider signs with RS256 (RFC 9701, section 6)."""
    client = make_client(issuer=server.issuer, signed_response_alg="RS256")

    assert "client:caller" == make_verifier(client).verify(server.issue()).subject


# --- not what was demanded


def test_plain_answer_is_refused(server, make_signed, make_verifier):
    """What the provider says of the token to others, and anybody may have written."""
    verifier = make_verifier(make_signed())
    token = server.issue()
    play(server, server.answer(token, "signed-ES256", accept=JSON), content_type=JSON)

    outage(verifier, token, "unsigned_response")
    assert "client:caller" == verifier.verify(token).subject


def test_other_algorithm_than_demanded(server, make_signed, make_verifier):
    """A good signature with an algorithm that nobody configured."""
    verifier = make_verifier(make_signed(registered="ES256", demanded="RS256"))
    outage(verifier, server.issue(), "bad_response")


def test_one_of_several_algorithms(server, make_signed, make_verifier):
    """While the registration is being changed, both are good."""
    client = make_signed(registered="ES256", demanded=["RS256", "ES256"])

    assert "client:caller" == make_verifier(client).verify(server.issue()).subject


def test_algorithm_that_the_server_does_not_offer(server, make_signed, make_verifier):
    """Its metadata says so beforehand: the token is sent to nobody."""
    outage(make_verifier(make_signed(demanded="ES512")), server.issue(), "algorithm_unsupported")

    assert 0 == server.asked()


# --- somebody in between


def test_answer_for_another_client(server, make_signed, make_verifier):
    """Really signed by the issuer, and not for us."""
    token = server.issue()
    play(server, server.answer(token, "signed-RS256"))

    outage(make_verifier(make_signed(demanded=SIGNING)), token, "bad_response")


def test_answer_of_another_issuer(server, make_signed, make_verifier):
    """The tenant signs with the very same keys, for a client of the same name."""
    token = server.issue(root=server.tenant)
    play(server, server.answer(token, "signed-ES256", root=server.tenant))

    outage(make_verifier(make_signed()), token, "bad_response")


def test_old_answer(server, make_signed, make_verifier, clock):
    """Played back after a minute, when the token may be revoked."""
    token = server.issue()
    answer = server.answer(token, "signed-ES256")
    verifier = make_verifier(make_signed())
    play(server, answer)
    assert "client:caller" == verifier.verify(token).subject
    clock.now = int(time.time()) + 65
    play(server, answer)

    outage(verifier, token, "bad_response")


def test_access_token_as_an_answer(server, make_signed, make_verifier):
    """The issuer signs those too; their ``typ`` is another one."""
    play(server, server.issue(audience=AUDIENCE + "/signed"))
    outage(make_verifier(make_signed(registered="RS256")), server.issue(), "bad_response")


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "logout+jwt"])
def test_jwt_of_another_kind(server, make_signed, make_verifier, typ):
    """Signed by the issuer with its own key, every claim as it should be, for another purpose."""
    answer = server.answer("never-issued", "signed-ES256")
    claims = jwt.decode(answer, options={"verify_signature": False})
    claims["token_introspection"] = {"active": True, "sub": "root", "aud": AUDIENCE}
    play(server, server.sign(claims, typ=typ))
    outage(make_verifier(make_signed()), server.issue(), "bad_response")
    play(server, server.sign(claims, typ="token-introspection+jwt"))

    assert "root" == make_verifier(make_signed()).verify(server.issue()).subject


@pytest.mark.parametrize("forgery", ["another-key", "changed", "unsigned"])
def test_forged_answer(server, make_signed, make_verifier, forgery):
    """Every claim as it should be, and not signed by the issuer."""
    token = server.issue()
    answer = server.answer("never-issued", "signed-ES256")
    header = jwt.get_unverified_header(answer)
    claims = jwt.decode(answer, options={"verify_signature": False})
    claims["token_introspection"] = {"active": True, "sub": "root", "aud": AUDIENCE}
    algorithm = "none" if forgery == "unsigned" else "ES256"
    key = None if forgery == "unsigned" else server.other_keys["ES256"]
    forged = jwt.encode(claims, key, algorithm, headers={**header, "alg": algorithm})
    if forgery == "changed":
        forged = forged.rpartition(".")[0] + "." + answer.rpartition(".")[2]
    play(server, forged)

    outage(make_verifier(make_signed()), token, "bad_response")


def play(server, answer, content_type=SIGNED_ANSWER):
    """Let somebody in between give the next answer."""
    headers = {"Content-Type": content_type, "Cache-Control": "no-store"}
    server.fail(TOKEN, status=200, body=answer, headers=headers)


# --- keys


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "dropped"])
def test_rotation(server, make_signed, make_verifier, keep):
    """A key that was not there yet is fetched at once; the earlier one published or not."""
    verifier = make_verifier(make_signed())
    token = server.issue()
    verifier.verify(token)
    server.rotate(keep=keep)

    assert ["client:caller"] * 3 == [verifier.verify(token).subject for _ in range(3)]
    assert (4, 2) == (server.asked(), server.asked(KEYS))


def test_second_rotation_within_the_cooldown(server, make_signed, make_verifier, clock):
    """An unknown key is a reason to fetch at most once in 30 seconds; until then, an outage."""
    verifier = make_verifier(make_signed())
    token = server.issue()
    verifier.verify(token)
    server.rotate(keep=False)
    verifier.verify(token)
    server.rotate(keep=False)
    outage(verifier, token, "bad_response")
    assert 2 == server.asked(KEYS)
    clock.advance(30)

    assert "client:caller" == verifier.verify(token).subject
    assert 3 == server.asked(KEYS)


def test_answer_signed_with_a_key_that_was_dropped(server, make_signed, make_verifier):
    """Whoever has the old key signs nothing any more, as soon as the new set is known."""
    verifier = make_verifier(make_signed())
    token = server.issue()
    answer = server.answer(token, "signed-ES256")
    server.rotate(keep=False)
    verifier.verify(token)
    play(server, answer)

    outage(verifier, token, "bad_response")


def test_keys_that_cannot_be_fetched(server, make_signed, make_verifier, clock):
    """An outage that ends with the keys': after 30 seconds they are asked for again."""
    verifier = make_verifier(make_signed())
    token = server.issue()
    server.fail(KEYS)
    outage(verifier, token, "bad_response")
    clock.advance(30)

    assert "client:caller" == verifier.verify(token).subject


def test_known_keys_serve_while_they_cannot_be_fetched(server, make_signed, clock):
    """Past their end too: a server whose keys are down for a while turns nobody away."""
    client = make_signed(server.introspection_endpoint, jwks_uri=server.issuer + KEYS)
    token = server.issue()
    headers = {"Content-Type": JSON, "Cache-Control": "max-age=30"}
    server.fail(KEYS, status=200, body=server.read(KEYS), headers=headers)
    assert client.introspect(token)["active"] is True
    server.reset()
    server.fail(KEYS, times=100)
    clock.advance(40)

    assert [True] * 3 == [client.introspect(token)["active"] for _ in range(3)]
    assert 1 == server.asked(KEYS)
