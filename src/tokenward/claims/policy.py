"""`ClaimsPolicy`: for us, for now, and an access token."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tokenward._log import OncePerMinute, shown
from tokenward.claims import hints
from tokenward.claims.kinds import (
    DEFAULT_TYPES,
    GENERIC_TYPES,
    full_type,
    refuse_other_kinds,
    wrong_type,
)
from tokenward.claims.reading import (
    CLIENT_CLAIMS,
    USERNAME_CLAIMS,
    scopes_of,
    strings_at,
    subject_of,
    text_at,
)
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidClaim,
    InvalidToken,
    TokenExpired,
)
from tokenward.principal import Principal, freeze, thaw

if TYPE_CHECKING:
    from tokenward.schemas import PublicUser

_logger = logging.getLogger("tokenward.claims")
_seldom = OncePerMinute(_logger)


class ClaimsPolicy:
    """What a token's claims must say.

    Args:
        audience: The audience, or several of which one must be named. ``None`` accepts any and
            must be written out.
        issuer: The issuer, or several; compared code point by code point. ``None`` accepts any.
        leeway: Seconds by which clocks may differ.
        required: Claims that must be there, beside the issuer and audience that are configured.
        token_types: The header ``typ`` values to accept, in any case; ``None``: anything that
            can be an access token.
        accept_id_tokens: Take ID tokens (OpenID Connect Core, section 2) beside access tokens.
        clients: The clients whose tokens are accepted, by ``client_id`` (RFC 9068, section 2.2),
            ``azp``, ``appid`` or ``cid``; empty: any client's. Where an issuer names no audience,
            they can stand for it.
        roles_claim: Where the roles are: a claim's name, or a dotted path; several are joined.
        check: Raises `InvalidClaim` for what only you know, or `AuthServiceUnavailable`. It gets
            the claims. Whatever else it raises refuses the token too.

    Raises:
        ConfigurationError: An argument cannot be what was meant.
    """

    def __init__(
        self,
        *,
        audience: str | Sequence[str] | None,
        issuer: str | Sequence[str] | None = None,
        leeway: float = 30,
        required: Collection[str] = (),
        token_types: Collection[str] | None = None,
        accept_id_tokens: bool = False,
        clients: Collection[str] = (),
        roles_claim: str | Sequence[str] = "roles",
        check: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.audience = _some_names(audience, "audience")
        self.issuer = _some_names(issuer, "issuer")
        if type(leeway) not in (int, float) or not 0 <= leeway < math.inf:
            msg = "leeway is a number of seconds, 0 or more"
            raise ConfigurationError(msg)
        self.leeway = leeway
        self.required = _some_names(required, "required", empty=True) or frozenset()
        types = _some_names(token_types, "token_types")
        self.token_types = None if types is None else frozenset(map(full_type, types))
        self.clients = _some_names(clients, "clients", empty=True) or frozenset()
        self.accept_id_tokens = accept_id_tokens
        self.roles_claims = _some_names(roles_claim, "roles_claim", empty=True) or frozenset()
        self.check = check

    def check_type(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
        """Refuse a JWT that is not an access token (RFC 8725, section 3.11; RFC 9068, section 4).

        Raises:
            InvalidToken: With the reason ``wrong_type``.
        """
        typ = header.get("typ")
        if typ is not None and not isinstance(typ, str):
            raise wrong_type("a string as header typ", typ)
        lowered = None if typ is None else typ.lower()
        if self.token_types is not None:
            if lowered is None or full_type(lowered) not in self.token_types:
                raise wrong_type(f"a header typ of {sorted(self.token_types)}", typ)
            if lowered not in GENERIC_TYPES:
                return
        elif lowered is not None and lowered not in DEFAULT_TYPES:
            raise wrong_type("a header typ of JWT or at+jwt", typ)
        refuse_other_kinds(claims, id_tokens=self.accept_id_tokens)

    def check_claims(self, claims: Mapping[str, Any], *, now: float) -> None:
        """Refuse claims that are not for us, or not for now.

        Args:
            claims: What the issuer said.
            now: Seconds since the epoch.

        Raises:
            TokenExpired: ``exp`` has passed.
            InvalidClaim: Another claim is missing or wrong.
        """
        self.check_registered(claims, now=now)
        self.check_own(claims)

    def check_registered(self, claims: Mapping[str, Any], *, now: float) -> None:
        """Do what `check_claims` does before it asks ``check``; costs nothing to ask early.

        A signed token is checked so before its signature is: one that is not for us is not worth
        a key fetch.
        """
        self._check_times(claims, now)
        if self.issuer is not None:
            self._check_issuer(claims.get("iss"))
        if self.audience is not None:
            self._check_audience(claims)
        if self.clients:
            self._check_client(text_at(claims, *CLIENT_CLAIMS))
        for name in self.required:
            if claims.get(name) is None:
                hint = f"the claim {name!r} is required and is missing"
                raise InvalidClaim(name, "present", None, hint, reason="claim_missing")
        if claims.get("cnf") is not None:
            hint = "the token is bound to a key (cnf), and this verifier cannot check the binding"
            raise InvalidClaim("cnf", None, claims["cnf"], hint, reason="sender_constrained")

    def check_own(self, claims: Mapping[str, Any]) -> None:
        """Ask ``check``; only about claims whose issuer is known to have said them.

        Raises:
            InvalidClaim: ``check`` refuses them.
            AuthServiceUnavailable: ``check`` cannot tell.
        """
        if self.check is not None:
            # Plain JSON, and a copy: the same from every verifier, not the principal's own.
            _run_check(self.check, thaw(claims))

    def principal(
        self,
        claims: Mapping[str, Any],
        *,
        issuer: str = "",
        user: PublicUser | None = None,
    ) -> Principal:
        """Return who checked claims speak for.

        Args:
            claims: Claims that `check_claims` passed.
            issuer: Stands in where the claims carry no ``iss``.
            user: The issuer's record of the user, where the verifier has it.

        Raises:
            InvalidToken: The claims name nobody.
        """
        client_id = text_at(claims, *CLIENT_CLAIMS)
        kind, subject = subject_of(claims, client_id)
        exp = claims.get("exp")
        verified = claims.get("email_verified")
        try:
            frozen = freeze(claims)
        except ValueError as error:
            raise InvalidToken(str(error), reason="malformed") from None
        return Principal(
            subject,
            issuer=text_at(claims, "iss") or issuer,
            kind=kind,
            scopes=scopes_of(claims),
            roles=self._roles(claims),
            client_id=client_id,
            username=text_at(claims, *USERNAME_CLAIMS),
            email=text_at(claims, "email"),
            email_verified=verified if isinstance(verified, bool) else None,
            expires_at=None if exp is None else int(exp),
            claims=frozen,
            user=user,
        )

    def _check_times(self, claims: Mapping[str, Any], now: float) -> None:
        exp = _seconds(claims, "exp")
        if exp is not None and now >= exp + self.leeway:
            late = now - exp
            hint = f"expired {late:.0f} s ago by this clock (leeway {self.leeway:g} s)"
            raise TokenExpired(hint + hints.of_expiry(late))
        nbf = _seconds(claims, "nbf")
        if nbf is not None and now + self.leeway < nbf:
            hint = f"becomes valid in {nbf - now:.0f} s by this clock; compare the clocks"
            raise InvalidClaim("nbf", now, nbf, hint, reason="not_yet_valid")
        iat = _seconds(claims, "iat")
        if iat is not None and now + self.leeway < iat:
            hint = f"issued {iat - now:.0f} s in the future by this clock; compare the clocks"
            raise InvalidClaim("iat", now, iat, hint, reason="issued_in_future")

    def _check_issuer(self, iss: object) -> None:
        expected = self.issuer or frozenset()
        if isinstance(iss, str) and iss in expected:
            return
        advice = hints.of_issuer(expected, iss)
        hint = _advised(f"expected the issuer {_listed(expected)}, got {shown(iss)}", advice)
        raise InvalidClaim("iss", sorted(expected), iss, hint, reason="unknown_issuer")

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        aud = claims.get("aud")
        expected = self.audience or frozenset()
        named: Sequence[str] | None = None
        if isinstance(aud, str):
            named = (aud,)
        elif isinstance(aud, list | tuple) and all(isinstance(a, str) for a in aud):
            named = aud
        if named is not None and not expected.isdisjoint(named):
            return
        if named is not None:
            hint = f"expected the audience {_listed(expected)}, got {shown(aud)}"
        elif aud is None:
            hint = f"expected the audience {_listed(expected)}, and there is no aud"
        else:
            hint = "aud is neither a string nor a list of strings"
        hint = _advised(hint, hints.of_audience(expected, claims))
        raise InvalidClaim("aud", sorted(expected), aud, hint, reason="audience_mismatch")

    def _check_client(self, client: str | None) -> None:
        if client not in self.clients:
            hint = f"expected a token issued to the client {_listed(self.clients)}, got "
            hint += "none that is named" if client is None else shown(client)
            raise InvalidClaim(
                "client_id", sorted(self.clients), client, hint, reason="client_mismatch"
            )

    def _roles(self, claims: Mapping[str, Any]) -> frozenset[str]:
        return frozenset([role for path in self.roles_claims for role in strings_at(claims, path)])


def _run_check(check: Callable[[Mapping[str, Any]], None], claims: Mapping[str, Any]) -> None:
    try:
        check(claims)
    except (InvalidToken, AuthServiceUnavailable):
        raise
    except Exception as error:  # noqa: BLE001 - user code; refusing is the safe reading
        name = type(error).__name__
        _seldom.log(logging.ERROR, ("check", name), "check= raised %s, not InvalidClaim", name)
        hint = f"the check given to the policy raised {name} instead of InvalidClaim"
        raise InvalidClaim("", None, None, hint, reason="check_failed") from None


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None or (type(value) is int and -_LATEST < value < _LATEST):
        return value
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return float(max(-_LATEST, min(value, _LATEST)))
    hint = f"{name} is not a number of seconds since the epoch"
    raise InvalidClaim(name, "a number", value, hint, reason="invalid_time")


_LATEST = 10**15
"""Beyond any date: an integer too large for a float is as good as this one."""


def _advised(hint: str, advice: str) -> str:
    return f"{hint}; {advice}" if advice else hint


def _listed(names: frozenset[str]) -> str:
    return " or ".join(repr(n) for n in sorted(names))


def _some_names(value: object, what: str, *, empty: bool = False) -> frozenset[str] | None:
    if value is None:
        return None
    names: Collection[object] = (value,)
    if isinstance(value, Collection) and not isinstance(value, str):
        names = value
    texts = [n for n in names if isinstance(n, str) and n]
    if len(texts) != len(names) or not (names or empty):
        msg = f"{what} must be one or more non-empty strings; write None to accept any"
        raise ConfigurationError(msg)
    return frozenset(texts)
