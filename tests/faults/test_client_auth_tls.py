"""Client authentication on connections that break, and by certificate (RFC 8705; RULES 22)."""

import json
import shutil

import pytest

from tokenward import _jose
from tokenward.client_auth import BearerAuth, ClientCredentials, MutualTLS, PrivateKeyJWT
from tokenward.errors import AuthServiceUnavailable
from tokenward.introspection import IntrospectionClient

PATIENCE = 120  # seconds
GRANTED = json.dumps({"access_token": "a-token", "token_type": "Bearer", "expires_in": 60}).encode()


@pytest.fixture
def closing():
    """Close what a test has made."""
    made = []
    yield lambda thing: made.append(thing) or thing
    for thing in made:
        thing.close()


def test_a_broken_connection_is_tried_twice(serve, closing):
    """By the source and not by the transport under it: each time with another assertion."""

    def script(peer):
        peer.read()
        peer.reset()

    server = serve(script)
    key = _jose.generate_key("ES256")
    auth = PrivateKeyJWT("orders", _jose.to_pem(key))
    source = closing(ClientCredentials(server.url, client_auth=auth, timeout=PATIENCE))
    with pytest.raises(AuthServiceUnavailable) as caught:
        source()

    assert "connect_failed" == caught.value.reason
    assert 2 == len(server.requests) == len({body for _, body in server.requests})


@pytest.fixture
def server(serve_tls):
    """Demand a certificate of the authority's, and remember whose it was."""
    names = []

    def script(peer):
        subject = dict(pair[0] for pair in peer.sock.getpeercert()["subject"])
        names.append(subject["commonName"])
        while peer.read():
            asked = peer.server.requests[-1][1]
            peer.send(peer.answer(GRANTED if b"grant_type" in asked else b'{"active": true}'))

    server = serve_tls(script, mutual=True)
    server.names = names
    return server


def test_an_introspection_endpoint_sees_the_certificate(server, authority, closing):
    """The client is who the certificate says, and names itself in the form."""
    auth = MutualTLS("orders", *authority.issue("orders"))
    client = closing(
        IntrospectionClient(
            server.url, client_auth=auth, verify_tls=authority.path, timeout=PATIENCE
        )
    )

    assert {"active": True} == client.introspect("a-token")
    assert ["orders"] == server.names
    assert b"client_id=orders" in server.requests[0][1]
    assert b"authorization" not in server.requests[0][0].lower()


def test_a_token_endpoint_sees_the_certificate(server, authority, closing):
    """The source of tokens authenticates like anything else."""
    auth = MutualTLS("orders", *authority.issue("orders"))
    source = closing(
        ClientCredentials(server.url, client_auth=auth, verify_tls=authority.path, timeout=PATIENCE)
    )

    assert "a-token" == source()
    assert ["orders"] == server.names
    assert b"client_id=orders" in server.requests[0][1]


def test_without_a_certificate_nothing_is_said(server, authority, closing):
    """The server ends the handshake: that is an outage, and no request has left."""
    client = closing(
        IntrospectionClient(
            server.url,
            client_auth=BearerAuth("t"),
            verify_tls=authority.path,
            retries=0,
            timeout=PATIENCE,
        )
    )
    with pytest.raises(AuthServiceUnavailable):
        client.introspect("a-token")

    assert [] == server.requests


def test_a_certificate_may_be_renewed_in_place(server, authority, closing, tmp_path):
    """New files at the same paths are used by the next connection, without a restart."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def put(name):
        for source, target in zip(authority.issue(name), (cert, key), strict=True):
            shutil.copy(source, target)

    put("first")
    auth = MutualTLS("orders", cert, key)
    client = closing(
        IntrospectionClient(
            server.url, client_auth=auth, verify_tls=authority.path, timeout=PATIENCE
        )
    )
    client.introspect("a-token")
    put("second")
    client.introspect("a-token")

    assert ["first", "second"] == server.names


def test_files_that_vanish_are_an_outage(server, authority, closing, tmp_path):
    """What was there at the start may be gone later; nobody's token is bad for that."""
    cert, key = (shutil.copy(path, tmp_path) for path in authority.issue("orders"))
    auth = MutualTLS("orders", cert, key)
    client = closing(
        IntrospectionClient(
            server.url, client_auth=auth, verify_tls=authority.path, timeout=PATIENCE
        )
    )
    (tmp_path / key).unlink()
    with pytest.raises(AuthServiceUnavailable) as caught:
        client.introspect("a-token")

    assert "tls" == caught.value.reason
