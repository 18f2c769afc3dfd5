"""Finding oidc-provider's endpoints by its issuer identifier (RFC 8414, OpenID Connect)."""

import json

import pytest
from oidc_provider import SECRETS

from tokenward import ClientSecretPost
from tokenward.client_auth import PrivateKeyJWT
from tokenward.errors import AuthServiceUnavailable

TOKEN = "/token/introspection"
OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


def outage(client, token="a-token"):
    """Return the reason for which a question is not answered."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        client.introspect(token)
    assert AuthServiceUnavailable is type(caught.value)
    return caught.value.reason


def is_active(client, token):
    return client.introspect(token)["active"]


# --- where the document is


def test_issuer_alone_is_enough(server, make_client, make_verifier, way):
    """Each way of client authentication; a certificate is shown where the server asks for one."""
    client = make_client(by_issuer=server.issuer, client_auth=way.right)
    verifier = make_verifier(client)
    for _ in range(3):
        assert server.issuer == verifier.verify(server.issue()).issuer

    assert f"{way.root}{TOKEN}" == client.introspection_endpoint
    assert (3, 1, 0) == (server.asked(), server.asked(OAUTH), server.asked(OPENID))


def test_openid_document_serves_where_the_other_is_missing(server, make_client):
    """RFC 8414 first, then what OpenID Connect providers have always published."""
    server.fail(OAUTH, status=404)

    assert is_active(make_client(by_issuer=server.issuer), server.issue())
    assert (1, 1) == (server.asked(OAUTH), server.asked(OPENID))


@pytest.mark.parametrize(
    ("missing", "found"),
    [([], OAUTH + "/tenant"), ([OAUTH + "/tenant"], "/tenant" + OPENID)],
    ids=["between-host-and-path", "behind-the-path"],
)
def test_issuer_with_a_path(server, make_client, missing, found):
    """Both well-known forms lead to the tenant, not to its neighbour at the root."""
    for path in missing:
        server.fail(path, status=404)
    client = make_client(by_issuer=server.tenant)
    said = client.introspect(server.issue(root=server.tenant))

    assert (True, server.tenant) == (said["active"], said["iss"])
    assert [1] * (len(missing) + 1) == [server.asked(path) for path in [*missing, found]]
    assert (1, 0) == (server.asked("/tenant" + TOKEN), server.asked())


def test_no_document_anywhere(server, make_client):
    """An outage, and the token is sent to nobody."""
    client = make_client(by_issuer=server.issuer + "/nobody")

    assert ("no_metadata", 0) == (outage(client), server.asked())


# --- what it says


@pytest.mark.parametrize("written", ["{}/", "localhost"])
def test_issuer_written_otherwise(server, make_client, written):
    """Exact code points: a trailing slash or another name of the host is another issuer."""
    issuer = server.issuer.replace("127.0.0.1", written) if "{" not in written else None
    client = make_client(by_issuer=issuer or written.format(server.issuer))

    assert ("issuer_mismatch", 0) == (outage(client), server.asked())


def test_document_of_another_issuer(server, make_client):
    """What stands at the right place and speaks for somebody else is not used."""
    document = {"issuer": server.tenant, "introspection_endpoint": server.introspection_endpoint}
    headers = {"Content-Type": "application/json"}
    server.fail(OAUTH, status=200, body=json.dumps(document), headers=headers, times=2)

    assert "issuer_mismatch" == outage(make_client(by_issuer=server.issuer))
    assert (0, 0) == (server.asked(), server.asked(OPENID))


@pytest.mark.parametrize("method", ["client_secret_post", "private_key_jwt"])
def test_method_that_the_server_does_not_take(server, make_client, method):
    """It lists methods for its token endpoint alone; of introspection it says so when asked."""
    auth = {
        "client_secret_post": ClientSecretPost("orders-post", SECRETS["orders-post"]),
        "private_key_jwt": PrivateKeyJWT("keyed", server.keys["ES256"]),
    }[method]
    client = make_client(by_issuer=server.tenant, client_auth=auth)

    assert ("client_refused", 1) == (outage(client), server.asked("/tenant" + TOKEN))


# --- its life


def test_server_that_is_down_at_the_start(server, make_client, make_verifier, clock):
    """503 until it is up, and no restart of ours."""
    token = server.issue()
    server.kill()
    client = make_client(by_issuer=server.issuer)
    verifier = make_verifier(client)
    with pytest.raises(AuthServiceUnavailable) as caught:
        verifier.verify(token)
    assert (503, "connect_failed") == (caught.value.status_code, caught.value.reason)
    server.start()
    clock.advance(10)

    assert "client:caller" == verifier.verify(token).subject
    assert (1, 1) == (server.asked(OAUTH), server.asked())


def test_document_that_is_down(server, make_client, clock):
    """A failure is no absence: the other document is not asked for instead."""
    client = make_client(by_issuer=server.issuer)
    server.fail(OAUTH, status=503)
    token = server.issue()
    assert ("bad_response", 0) == (outage(client), server.asked(OPENID))
    clock.advance(10)

    assert is_active(client, token)


def test_known_document_serves_while_the_server_cannot_show_it(server, make_client, clock):
    """Past its end it is asked for again; failing that, introspection goes on as before."""
    client = make_client(by_issuer=server.issuer)
    token = server.issue()
    assert is_active(client, token)
    server.fail(OAUTH, status=500, times=100)
    clock.advance(3_600)

    assert [True] * 3 == [is_active(client, token) for _ in range(3)]
    assert 2 == server.asked(OAUTH)


def test_endpoint_that_moved(server, make_client, clock):
    """At its end the document is read anew, and the new place counts."""
    client = make_client(by_issuer=server.issuer)
    token = server.issue()
    document = {"issuer": server.issuer, "introspection_endpoint": server.storing_endpoint}
    assert is_active(client, token)
    headers = {"Content-Type": "application/json"}
    server.fail(OAUTH, status=200, body=json.dumps(document), headers=headers)
    clock.advance(3_600)

    assert is_active(client, token)
    assert (1, 1) == (server.asked(), server.asked("/storing" + TOKEN))
