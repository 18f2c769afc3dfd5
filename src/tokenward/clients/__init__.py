"""How others authenticate to our endpoints (RFC 6749, section 2.3; RFC 7523, section 2.2).

``client_secret_basic`` is taken in both readings that are in use: form-encoded before base64, as
the RFC has it, and raw, as many clients send it. Whoever is refused, for whatever reason, gets the
same answer after the same work.

===============  ========================================================================
`client`         a client, as the configuration describes it
`shared_secret`  client_secret_basic and client_secret_post
`assertions`     private_key_jwt
`known`          the clients of one service, and the check that a request is from one
===============  ========================================================================
"""

from tokenward.clients.assertions import SIGNING_ALGORITHMS
from tokenward.clients.client import GRANT_TYPES, Client
from tokenward.clients.known import METHODS, Clients

__all__ = ["GRANT_TYPES", "METHODS", "SIGNING_ALGORITHMS", "Client", "Clients"]
