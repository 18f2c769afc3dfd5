"""What auth-jwks makes of tokens: their claims, or the name of what it raised."""

import asyncio
import json
import sys

import jwt
from auth_jwks import JWKS


async def main(settings):
    """Verify each token of the settings twice, the second time with the keys at hand."""
    keys = JWKS(
        settings["discovery_url"], aud=settings["audience"], issuer=settings["issuer"], timeout=90
    )
    said = {}
    for name, token in [*settings["tokens"].items()] * 2:
        try:
            said[name] = await keys.verify_token(token)
        except jwt.InvalidTokenError as error:
            said[name] = type(error).__name__
    await keys.close()
    return said


json.dump(asyncio.run(main(json.loads(sys.argv[1]))), sys.stdout)
