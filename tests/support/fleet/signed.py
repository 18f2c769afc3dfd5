"""The same application for signed tokens: it keeps the issuer's keys, and hears of revocations."""

import os

from fleet.guarded import CLIENT_ID, LONG, PATIENCE, SECRETS, named

from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.jwks import JWKSVerifier
from tokenward.redis_cache import RedisRevocationBus
from tokenward.wsgi import PRINCIPAL, AuthMiddleware


def make_app():
    """Return the application, as gunicorn calls for it.

    It has the keys by then: with ``--preload``, before the processes part.
    """
    bus = RedisRevocationBus(os.environ["FLEET_REDIS"], secrets=SECRETS, timeout=PATIENCE)
    verifier = JWKSVerifier(
        os.environ["FLEET_ISSUER"],
        audience=CLIENT_ID,
        token_types=("at+jwt",),
        ttl=LONG,
        timeout=PATIENCE,
        revocation_bus=bus,
    )
    assert verifier.warm_up()

    def whoami(environ, start_response):
        said = environ[PRINCIPAL].subject.encode()
        start_response("200 OK", [("Content-Length", str(len(said)))])
        return [said]

    credential = Credential(authorization(), verifier, ambient=False)
    return named(AuthMiddleware(whoami, Authenticator(credential, default_access="deny")))
