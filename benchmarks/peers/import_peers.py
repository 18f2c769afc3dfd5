"""What it takes to have them, over having requests."""

from __future__ import annotations

from importlib import metadata

from benchmarks.findings import OURS, Result
from benchmarks.peers import rounds_asked_for, tell
from benchmarks.rows.import_time import ADAPTERS, BESIDE, IN_DJANGO, TOPIC, imported

FLOOR = "import requests"

OF_OURS = {
    "JWKSVerifier": "from tokenward import JWKSVerifier",
    "IntrospectionVerifier": "from tokenward import IntrospectionVerifier",
    # With what verifies, as the peers' have it: the adapters load it once it is configured.
    "its Flask adapter": "import tokenward.flask, tokenward.jwks",
    "its DRF adapter": f"{ADAPTERS['DRF']}, tokenward.jwks",
}

PEERS = {
    "PyJWT": "from jwt import PyJWKClient",
    "joserfc": "from joserfc import jwt, jwk",
    "auth-jwks": "from auth_jwks import JWKS",
    "clasp-jwt": "import clasp",
    "Authlib": "from authlib.integrations.flask_oauth2 import ResourceProtector",
    "Flask-JWT-Extended": "from flask_jwt_extended import JWTManager, jwt_required",
    "swarmauri_tokens_introspection": (
        "from swarmauri_tokens_introspection import IntrospectionTokenService"
    ),
    "django-oauth-toolkit": IN_DJANGO.format(
        apps=", 'rest_framework', 'oauth2_provider'",
        more="",
        statement="from oauth2_provider.contrib.rest_framework import OAuth2Authentication",
    ),
    "djangorestframework-simplejwt": IN_DJANGO.format(
        apps=", 'rest_framework', 'rest_framework_simplejwt'",
        more="",
        statement="from rest_framework_simplejwt.authentication import JWTAuthentication",
    ),
}


def main() -> None:
    """Time them all in turn."""
    _row, rounds = rounds_asked_for()
    needs = {f"{OURS}, {what}": statement for what, statement in OF_OURS.items()}
    for package, statement in PEERS.items():
        who = package.removeprefix("djangorestframework-").removesuffix("_tokens_introspection")
        needs[f"{who} {metadata.version(package)}"] = statement
    net = imported(needs | {FLOOR: FLOOR}, rounds=rounds)
    for name, statement in needs.items():
        tell(
            Result(
                f"import, {name}",
                net.over(name, FLOOR),
                f"x {FLOOR}",
                None,
                detail=f"{net[name] * 1e3:.0f} ms over {net[FLOOR] * 1e3:.0f} ms; "
                f"{statement.rpartition('; ')[2]}",
                by=name,
                topic=TOPIC,
                spread=net.spread(name, FLOOR),
                case=BESIDE,
            )
        )


if __name__ == "__main__":
    main()
