"""`Principal`: who a verified token speaks for, as a value that cannot be changed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from tokenward._log import shown
from tokenward.errors import InsufficientScope, NotAuthenticated

if TYPE_CHECKING:
    from tokenward.schemas import PublicUser

_MAX_DEPTH = 64
_LEAVES = frozenset({str, int, float, bool, type(None)})


class FrozenClaims(dict[str, Any]):
    """A ``dict`` that cannot be changed, so that ``json.dumps`` and ``jsonify`` still take it."""

    __slots__ = ()

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        msg = "claims are read-only: they are shared by every request that bears this token"
        raise TypeError(msg)

    __setitem__ = _refuse
    __delitem__ = _refuse
    __ior__ = _refuse
    clear = _refuse
    pop = _refuse
    popitem = _refuse
    setdefault = _refuse
    update = _refuse

    def __copy__(self) -> FrozenClaims:
        return self

    def __deepcopy__(self, _memo: object) -> FrozenClaims:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (FrozenClaims, (dict(self),))


def freeze(value: Any, *, _depth: int = 0) -> Any:
    """Return a deeply read-only copy: mappings become `FrozenClaims`, lists become tuples."""
    # Exact types first: asking an abstract class about each leaf is most of a freeze, and a call
    # for each leaf most of the rest.
    if type(value) in _LEAVES or isinstance(value, FrozenClaims):
        return value
    if _depth > _MAX_DEPTH:
        msg = f"claims are nested deeper than {_MAX_DEPTH} levels"
        raise ValueError(msg)
    if isinstance(value, dict | Mapping):
        # Names repeat in every token; interned, thousands of cached claims share them.
        return FrozenClaims(
            {
                sys.intern(k) if type(k) is str else k: (
                    v if type(v) in _LEAVES else freeze(v, _depth=_depth + 1)
                )
                for k, v in value.items()
            }
        )
    if isinstance(value, list | tuple):
        return tuple([v if type(v) in _LEAVES else freeze(v, _depth=_depth + 1) for v in value])
    if isinstance(value, set | frozenset):
        return frozenset(freeze(v, _depth=_depth + 1) for v in value)
    return value


def thaw(value: Any) -> Any:
    """Return a plain, mutable copy in JSON's types; sets become sorted lists."""
    if isinstance(value, Mapping):
        return {k: thaw(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((thaw(v) for v in value), key=str)
    return value


def _escape(part: str) -> str:
    return part.replace("%", "%25").replace("|", "%7C")


def _names(value: Iterable[str], what: str) -> frozenset[str]:
    if isinstance(value, str):
        msg = f"{what} takes a collection of strings, not one string; write {{{value!r}}}"
        raise TypeError(msg)
    return frozenset(value)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a verified token speaks for: deeply frozen, shared between threads out of a cache.

    Two principals are equal when every field is; the hash is that of the identity,
    ``(issuer, subject)``. Identity is never a username or an e-mail address.

    Attributes:
        subject: ``sub``; or ``client:…``, ``service:…``, ``username:…`` where there is none.
        issuer: ``iss``; or the configured issuer or endpoint where the answer carries none.
        kind: ``"user"``, ``"client"`` (a program for itself) or ``"service"`` (Cloudflare).
        scopes: What the token may be used for (RFC 6749, section 3.3).
        roles: What the person is; from the claim that ``roles_claim`` names.
        client_id: The client the token was issued to (RFC 8693, section 4.3).
        username: A name to show; not an identity.
        email: As the issuer asserts it.
        email_verified: As the issuer asserts it; ``None`` when it says nothing.
        expires_at: ``exp``, in seconds since the epoch.
        claims: Everything that was verified, deeply read-only.
        user: The issuer's user record, where the verifier has it.
    """

    subject: str
    _: KW_ONLY
    issuer: str = ""
    kind: Literal["user", "client", "service"] = "user"
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    client_id: str | None = None
    username: str | None = None
    email: str | None = None
    email_verified: bool | None = None
    expires_at: int | None = None
    claims: Mapping[str, Any] = field(default_factory=FrozenClaims)
    user: PublicUser | None = None

    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False

    def __post_init__(self) -> None:
        # Verifiers hand over what is frozen already.
        if type(self.scopes) is not frozenset:
            object.__setattr__(self, "scopes", _names(self.scopes, "scopes"))
        if type(self.roles) is not frozenset:
            object.__setattr__(self, "roles", _names(self.roles, "roles"))
        if type(self.claims) is not FrozenClaims:
            object.__setattr__(self, "claims", freeze(self.claims))

    def __hash__(self) -> int:
        return hash((self.issuer, self.subject))

    def __repr__(self) -> str:
        # Nothing else: a repr lands in logs, and claims are other people's data.
        return (
            f"{type(self).__name__}"
            f"(kind={self.kind!r}, issuer={self.issuer!r}, subject={self.subject!r})"
        )

    @property
    def key(self) -> str:
        """``"issuer|subject"`` with ``|`` and ``%`` escaped: one string for a row or a limiter."""
        return f"{_escape(self.issuer)}|{_escape(self.subject)}"

    def has_scopes(self, *scopes: str) -> bool:
        """Tell whether every one of ``scopes`` is granted."""
        return self.scopes.issuperset(scopes)

    def has_any_scope(self, *scopes: str) -> bool:
        """Tell whether at least one of ``scopes`` is granted."""
        return not self.scopes.isdisjoint(scopes)

    def has_roles(self, *roles: str) -> bool:
        """Tell whether the subject holds every one of ``roles``."""
        return self.roles.issuperset(roles)

    def has_any_role(self, *roles: str) -> bool:
        """Tell whether the subject holds at least one of ``roles``."""
        return not self.roles.isdisjoint(roles)

    def require_scopes(self, *scopes: str) -> None:
        """Raise `InsufficientScope` unless every one of ``scopes`` is granted."""
        if not self.has_scopes(*scopes):
            raise InsufficientScope(scopes, self._lacks("every scope of", scopes, self.scopes))

    def require_any_scope(self, *scopes: str) -> None:
        """Raise `InsufficientScope` unless at least one of ``scopes`` is granted."""
        if not self.has_any_scope(*scopes):
            raise InsufficientScope(scopes, self._lacks("a scope of", scopes, self.scopes))

    def require_roles(self, *roles: str) -> None:
        """Raise `InsufficientScope` unless the subject holds every one of ``roles``."""
        if not self.has_roles(*roles):
            hint = self._lacks("every role of", roles, self.roles)
            raise InsufficientScope((), hint, reason="insufficient_role")

    def require_any_role(self, *roles: str) -> None:
        """Raise `InsufficientScope` unless the subject holds at least one of ``roles``."""
        if not self.has_any_role(*roles):
            hint = self._lacks("a role of", roles, self.roles)
            raise InsufficientScope((), hint, reason="insufficient_role")

    def to_dict(self) -> dict[str, Any]:
        """Return every field as plain JSON types, sets sorted."""
        return {
            "subject": self.subject,
            "issuer": self.issuer,
            "kind": self.kind,
            "scopes": sorted(self.scopes),
            "roles": sorted(self.roles),
            "client_id": self.client_id,
            "username": self.username,
            "email": self.email,
            "email_verified": self.email_verified,
            "expires_at": self.expires_at,
            "claims": thaw(self.claims),
            "user": None if self.user is None else self.user.model_dump(mode="json"),
        }

    def _lacks(self, what: str, needed: Iterable[str], held: frozenset[str]) -> str:
        return f"needs {what} {sorted(needed)}, holds {shown(sorted(held))}"


class _Anonymous(Principal):
    """Nobody (the same surface, nothing granted)."""

    __slots__ = ()

    is_authenticated: ClassVar[bool] = False
    is_anonymous: ClassVar[bool] = True

    def __reduce__(self) -> str:
        return "ANONYMOUS"

    def _nothing(self, *_names: str) -> bool:
        return False

    has_scopes = has_any_scope = has_roles = has_any_role = _nothing

    def _lacks(self, what: str, needed: Iterable[str], held: frozenset[str]) -> str:
        del what, needed, held
        raise NotAuthenticated


ANONYMOUS: Principal = _Anonymous("")
