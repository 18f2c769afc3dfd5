"""A guarded application as one server of a fleet: it says who asks, and which process answers."""

import os

from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.client_auth import ClientSecretBasic
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.redis_cache import RedisRevocationBus, RedisSharedCache
from tokenward.wsgi import PRINCIPAL, AuthMiddleware

CLIENT_ID = "orders"
SECRETS = ["2f1d-0b77-sealing-of-this-fleet"]
LONG = 3_600  # seconds: nothing ends by itself
PATIENCE = 60  # seconds for an answer, on a machine that does other things too


def make_verifier(endpoint, redis_url, client_secret):
    """Return a verifier that shares its answers, and hears of revocations."""
    client = IntrospectionClient(
        endpoint, client_auth=ClientSecretBasic(CLIENT_ID, client_secret), timeout=PATIENCE
    )
    return IntrospectionVerifier(
        client,
        audience=CLIENT_ID,
        ttl=LONG,
        negative_ttl=LONG,
        shared_cache=RedisSharedCache(redis_url, secrets=SECRETS, timeout=PATIENCE),
        revocation_bus=RedisRevocationBus(redis_url, secrets=SECRETS, timeout=PATIENCE),
    )


def make_app():
    """Return the application, as gunicorn calls for it.

    It has verified a token by then: with ``--preload``, before the processes part.
    """
    verifier = make_verifier(
        os.environ["FLEET_ENDPOINT"], os.environ["FLEET_REDIS"], os.environ["FLEET_SECRET"]
    )
    verifier.verify(os.environ["FLEET_TOKEN"])

    def whoami(environ, start_response):
        said = environ[PRINCIPAL].subject.encode()
        start_response("200 OK", [("Content-Length", str(len(said)))])
        return [said]

    credential = Credential(authorization(), verifier, ambient=False)
    return named(AuthMiddleware(whoami, Authenticator(credential, default_access="deny")))


def named(app):
    """Have every answer say which process it comes from."""

    def with_name(environ, start_response):
        def start(status, headers, *more):
            return start_response(status, [*headers, ("X-Worker", str(os.getpid()))], *more)

        return app(environ, start)

    return with_name
