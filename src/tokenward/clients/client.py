"""A client, as the configuration describes it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from tokenward import _jose
from tokenward._log import shown
from tokenward._secrets import check_secret
from tokenward.bearer import check_scopes
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward._jose import KeySet

GRANT_TYPES: Final = ("client_credentials", "refresh_token")
"""What a client may be granted tokens for (RFC 6749, sections 4.4 and 6)."""

# RFC 6749, appendix A.1.
_client_id = re.compile(r"[\x20-\x7e]+").fullmatch


@dataclass(frozen=True, slots=True)
class Client:
    """A program that may use our endpoints in its own name.

    Attributes:
        client_id: Printable ASCII.
        client_secret: What it authenticates with; in no ``repr``, comparison or pickle. ``None``:
            by ``jwks`` alone.
        scopes: What its own tokens may grant.
        grants: The grant types it may use: ``client_credentials``, ``refresh_token``.
        audiences: The audiences whose tokens it may ask about; ``None``: the service's own.
        access_token_lifetime: Seconds for which a token is good that a login hands to this client,
            and what its ``expires_in`` says (RFC 6749, section 5.1); ``None``: as long as the
            service's other tokens. Meant for a confidential client that keeps the token to itself,
            such as a site that signs its staff in and holds their tokens on its server.
        token_audiences: Whom its own tokens may be for; ``None``: the service's own audience.
        jwks: Its public keys as a JWK Set (RFC 7517, section 5), for ``private_key_jwt``: RSA, EC
            or OKP.
        key_set: ``jwks`` as it was read; ``None`` without.

    Raises:
        ConfigurationError: There is neither a secret nor a key; the id is not printable ASCII; the
            secret is too easy to guess; an entry of ``jwks`` is not a public key for signatures; a
            scope or a grant type is none; or the lifetime is not a number of whole seconds.
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False, compare=False)
    scopes: frozenset[str] = frozenset()
    grants: frozenset[str] = frozenset()
    audiences: frozenset[str] | None = None
    access_token_lifetime: int | None = None
    token_audiences: frozenset[str] | None = None
    jwks: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    key_set: KeySet | None = field(init=False, default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _client_id(self.client_id):
            raise ConfigurationError("A client_id is one or more printable ASCII characters.")
        if self.client_secret is None and self.jwks is None:
            raise ConfigurationError(
                f"The client {self.client_id!r} has nothing to authenticate with; give it a "
                "client_secret, or its public keys as jwks."
            )
        if self.client_secret is not None:
            check_secret(self.client_secret, what=f"the client_secret of {self.client_id!r}")
        if self.jwks is not None:
            what = f"The jwks of the client {self.client_id!r}"
            object.__setattr__(self, "key_set", read_jwks(self.jwks, what=what))
        lifetime = self.access_token_lifetime
        if lifetime is not None and (type(lifetime) is not int or lifetime < 1):
            raise ConfigurationError(
                f"access_token_lifetime of {self.client_id!r} is a number of whole seconds, at "
                "least 1; leave it out for the service's own."
            )
        for name in ("scopes", "grants", "audiences", "token_audiences"):
            value: Iterable[str] | None = getattr(self, name)
            if isinstance(value, str):
                raise ConfigurationError(f"{name} of a client is a collection of strings.")
            object.__setattr__(self, name, None if value is None else frozenset(value))
        check_scopes(self.scopes)
        if unknown := sorted(self.grants - set(GRANT_TYPES)):
            raise ConfigurationError(
                f"The client {self.client_id!r} has the grants {shown(unknown)}; choose from "
                f"{', '.join(GRANT_TYPES)}."
            )

    def __reduce__(self) -> NoReturn:
        msg = "a Client holds a secret and is not pickled; build it again where it is needed"
        raise TypeError(msg)


def read_jwks(jwks: Mapping[str, Any], *, what: str) -> KeySet:
    """Return a client's public keys.

    Args:
        jwks: The JWK Set that was configured.
        what: What it is, as the message begins: whose, or a setting's path.

    Raises:
        ConfigurationError: It is no JWK Set, is empty, has an entry that is not a public key for
            signatures, or two keys of one ``kid`` that the same assertion could mean.
    """
    try:
        key_set = _jose.parse_key_set(jwks)
    except _jose.JWKError as error:
        raise ConfigurationError(f"{what}: {error}.") from None
    for skipped in key_set.skipped:
        raise ConfigurationError(f"{what}: keys[{skipped.position}]: {skipped.reason}.")
    if not key_set.keys:
        raise ConfigurationError(f"{what} has no keys.")
    meant = Counter((key.kid, alg) for key in key_set.keys for alg in key.algorithms if key.kid)
    for (kid, alg), count in meant.items():
        if count > 1:
            raise ConfigurationError(
                f"{what} has {count} keys for {alg} with the kid {shown(kid)!r}; give each its own."
            )
    return key_set
