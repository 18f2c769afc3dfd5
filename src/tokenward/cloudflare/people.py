"""What is known of a person: from the assertion alone, and from the team's domain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from tokenward.errors import InvalidToken
from tokenward.principal import freeze

if TYPE_CHECKING:
    from tokenward.principal import Principal


@dataclass(frozen=True, slots=True)
class CloudflareUser:
    """A person, as the assertion has them.

    Attributes:
        sub: The person's identifier in the team.
        email: The address that the identity provider has verified.
        country: Where they signed in from, a code of two letters; ``None``: it does not say.
        exists_identity: Whether the team's domain knows more: see `Identity`.
    """

    sub: str
    email: str
    country: str | None = None
    exists_identity: bool = False

    @classmethod
    def of(cls, principal: Principal) -> Self:
        """Return the person that a principal is, such as the one of a request.

        Raises:
            InvalidToken: It is a service token, or has no e-mail address: with the reason
                ``wrong_type``.
        """
        if principal.kind != "user" or not principal.email:
            what = "a service token" if principal.kind == "service" else "no e-mail address"
            hint = (
                f"expected a person, got {what}; take the principal where service tokens may come, "
                "or keep them out with a policy of the Access application"
            )
            raise InvalidToken(hint, reason="wrong_type")
        country = principal.claims.get("country")
        return cls(
            principal.subject,
            principal.email,
            country if isinstance(country, str) and country else None,
            exists_identity=bool(principal.claims.get("identity_nonce")),
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """What the team's domain says of whoever signed in: the answer of ``get-identity``.

    What is missing there, or has another type, is ``None``. Mappings and lists are read-only.

    Attributes:
        email: The person's address.
        user_uuid: The person's identifier.
        account_id: The identifier of the Cloudflare account.
        iat: When they signed in, in seconds since the epoch.
        ip: Their address.
        auth_status: How a client certificate fared.
        common_name: The name in a client certificate, or a service token's.
        service_token_id: The client identifier of a service token.
        service_token_status: Whether one was used, as Cloudflare writes it.
        is_warp: Whether the device uses WARP.
        is_gateway: Whether it is enrolled in the team too.
        gateway_account_id: In which account.
        device_id: Which device it is.
        version: Of the answer's form.
        device_sessions: Their sessions, as Cloudflare writes them.
        idp: The identity provider: ``id`` and ``type``.
        geo: Where they signed in from.
        device_posture: The results of device checks.
        groups: The names of their groups at the identity provider.
        raw: The whole answer.
    """

    email: str | None = None
    user_uuid: str | None = None
    account_id: str | None = None
    iat: int | None = None
    ip: str | None = None
    auth_status: str | None = None
    common_name: str | None = None
    service_token_id: str | None = None
    service_token_status: bool | str | None = None
    is_warp: bool | None = None
    is_gateway: bool | None = None
    gateway_account_id: str | None = None
    device_id: str | None = None
    version: str | None = None
    device_sessions: Mapping[str, Any] | tuple[Any, ...] | None = None
    idp: Mapping[str, Any] | None = None
    geo: Mapping[str, Any] | str | None = None
    device_posture: Mapping[str, Any] | None = None
    groups: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        # Nothing else: a repr lands in logs, and the rest is about people and their devices.
        return f"Identity(email={self.email!r}, user_uuid={self.user_uuid!r})"

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Return what an answer of ``get-identity`` says, whatever it holds.

        Raises:
            ValueError: It is nested too deeply.
        """
        raw = freeze(answer)
        return cls(
            email=_text(raw.get("email")),
            user_uuid=_text(raw.get("user_uuid")),
            account_id=_text(raw.get("account_id")),
            iat=_whole(raw.get("iat")),
            ip=_text(raw.get("ip")),
            auth_status=_text(raw.get("auth_status")),
            common_name=_text(raw.get("common_name")) or _text(raw.get("cn")),
            service_token_id=_text(raw.get("service_token_id")),
            service_token_status=_one_of(raw.get("service_token_status"), bool, str),
            is_warp=_one_of(raw.get("is_warp"), bool),
            is_gateway=_one_of(raw.get("is_gateway"), bool),
            gateway_account_id=_text(raw.get("gateway_account_id")),
            device_id=_text(raw.get("device_id")),
            version=_text(raw.get("version")) or _digits(raw.get("version")),
            device_sessions=_one_of(raw.get("device_sessions"), Mapping, tuple),
            idp=_one_of(raw.get("idp"), Mapping),
            geo=_one_of(raw.get("geo"), Mapping, str),
            device_posture=_one_of(raw.get("devicePosture"), Mapping),
            groups=_names(raw.get("groups")),
            raw=raw,
        )


def _one_of(value: Any, *kinds: type) -> Any:
    return value if isinstance(value, kinds) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: Any) -> int | None:
    if type(value) is int:
        return value
    return int(value) if isinstance(value, float) and math.isfinite(value) else None


def _digits(value: Any) -> str | None:
    number = _whole(value)
    return None if number is None else str(number)


def _names(groups: Any) -> tuple[str, ...]:
    # Strings, or objects with a name, as the identity provider has them.
    if not isinstance(groups, tuple):
        return ()
    named = (group.get("name") if isinstance(group, Mapping) else group for group in groups)
    return tuple(dict.fromkeys(name for name in named if isinstance(name, str) and name))
