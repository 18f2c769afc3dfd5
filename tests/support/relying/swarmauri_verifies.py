"""What swarmauri-tokens-introspection makes of tokens: their claims, or what it raised."""

import asyncio
import json
import sys

import httpx
from swarmauri_tokens_introspection import IntrospectionTokenService


async def main(settings):
    """Verify each token of the settings as each client, and read the keys."""
    said = {}
    for client_auth, client in settings["clients"].items():
        service = IntrospectionTokenService(
            settings["introspection_endpoint"],
            client_auth=client_auth,
            client_id=client["client_id"],
            client_secret=client["client_secret"],
            default_issuer=settings["issuer"],
            timeout_s=90,
            jwks_url=settings["jwks_uri"],
        )
        said[client_auth] = {}
        for name, token in settings["tokens"].items():
            try:
                claims = await service.verify(token, audience=settings["audience"])
            except (ValueError, httpx.HTTPError) as error:
                claims = str(error)
            said[client_auth][name] = claims
        said[client_auth]["keys"] = await service.jwks()
        await service.aclose()
    return said


json.dump(asyncio.run(main(json.loads(sys.argv[1]))), sys.stdout)
