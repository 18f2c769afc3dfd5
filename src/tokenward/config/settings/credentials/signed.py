"""Entries of signed tokens: those of an issuer's published keys, and those of a shared secret.

What reads keys and metadata is imported where there are some: other entries need no cryptography.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tokenward._secrets import check_secret
from tokenward.config.settings.credentials.asked import LiveSection
from tokenward.config.settings.credentials.placed import PlacedEntry, VerifyingSection
from tokenward.config.settings.fields import (
    Audience,
    Count,
    CountOrNone,
    Flag,
    Names,
    OwnSecret,
    PositiveSeconds,
    Seconds,
    Section,
    SomeNames,
    VerifyTLS,
    WrittenIssuer,
    plain,
)

_HASH_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}


def _as_text(jwks: Any) -> Any:
    if not isinstance(jwks, Mapping):
        return jwks
    try:
        return json.dumps(plain(jwks))
    except (TypeError, ValueError, RecursionError):
        msg = 'a JWK Set is {"keys": [...]} of JSON values only, or its JSON text'
    raise ValueError(msg)


class FetchingSection(Section):
    """How an issuer's keys are fetched and kept, and what is verified with them."""

    ttl: PositiveSeconds = 900
    refresh_ahead: Seconds = 60
    cooldown: PositiveSeconds = 30
    stale_for: Seconds = 3_600
    timeout: PositiveSeconds = 5
    connect_timeout: PositiveSeconds = 2
    retries: CountOrNone = 1
    verify_tls: VerifyTLS = True
    proxies: dict[str, str] | None = Field(default=None, repr=False)
    max_token_bytes: Count = 16_384
    cache_entries: CountOrNone = 10_000


class _SignedEntry(PlacedEntry, VerifyingSection):
    """Tokens that are checked here, by their signature; see `JWKSVerifier`."""

    audience: Audience
    token_types: SomeNames | None = None
    accept_id_tokens: Flag = False
    clients: Names = ()
    required: Names = ("exp",)


class JWKSEntry(_SignedEntry, FetchingSection):
    """Tokens signed with keys that their issuer publishes; see `JWKSVerifier`.

    The keys come from one place: ``discovery_url``, ``jwks_uri``, ``jwks``, or where ``issuer``
    alone says that they are. With ``discovery_url`` alone, ``issuer`` is what stands before
    ``/.well-known/``. ``jwks`` is kept as JSON text.
    """

    type: Literal["jwks"]
    issuer: WrittenIssuer = None
    discovery_url: str | None = None
    jwks_uri: str | None = None
    jwks: Annotated[str, BeforeValidator(_as_text)] | None = Field(default=None, repr=False)
    algorithms: SomeNames = ("RS256", "ES256")
    live: LiveSection | None = None

    @model_validator(mode="before")
    @classmethod
    def _named_by_the_discovery_url(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "issuer" in data:
            return data
        url = data.get("discovery_url")
        if not isinstance(url, str):
            return data
        from tokenward.metadata.places import issuer_at  # noqa: PLC0415 - see above

        named = issuer_at(url)
        return {**data, "issuer": named} if named else data

    @field_validator("live", mode="before")
    @classmethod
    def _as_in_the_entry(cls, live: Any, around: ValidationInfo) -> Any:
        if not isinstance(live, Mapping):
            return live
        known = around.data
        return {name: known[name] for name in LiveSection.INHERITED if name in known} | dict(live)

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        named = [n for n in ("discovery_url", "jwks_uri", "jwks") if getattr(self, n) is not None]
        if len(named) > 1:
            msg = f"has {' and '.join(map(repr, named))}; the keys come from one place, keep one"
            raise ValueError(msg)
        if self.issuer is not None:
            return self
        written = "issuer" in self.model_fields_set
        if named and named != ["discovery_url"]:
            if written:
                return self
            msg = (
                f"says not whose tokens the keys of {named[0]!r} verify; write 'issuer', or None "
                "(in TOML: false) there to take what anybody signed with them"
            )
        elif named:
            msg = (
                "'discovery_url' is one issuer's: write its 'issuer', or a URL with /.well-known/ "
                "that says who it is"
            )
        elif written:
            msg = "'issuer' is None for nobody in particular, whose keys need 'jwks_uri' or 'jwks'"
        else:
            msg = (
                "says not where the keys are; write 'issuer', where they are discovered, or "
                "'discovery_url', 'jwks_uri' or 'jwks'"
            )
        raise ValueError(msg)


class SharedSecretEntry(_SignedEntry):
    """Tokens signed with a secret (HMAC) that somebody else has too.

    The key is the secret's UTF-8 bytes, as it is written.
    """

    type: Literal["shared_secret"]
    algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"
    secret: OwnSecret
    issuer: WrittenIssuer
    max_token_bytes: Count = 16_384
    cache_entries: CountOrNone = 10_000

    @field_validator("secret")
    @classmethod
    def _is_a_key(cls, secret: SecretStr, around: ValidationInfo) -> SecretStr:
        from tokenward import _jose  # noqa: PLC0415 - see above

        algorithm = around.data.get("algorithm", "HS256")
        text = secret.get_secret_value()
        try:
            length = len(text.encode())
        except UnicodeEncodeError:
            length = None
        if length is None:
            msg = "the secret is no UTF-8 text"
            raise ValueError(msg)
        needed = _HASH_BYTES[algorithm]
        if length < needed:
            msg = (
                f"the secret has {length} bytes and {algorithm} needs {needed} (RFC 7518, section "
                "3.2); make a new one with: python -c 'import secrets; "
                f"print(secrets.token_urlsafe({needed}))', and have the issuer sign with it"
            )
            raise ValueError(msg)
        check_secret(text, what="the secret")
        key_set = {"keys": [_jwk(text, algorithm)]}
        if _jose.parse_key_set(key_set, allow_symmetric=True).skipped:
            # Of what a secret can be refused for, all but this was looked at above.
            msg = (
                "the secret is a public key or a certificate, or a JWK, and whoever else has it "
                "could make tokens; write an entry of type 'jwks' with the 'issuer', whose "
                "published keys are then used, or with that key as its 'jwks'"
            )
            raise ValueError(msg)
        return secret

    def jwk(self) -> dict[str, str]:
        """Return the secret as a JWK (RFC 7518, section 6.4); it is not for showing."""
        return _jwk(self.secret.get_secret_value(), self.algorithm)


def _jwk(secret: str, algorithm: str) -> dict[str, str]:
    from tokenward import _jose  # noqa: PLC0415 - see above

    return {"kty": "oct", "alg": algorithm, "k": _jose.encode(secret.encode())}
