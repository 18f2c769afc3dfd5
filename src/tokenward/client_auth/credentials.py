"""A client's secret by Basic or in the form (RFC 6749, section 2.3.1), or a bearer token."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, NoReturn
from urllib.parse import quote_plus

from tokenward._log import OncePerMinute
from tokenward.errors import AuthServiceUnavailable, ConfigurationError

if TYPE_CHECKING:
    from tokenward.protocols import ClientAuth, Request

# RFC 6749, appendix A.1 and A.2, and beyond ASCII what appendix B encodes: anything but controls.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# RFC 6750, section 2.1.
B64TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")

# Enough to tell tokens apart, and too little to be one.
_DIGEST_DIGITS: Final = 16

_seldom = OncePerMinute(logging.getLogger("tokenward.client_auth"))


class Secretive:
    """Something that holds a secret, and is in no pickle."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        msg = f"{type(self).__name__} holds a secret and is not pickled: make one in each process"
        raise TypeError(msg)


class ClientSecretBasic(Secretive):
    """HTTP Basic with the client's identifier and secret (RFC 6749, section 2.3.1).

    Args:
        client_id: The client identifier.
        client_secret: The client secret.
        encoding: ``form`` encodes both as the RFC demands; ``raw`` is for a server that compares
            what it gets without decoding it.

    Raises:
        ConfigurationError: Either is empty, not a string or holds control characters, or a raw
            ``client_id`` holds a colon.
    """

    __slots__ = ("_authorization", "client_id")
    methods: Final = ("client_secret_basic",)

    def __init__(
        self, client_id: str, client_secret: str, *, encoding: Literal["form", "raw"] = "form"
    ) -> None:
        self.client_id = checked(client_id, "client_id")
        checked(client_secret, "client_secret")
        if encoding == "form":
            pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
        elif encoding != "raw":
            raise ConfigurationError('encoding is "form" (RFC 6749) or "raw".')
        elif ":" in client_id:
            raise ConfigurationError(
                'A client_id with a colon cannot be sent raw; use encoding="form".'
            )
        else:
            pair = f"{client_id}:{client_secret}"
        self._authorization = "Basic " + b64encode(pair.encode()).decode("ascii")

    def apply(self, request: Request, /) -> Request:
        """Return ``request`` with an ``Authorization: Basic`` header."""
        return replace(request, headers={**request.headers, "Authorization": self._authorization})

    def __repr__(self) -> str:
        return f"ClientSecretBasic({self.client_id!r})"


class ClientSecretPost(Secretive):
    """The client's identifier and secret as form fields (RFC 6749, section 2.3.1).

    Args:
        client_id: The client identifier.
        client_secret: The client secret.

    Raises:
        ConfigurationError: Either is empty, not a string or holds control characters.
    """

    __slots__ = ("_fields", "client_id")
    methods: Final = ("client_secret_post",)

    def __init__(self, client_id: str, client_secret: str) -> None:
        self.client_id = checked(client_id, "client_id")
        self._fields = {
            "client_id": client_id,
            "client_secret": checked(client_secret, "client_secret"),
        }

    def apply(self, request: Request, /) -> Request:
        """Return ``request`` with ``client_id`` and ``client_secret`` in its form."""
        return replace(request, form={**(request.form or {}), **self._fields})

    def __repr__(self) -> str:
        return f"ClientSecretPost({self.client_id!r})"


