"""oauth4webapi and openid-client, given the issuer's URL and credentials, and nothing else."""

import pytest

METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
AUDIENCE = "https://orders.example"
CLIENTS = dict(zip(METHODS, ("orders", "orders-post", "orders-keyed"), strict=True))


@pytest.fixture(scope="session")
def steps(by_javascript):
    """What came of each step that oauth4webapi took, after what it was told."""
    return by_javascript("oauth4webapi.mjs")


class TestOauth4webapi:
    def test_both_discoveries_find_the_same(self, served, steps):
        """RFC 8414 and OpenID Connect Discovery, with the path of an issuer put as each says."""
        found = steps[1]
        assert found["oauth2"] == found["oidc"]
        assert served.issuer == found["oauth2"]["issuer"]

    @pytest.mark.parametrize("method", METHODS)
    def test_client_credentials(self, steps, method):
        """RFC 6749, section 4.4, with each way of client authentication."""
        token = steps[1][method]["token"]
        # The library has the type of a token in lower case.
        expected = {"token_type": "bearer", "expires_in": 900, "scope": "orders:read"}
        assert expected == {name: token[name] for name in expected}
        assert "refresh_token" not in token

    @pytest.mark.parametrize("method", METHODS)
    def test_its_token_is_an_rfc_9068_token(self, served, steps, method):
        """`validateJwtAccessToken`: type, signature, issuer, audience and what section 2.2 asks."""
        claims = steps[1][method]["claims"]
        client_id = CLIENTS[method]
        expected = {
            "iss": served.issuer,
            "aud": AUDIENCE,
            "sub": client_id,
            "client_id": client_id,
            "scope": "orders:read",
        }
        assert expected == {name: claims[name] for name in expected}

    @pytest.mark.parametrize("method", METHODS)
    def test_introspection_and_revocation(self, steps, method):
        """RFC 7662 and 7009, with each way: active, revoked, inactive; and revoked once more."""
        said = steps[1][method]
        expected = {"active": True, "client_id": CLIENTS[method], "scope": "orders:read"}
        assert expected == {name: said["before"][name] for name in expected}
        assert (200, {"active": False}, 200) == (said["revoked"], said["after"], said["again"])

    def test_a_token_of_a_user(self, served, steps):
        """Handed to the client at the login that it sent on."""
        claims = steps[1]["user"]
        assert (served.alice["id"], "orders-plain") == (claims["sub"], claims["client_id"])

    def test_a_token_for_somebody_else(self, steps):
        """The library refuses what does not name its audience."""
        assert "OAUTH_JWT_CLAIM_COMPARISON_FAILED" == steps[1]["elsewhere"]["failed"]

    def test_refreshing_and_a_replay(self, steps):
        """The next tokens; then the first once more, which ends the next ones too."""
        told, said = steps
        assert told["user"]["refresh_token"] != said["refreshed"]["refresh_token"]
        refused = {"status": 400, "error": "invalid_grant"}
        assert (refused, refused) == (said["replayed"], said["ended"])

    @pytest.mark.parametrize(
        ("step", "error"), [("scope", "invalid_scope"), ("audience", "invalid_target")]
    )
    def test_asking_for_too_much(self, steps, step, error):
        """What the client was not given: RFC 6749, section 5.2, and RFC 8707, section 2."""
        assert {"status": 400, "error": error} == steps[1][step]

    def test_a_wrong_secret(self, steps):
        """A challenge, as RFC 6749, section 5.2, wants it."""
        assert {"status": 401, "challenge": "basic"} == steps[1]["wrong"]


@pytest.fixture(scope="session")
def calls(by_javascript):
    """What came of each call of openid-client."""
    return by_javascript("openid_client.mjs")[1]


class TestOpenidClient:
    @pytest.mark.parametrize("algorithm", ["oidc", "oauth2"])
    @pytest.mark.parametrize("method", METHODS)
    def test_a_round(self, calls, method, algorithm):
        """Discovered, granted, introspected, revoked, introspected."""
        said = calls[f"{method} {algorithm}"]
        assert ("bearer", "orders:read") == (said["token"]["token_type"], said["token"]["scope"])
        assert (True, CLIENTS[method]) == (said["before"]["active"], said["before"]["client_id"])
        assert {"active": False} == said["after"]

    def test_a_protected_resource(self, served, calls):
        """The library presents the token itself."""
        assert served.alice == calls["me"]

    def test_refreshing_and_a_replay(self, calls):
        """A replay ends the session, so the token of the refresh in between is refused."""
        assert calls["refreshed"]["refresh_token"]
        replayed = {name: calls["replayed"][name] for name in ("status", "error")}
        assert {"status": 400, "error": "invalid_grant"} == replayed
        assert 401 == calls["ended"]["status"]

    def test_a_wrong_secret(self, calls):
        """Refused with a challenge, which the library makes an error of."""
        assert 401 == calls["wrong"]["status"]
