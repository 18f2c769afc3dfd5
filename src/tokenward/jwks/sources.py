"""Where a verifier's keys come from: exactly one of four places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypedDict

from tokenward import _jose
from tokenward._http import check_url
from tokenward.errors import ConfigurationError
from tokenward.jwks.pinned import PinnedKeySet
from tokenward.jwkset import FetchedKeySet
from tokenward.metadata import IssuerMetadata, check_issuer

if TYPE_CHECKING:
    from tokenward._jose import KeySet, Unverified
    from tokenward.jwkset import KeySnapshot
    from tokenward.protocols import Clock, Transport


class _NotWritten:
    def __repr__(self) -> str:
        return "not written"


NOT_WRITTEN: Final[Any] = _NotWritten()
"""Stands for an ``issuer`` that was left out, which is not the ``None`` that accepts any."""


class KeySource(Protocol):
    """What `FetchedKeySet` and `PinnedKeySet` have in common; see there."""

    @property
    def in_use(self) -> KeySet | None: ...  # noqa: D102 - described there
    @property
    def fresh_until(self) -> float: ...  # noqa: D102 - the same
    @property
    def known(self) -> KeySnapshot | None: ...  # noqa: D102 - the same
    def deadline(self) -> float: ...  # noqa: D102 - the same
    def snapshot(self, *, deadline: float | None = None) -> KeySnapshot: ...  # noqa: D102 - the same
    def refresh(self, *, deadline: float | None = None) -> KeySnapshot: ...  # noqa: D102 - the same
    def jwks(self) -> dict[str, Any]: ...  # noqa: D102 - the same
    def age(self) -> float | None: ...  # noqa: D102 - the same
    def verify(  # noqa: D102 - the same
        self,
        unverified: Unverified,
        algorithms: frozenset[str],
        *,
        deadline: float | None = None,
    ) -> KeySnapshot: ...


class FetchOptions(TypedDict):
    """How keys are fetched, as `FetchedKeySet` takes it."""

    transport: Transport
    timeout: float
    ttl: float
    refresh_ahead: float
    cooldown: float
    stale_for: float
    clock: Clock


class Places(NamedTuple):
    """Where keys may come from, as `JWKSVerifier` takes it; none: they are found by discovery."""

    discovery_url: str | None = None
    jwks_uri: str | None = None
    jwks: Mapping[str, Any] | str | None = None


class Source(NamedTuple):
    """Where keys come from.

    Attributes:
        keys: The keys.
        issuer: Whose tokens they verify; ``None``: anybody's.
        name: A configured name: the issuer, or else where the keys are.
    """

    keys: KeySource
    issuer: str | None
    name: str


def source_of(
    issuer: str | None,
    places: Places,
    *,
    algorithms: frozenset[str],
    verify_tls: bool | str,
    options: FetchOptions,
    fetched: Callable[[str, float], None],
) -> Source:
    """Return where the keys come from; for the arguments see `JWKSVerifier` and `FetchedKeySet`.

    Raises:
        ConfigurationError: They do not name exactly one place, or a place that must not be asked.
    """
    discovery_url, jwks_uri, jwks = places
    named = [name for name, value in places._asdict().items() if value is not None]
    if len(named) > 1:
        raise ConfigurationError(
            f"The keys come from one place: give one of {', '.join(named)}, not several."
        )
    symmetric = not algorithms <= _jose.ASYMMETRIC
    if symmetric and jwks is None:
        raise ConfigurationError(
            "HS* algorithms take a secret that is never fetched: give it as an 'oct' key in jwks."
        )
    if issuer is NOT_WRITTEN:
        if jwks is not None or jwks_uri is not None:
            raise ConfigurationError(
                f"Name the issuer whose tokens the keys of {named[0]} verify; or write issuer=None"
                " to accept what anybody signed with them."
            )
        issuer = None
    if issuer is not None and not _is_name(issuer):
        raise ConfigurationError(
            "issuer is one non-empty string: the 'iss' of the tokens, as it stands there."
        )
    if jwks is not None:
        return Source(PinnedKeySet(jwks, algorithms), issuer, issuer or "jwks")
    if jwks_uri is not None:
        check_url(jwks_uri, what="jwks_uri", verify_tls=verify_tls)
        keys = FetchedKeySet(jwks_uri, **options, fetched=fetched)
        return Source(keys, issuer, issuer or jwks_uri.partition("?")[0])
    if issuer is None and discovery_url is None:
        raise ConfigurationError(
            "Name the issuer, whose keys are found by discovery; or discovery_url, jwks_uri, jwks."
        )
    metadata = _metadata(issuer, discovery_url, verify_tls=verify_tls, options=options)

    def named_by_the_issuer(deadline: float) -> str:
        return metadata.jwks_uri(deadline=deadline)

    found = FetchedKeySet(named_by_the_issuer, **options, fetched=fetched)
    return Source(found, metadata.issuer, metadata.issuer)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _metadata(
    issuer: str | None,
    discovery_url: str | None,
    *,
    verify_tls: bool | str,
    options: FetchOptions,
) -> IssuerMetadata:
    if discovery_url is not None:
        check_url(discovery_url, what="discovery_url", verify_tls=verify_tls)
    if issuer is not None:
        check_issuer(issuer, verify_tls=verify_tls)
    return IssuerMetadata(
        issuer,
        discovery_url=discovery_url,
        transport=options["transport"],
        timeout=options["timeout"],
        clock=options["clock"],
    )