class BearerAuth(Secretive):
    """An access token of our own (RFC 7662, section 2.1; RFC 6750, section 2.1).

    Args:
        token: The token, or a callable that returns it and is called for every request, such as
            `ClientCredentials`. One that has an ``invalidate(token)`` is told of a refused token,
            and one that has a ``client_id`` says whose tokens it returns.

    Raises:
        ConfigurationError: The token is not one or more of the characters that RFC 6750 allows.
    """

    __slots__ = ("_authorization", "_client_id", "_source", "_used")

    def __init__(self, token: str | Callable[[], str]) -> None:
        self._source: Callable[[], str] | None = None
        self._authorization = ""
        self._client_id: str | None = None
        # By thread: what another one was refused, or has got instead, is not what this one sent.
        self._used = threading.local()
        if isinstance(token, str) and B64TOKEN.fullmatch(token):
            self._authorization = f"Bearer {token}"
            digest = hashlib.sha256(token.encode("ascii")).hexdigest()
            self._client_id = f"bearer:{digest[:_DIGEST_DIGITS]}"
        elif callable(token):
            self._source = token
        else:
            raise ConfigurationError(
                "BearerAuth takes a token, without the word Bearer, of the characters that RFC 6750"
                " allows, or a callable that returns one."
            )

    @property
    def client_id(self) -> str | None:
        """What tells this client from others, without showing a secret; no name that a server uses.

        For a token, the beginning of its SHA-256 digest after ``bearer:``; for a callable, its own
        ``client_id``, or ``None`` if it has none.
        """
        return self._client_id if self._source is None else client_id_of(self._source)

    def refused(self) -> None:
        """Tell a callable that the server refused the token that this thread last sent (a 401).

        One that has an ``invalidate`` is given that token, so that the next request has a new one.
        Nothing is raised, and a token that was given as such stays as it is.
        """
        token = getattr(self._used, "token", None)
        if token is None:
            return
        try:
            invalidate = getattr(self._source, "invalidate", None)
            if invalidate is not None:
                invalidate(token)
        except Exception as error:  # noqa: BLE001 - a callable of the user's may raise anything
            failed = type(error).__name__
        else:
            return
        hint = "invalidate(token) of the callable given to BearerAuth raised %s"
        _seldom.log(logging.ERROR, ("invalidate", failed), hint, failed)

    def apply(self, request: Request, /) -> Request:
        """Return ``request`` with an ``Authorization: Bearer`` header.

        Raises:
            AuthServiceUnavailable: The callable fails or returns no token (``client_auth``).
        """
        authorization = self._authorization or self._ask()
        return replace(request, headers={**request.headers, "Authorization": authorization})

    def _ask(self) -> str:
        try:
            token: object = self._source() if self._source is not None else None
        except AuthServiceUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a callable of the user's may raise anything
            failed = f"raised {type(error).__name__}"
        else:
            if isinstance(token, str) and B64TOKEN.fullmatch(token):
                self._used.token = token
                return f"Bearer {token}"
            failed = f"returned {'an unusable string' if isinstance(token, str) else type(token)}"
        raise AuthServiceUnavailable(
            f"the callable given to BearerAuth {failed}; it must return a token without the word"
            " Bearer",
            reason="client_auth",
        )

    def __repr__(self) -> str:
        return "BearerAuth(...)"


def authenticated(request: Request, client_auth: ClientAuth) -> Request:
    """Return ``request`` with the credentials of any `ClientAuth` added, yours included.

    Raises:
        AuthServiceUnavailable: They cannot be had (``client_auth``). One of its own leaves as it
            is; any other error, a refusal of a token of ours included, is not the caller's.
    """
    try:
        made = client_auth.apply(request)
        if made.again is None and "private_key_jwt" in getattr(client_auth, "methods", ()):
            # A server takes an assertion once (RFC 7523, section 3), whoever made it.
            made = replace(made, again=partial(authenticated, request, client_auth))
        return made  # noqa: TRY300 - what is made may be no request at all
    except AuthServiceUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - a way to authenticate of your own
        hint = f"client_auth failed with {type(error).__name__}"
    raise AuthServiceUnavailable(hint, reason="client_auth")


def client_id_of(source: object) -> str | None:
    """Return what a `ClientAuth`, or a source of tokens, calls itself; yours included."""
    try:
        client_id = getattr(source, "client_id", None)
    except Exception:  # noqa: BLE001 - a property of the user's may raise anything
        return None
    return client_id if isinstance(client_id, str) and client_id else None


def checked(value: object, what: str) -> str:
    """Return an identifier or a secret that can be sent.

    Raises:
        ConfigurationError: It is empty, not a string or holds control characters.
    """
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise ConfigurationError(
            f"{what} must be a non-empty string without control characters; check that the"
            " environment variable or file it comes from is set and has no trailing newline."
        )
    return value
