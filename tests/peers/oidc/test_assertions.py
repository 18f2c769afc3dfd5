"""oidc-provider takes each client assertion once: whatever is sent again carries a new one."""

import pytest

from tokenward import ClientCredentials
from tokenward.client_auth import PrivateKeyJWT

TOKEN = "/token/introspection"


@pytest.mark.parametrize("reused", [False, True], ids=["new-connection", "kept-connection"])
def test_assertion_is_never_sent_twice(server, make_client, reused):
    """The provider saw it and the answer was lost: the next attempt needs another ``jti``."""
    client = make_client(client_auth=PrivateKeyJWT("keyed", server.keys["ES256"]))
    token = server.issue()
    if reused:
        assert client.introspect(token)["active"] is True
    server.lose(TOKEN)

    assert client.introspect(token)["active"] is True
    assert 2 + reused == server.asked()


@pytest.mark.parametrize("reused", [False, True], ids=["new-connection", "kept-connection"])
def test_assertion_for_a_token_is_never_sent_twice(server, reused):
    """The same at the token endpoint."""
    auth = PrivateKeyJWT("keyed", server.keys["ES256"])
    source = ClientCredentials(server.token_endpoint, client_auth=auth)
    if reused:
        source()
        source.invalidate()
    server.lose("/token")

    assert server.is_active(source())
    assert 2 + reused == server.asked("/token")
