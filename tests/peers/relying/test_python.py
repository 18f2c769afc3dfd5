"""auth-jwks and swarmauri-tokens-introspection, each in an environment of its own."""

import pytest
import requests
from relying.running import by_python

AUDIENCE = "https://orders.example"
PLAIN = ("orders-plain", "77b1-window-thistle-3c40")


def end(issuer, token):
    headers = {"Authorization": f"Bearer {token}"}
    response = requests.post(f"{issuer}/logout", headers=headers, timeout=90)
    assert 200 == response.status_code, response.text


def client_token(issuer):
    form = {"grant_type": "client_credentials", "scope": "orders:read"}
    response = requests.post(f"{issuer}/token", form, auth=PLAIN, timeout=90)
    assert 200 == response.status_code, response.text
    return response.json()["access_token"]


@pytest.fixture(scope="session")
def tokens(served, log_in):
    """A user's, a client's, one that was logged out, and one that was tampered with."""
    user, ended = log_in()["access_token"], log_in()["access_token"]
    end(served.issuer, ended)
    head, body, signature = user.split(".")
    tampered = ".".join([head, body, ("B" if signature[0] == "A" else "A") + signature[1:]])
    return {
        "user": user,
        "client": client_token(served.issuer),
        "ended": ended,
        "tampered": tampered,
    }


class TestAuthJWKS:
    def verified(self, served, tokens, **settings):
        return by_python(
            "auth-jwks",
            "auth_jwks_verifies.py",
            {
                "discovery_url": f"{served.issuer}/.well-known/openid-configuration",
                "issuer": served.issuer,
                "audience": AUDIENCE,
                "tokens": tokens,
                **settings,
            },
        )

    def test_it_verifies_our_tokens(self, served, tokens):
        """By discovery alone; a signature says nothing of a logout, and nothing else is let by."""
        said = self.verified(served, tokens)
        assert [served.alice["id"]] * 2 == [said["user"]["sub"], said["ended"]["sub"]]
        assert ("orders-plain", "orders:read") == (said["client"]["sub"], said["client"]["scope"])
        assert "InvalidSignatureError" == said["tampered"]

    def test_a_token_for_somebody_else(self, served, tokens):
        """Every audience but ours is refused."""
        said = self.verified(served, {"user": tokens["user"]}, audience="elsewhere")
        assert {"user": "InvalidAudienceError"} == said

    def test_the_issuer_is_compared(self, served, tokens):
        """It finds our metadata to name us, and nobody else."""
        said = self.verified(served, {"user": tokens["user"]}, issuer="https://other.example")
        assert {"user": "IssuerMismatchError"} == said


@pytest.fixture(scope="session")
def introspected(served, tokens):
    """What swarmauri's service says of each token, and of our keys, by client authentication."""
    metadata = requests.get(f"{served.issuer}/.well-known/openid-configuration", timeout=90).json()
    client = {"client_id": PLAIN[0], "client_secret": PLAIN[1]}
    return by_python(
        "swarmauri",
        "swarmauri_verifies.py",
        {
            **{name: metadata[name] for name in ("introspection_endpoint", "jwks_uri")},
            "issuer": served.issuer,
            "audience": AUDIENCE,
            "tokens": tokens,
            "clients": {"client_secret_basic": client, "client_secret_post": client},
        },
    )


class TestSwarmauri:
    @pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
    def test_it_introspects_our_tokens(self, served, introspected, method):
        """Active, or inactive after a logout and whatever was tampered with."""
        answers = introspected[method]
        user = {"sub": served.alice["id"], "username": "alice", "iss": served.issuer}
        assert user == {name: answers["user"][name] for name in user}
        assert ("orders-plain", AUDIENCE) == (answers["client"]["sub"], answers["client"]["aud"])
        assert ["inactive_token"] * 2 == [answers["ended"], answers["tampered"]]

    def test_it_reads_our_keys(self, served, introspected):
        """What it passes on is a set of public keys of our algorithm."""
        keys = introspected["client_secret_basic"]["keys"]["keys"]
        assert {served.algorithm} == {key["alg"] for key in keys}
        assert not any("d" in key for key in keys)
