"""Our auth service, used by clients that nobody here wrote: PyJWT and Authlib, over a socket."""

import secrets
import socket
import threading

import jwt
import pytest
import requests
import waitress.server
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6750.errors import InvalidTokenError
from authlib.oauth2.rfc7662 import IntrospectTokenValidator
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc.jwk import KeySet
from waitress import wasyncore

from tokenward.clients import Client
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.service import AuthService
from tokenward.wsgi import auth_service_app

PASSWORD = "correct horse battery"
PLAIN_SECRET = secrets.token_urlsafe(32)
ODD_SECRET = "9f8a+77e1/quartz:100%25 =&"
CREDENTIALS = {"username": "alice", "password": PASSWORD}


@pytest.fixture(scope="module", params=["", "/auth"])
def issuer(request):
    """A running service at the root of a server, and one below a path."""
    listener = socket.create_server(("127.0.0.1", 0))
    issuer = f"http://127.0.0.1:{listener.getsockname()[1]}{request.param}"
    stores = open_repositories("memory://", bcrypt_cost=4)
    service = AuthService(
        stores.users,
        keys=KeyRing.generate(),
        tokens=stores.tokens,
        issuer=issuer,
        audience="orders",
        clients=[Client("orders", PLAIN_SECRET), Client("odd one", ODD_SECRET)],
    )
    service.create_user("alice", email="a@example.com", password=PASSWORD, roles=["editor"])
    channels = {}
    server = waitress.server.create_server(
        auth_service_app(service), map=channels, sockets=[listener], threads=2
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    yield issuer
    server.trigger.pull_trigger(lambda: wasyncore.close_all(channels))
    thread.join()
    server.task_dispatcher.shutdown()
    listener.close()


@pytest.fixture
def token(issuer):
    answer = requests.post(f"{issuer}/login", json=CREDENTIALS, timeout=90)
    return answer.json()["access_token"]


@pytest.fixture
def metadata(issuer):
    """What Authlib's idea of the well-known URL leads to."""
    return requests.get(get_well_known_url(issuer, external=True), timeout=90).json()


def log_out(issuer, token):
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.post(f"{issuer}/logout", headers=headers, timeout=90).status_code == 200


class TestPyJWT:
    def test_verifies_our_token_by_our_published_key(self, issuer, metadata, token):
        """By the kid, from the JWK Set, with every check that PyJWT knows."""
        key = jwt.PyJWKClient(metadata["jwks_uri"]).get_signing_key_from_jwt(token)
        claims = jwt.decode(
            token,
            key,
            algorithms=["ES256"],
            audience="orders",
            issuer=issuer,
            options={
                "require": ["exp", "iat", "iss", "aud", "sub", "jti", "client_id"],
                "strict_aud": True,
            },
        )
        assert (claims["iss"], claims["roles"]) == (issuer, ["editor"])

    def test_refuses_it_for_another_audience(self, issuer, metadata, token):
        """And says why."""
        key = jwt.PyJWKClient(metadata["jwks_uri"]).get_signing_key_from_jwt(token)
        with pytest.raises(jwt.InvalidAudienceError):
            jwt.decode(token, key, algorithms=["ES256"], audience="stock", issuer=issuer)


class TestAuthlib:
    @pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
    @pytest.mark.parametrize("client", [("orders", PLAIN_SECRET), ("odd one", ODD_SECRET)])
    def test_introspects(self, issuer, metadata, token, method, client):
        """RFC 7662 by either method of client authentication, with secrets that need encoding."""
        with OAuth2Session(*client, token_endpoint_auth_method=method) as session:
            ask = metadata["introspection_endpoint"]
            answer = session.introspect_token(ask, token=token).json()
            assert (answer["active"], answer["username"]) == (True, "alice")
            log_out(issuer, token)
            assert session.introspect_token(ask, token=token).json() == {"active": False}

    def test_wrong_secret_is_refused(self, metadata, token):
        """Nothing is said about the token."""
        with OAuth2Session("orders", "wrong") as session:
            answer = session.introspect_token(metadata["introspection_endpoint"], token=token)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")

    def test_resource_server_accepts_by_introspection(self, issuer, metadata, token):
        """Its RFC 7662 validator takes our answers as they are."""

        class Validator(IntrospectTokenValidator):
            def introspect_token(self, token_string):
                form = {"token": token_string}
                auth = ("orders", PLAIN_SECRET)
                ask = metadata["introspection_endpoint"]
                return requests.post(ask, data=form, auth=auth, timeout=90).json()

        validator = Validator()
        validator.validate_token(validator.authenticate_token(token), [], None)
        log_out(issuer, token)
        with pytest.raises(InvalidTokenError):
            validator.validate_token(validator.authenticate_token(token), [], None)

    def test_resource_server_accepts_by_signature(self, issuer, metadata, token):
        """Its RFC 9068 validator finds every required claim and the right type."""

        class Validator(JWTBearerTokenValidator):
            def get_jwks(self):
                document = requests.get(metadata["jwks_uri"], timeout=90).json()
                return KeySet.import_key_set(document)

        validator = Validator(issuer=issuer, resource_server="orders")
        claims = validator.authenticate_token(token)
        validator.validate_token(claims, [], None, roles=["editor"])
        assert claims.header["typ"] == "at+jwt"

    def test_metadata_is_valid_where_it_says_something(self, issuer, metadata):
        """RFC 8414, section 2, member by member."""
        document = AuthorizationServerMetadata(metadata)
        document.validate_introspection_endpoint()
        document.validate_introspection_endpoint_auth_methods_supported()
        assert document.issuer == issuer
