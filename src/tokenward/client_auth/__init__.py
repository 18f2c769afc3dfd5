"""How tokenward authenticates itself to an authorization server (RFC 6749, section 2.3).

Each is a `tokenward.protocols.ClientAuth`: ``apply(request)`` returns the request with the
credentials added and leaves its argument as it was. What they hold is in no ``repr`` and is never
pickled.

=================== ==========================================================================
`ClientSecretBasic` the client's secret in an ``Authorization: Basic`` header
`ClientSecretPost`  the client's secret in the form
`PrivateKeyJWT`     a short-lived assertion, signed with a private key (RFC 7523)
`MutualTLS`         a certificate (RFC 8705)
`BearerAuth`        an access token of our own
=================== ==========================================================================

`ClientCredentials` is where such a token comes from, and sends it with requests as well.
"""

from __future__ import annotations

from importlib import import_module

from tokenward.client_auth.credentials import (
    BearerAuth,
    ClientSecretBasic,
    ClientSecretPost,
    authenticated,
)
from tokenward.client_auth.mutual_tls import MutualTLS, check_endpoint

TYPE_CHECKING = False

__all__ = [
    "BearerAuth",
    "ClientCredentials",
    "ClientSecretBasic",
    "ClientSecretPost",
    "MutualTLS",
    "PrivateKeyJWT",
    "authenticated",
    "check_endpoint",
]

if TYPE_CHECKING:
    from tokenward.client_auth.client_credentials import ClientCredentials
    from tokenward.client_auth.private_key_jwt import PrivateKeyJWT
else:
    # These two need cryptography and requests; whoever sends a secret needs neither.
    _HOME_OF = {
        "ClientCredentials": "tokenward.client_auth.client_credentials",
        "PrivateKeyJWT": "tokenward.client_auth.private_key_jwt",
    }

    def __getattr__(name: str) -> object:
        if name not in _HOME_OF:
            msg = f"module 'tokenward.client_auth' has no attribute {name!r}"
            raise AttributeError(msg)
        value = getattr(import_module(_HOME_OF[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
