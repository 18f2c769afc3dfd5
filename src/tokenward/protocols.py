"""The seams: what tokenward asks of a verifier, a transport, a cache, a clock.

Each is one or two methods. Implement one and hand it in; nothing here needs a subclass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.principal import Principal

Clock = Callable[[], float]
"""Returns seconds since the epoch."""


@runtime_checkable
class TokenVerifier(Protocol):
    """Turns a token into a `Principal`, or says why not.

    One that has nobody to ask for ``live`` decisions says so with an attribute
    ``serves_live = False``; without the attribute it is taken to have somebody. One that reads
    Django's database says so with ``thread_sensitive = True``: asked from an event loop, it is then
    called on the thread that those connections belong to.

    Two more members are optional; an `Authenticator` looks for them where a request presents
    nothing at all:

    - ``absent(headers, peer, /, *, live=False)`` returns the `Principal` who sends such a request,
      or ``None``: nobody. ``peer`` is the address of the other end of the connection, or ``None``.
    - ``absent_detail`` is a fixed text for the member ``detail`` of the answer to nobody.
    """

    def verify(self, token: str, /, *, live: bool = False) -> Principal:
        """Verify ``token``.

        Args:
            token: The credential itself, without a scheme.
            live: Take no cached decision; ask the issuer.

        Raises:
            InvalidToken: The token is refused.
            AuthServiceUnavailable: Nobody could decide.
        """
        ...


def serves_live(verifier: object) -> bool:
    """Tell whether a verifier can ask the issuer, as far as it says: see `TokenVerifier`."""
    return bool(getattr(verifier, "serves_live", True))


def thread_sensitive(verifier: object) -> bool:
    """Tell whether a verifier reads Django's database, as far as it says: see `TokenVerifier`."""
    return bool(getattr(verifier, "thread_sensitive", False))


def warm_up(verifier: object) -> bool:
    """Have a verifier fetch what it needs, if it has a method for it; tell whether it has it."""
    fetch: Callable[[], bool] | None = getattr(verifier, "warm_up", None)
    return True if fetch is None else fetch()


@runtime_checkable
class CachingVerifier(TokenVerifier, Protocol):
    """A verifier that can answer some tokens without any I/O."""

    def cached(self, token: str, /) -> Principal | None:
        """Return the cached decision, or ``None`` where I/O would be needed.

        Raises:
            InvalidToken: The cached decision is a refusal.
        """
        ...


class Headers(Protocol):
    """Request headers by name, in any case; a repeated header arrives comma-joined."""

    def get(self, name: str, /) -> str | None:
        """Return the header's value, or ``None`` when it is absent."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request that tokenward is about to send.

    Attributes:
        method: ``GET`` or ``POST``.
        url: Absolute; https, or http to a literal loopback address.
        headers: What is set beside the transport's own.
        form: Fields of an ``application/x-www-form-urlencoded`` body; ``None``: no form.
        cert: Paths of a client certificate and its key for mutual TLS (RFC 8705).
        json: Members of an ``application/json`` body; ``None``: no JSON.
        issuer: The issuer identifier of the server it goes to, where that is known: what a client
            assertion is addressed to (RFC 7523, section 3).
        again: Makes the request anew for a further attempt, where what it carries is taken once
            only; ``None``: it is repeated as it stands.

    Raises:
        ConfigurationError: Both a form and JSON: a request has one body.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    cert: tuple[str, str] | None = field(default=None, repr=False)
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    issuer: str | None = None
    again: Callable[[], Request] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.form is not None and self.json is not None:
            raise ConfigurationError("A request has one body: a form or JSON, not both.")

    def __repr__(self) -> str:
        # Headers and bodies hold secrets, tokens and passwords.
        return f"Request({self.method} {self.url})"


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer, read whole.

    Attributes:
        status: The status code, redirects included: none is followed.
        headers: Given in any case; names are kept in lower case.
        body: The decoded body.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        lowered = {name.lower(): value for name, value in self.headers.items()}
        object.__setattr__(self, "headers", lowered)


class Transport(Protocol):
    """Sends one HTTP request and reads the whole answer."""

    def send(self, request: Request, *, deadline: float) -> Response:
        """Send ``request``.

        Args:
            request: What to send.
            deadline: When to give up, on the ``time.monotonic()`` scale; it covers connecting,
                TLS, headers, body and retries together.

        Raises:
            AuthServiceUnavailable: For every failure; nothing else is raised.
        """
        ...

    def close(self) -> None:
        """Close idle connections; sending again opens new ones."""
        ...


class ClientAuth(Protocol):
    """How tokenward authenticates itself to an authorization server (RFC 6749, section 2.3).

    One that has a ``client_id`` shows it as an attribute. An attribute ``methods`` holds the names
    of RFC 8414 (``client_secret_basic``, …) under which a server may offer it; without the
    attribute, what a server says it offers is not compared.
    """

    def apply(self, request: Request, /) -> Request:
        """Return ``request`` with the client's credentials added."""
        ...


class SharedCache(Protocol):
    """A second cache level that many processes share.

    Values are sealed before they come here, under `secrets`. Every method may raise: that is a
    miss, and the cache is left alone for a while. One that has a method ``get_many(keys)``, which
    returns a value or ``None`` for each of several keys, is asked in one round trip.
    """

    @property
    def secrets(self) -> Sequence[str]:
        """The secrets that values are sealed under, newest first; at least 16 bytes each.

        Without the attribute nothing that one process writes can be read by another.
        """
        ...

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value, or ``None``."""
        ...

    def set(self, key: bytes, value: bytes, /, *, ttl: float) -> None:
        """Store ``value`` for ``ttl`` seconds."""
        ...

    def delete(self, key: bytes, /) -> None:
        """Forget ``key``."""
        ...


class RevocationBus(Protocol):
    """Tells every process that a token is revoked. Messages are sealed before they come here."""

    @property
    def secrets(self) -> Sequence[str]:
        """The secrets that messages are sealed under, newest first; at least 16 bytes each."""
        ...

    def publish(self, message: bytes, /) -> None:
        """Send ``message`` to all subscribers, this process included; may raise."""
        ...

    def subscribe(
        self, callback: Callable[[bytes], None], /, *, missed: Callable[[], None]
    ) -> Callable[[], None]:
        """Have ``callback`` called with each message, on a thread of the bus.

        Called once in every process that wants messages, and again after a fork. Returns at once,
        whether or not the bus can be reached.

        Args:
            callback: Gets a message; never raises.
            missed: Called whenever messages may have been missed: each time the subscription
                begins, the first time included, and each time it is lost. A bus that does not
                take it is taken to miss none.

        Returns:
            What ends the subscription.
        """
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth counting.

    Attributes:
        kind: ``verify``, ``upstream``, ``cache``, ``breaker`` or ``login``.
        verifier: The configured issuer or endpoint; never a value from a token.
        seconds: How long it took.
        outcome: Of ``verify`` and ``login``: ``ok``, a refusal's ``reason``, ``unavailable``, or
            ``interrupted`` where an exception of another kind ended it. Of ``upstream``: ``ok``, or
            why there is no answer, such as ``deadline``. Of ``cache``:
            ``LEVEL.EVENT``, with ``process.hit``, ``process.negative_hit``, ``process.miss``,
            ``process.stale``, ``process.evicted``, ``shared.hit``, ``shared.miss`` and
            ``shared.error``. Of ``breaker``: ``opened`` or ``closed``.
    """

    kind: str
    verifier: str
    seconds: float
    outcome: str


OnEvent = Callable[[Event], None]
"""Receives events; a failure in it changes nothing."""
