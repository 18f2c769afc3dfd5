"""The user of Django's session, and whether the auth service still knows them.

A session that `PasswordBackend` has made holds evidence of the sign-in, of no use to whoever reads
the session store, and when it was last good. Every ``session_recheck`` seconds the service is asked
again. An outage lets a session go on for as long once more; past that it is an outage, and the
session is there again when the service is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.contrib import auth
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.utils.module_loading import import_string

from tokenward._log import OncePerMinute
from tokenward.django._database import translated_errors
from tokenward.django._guard.decision import seen_in
from tokenward.django._password_service import principal_of
from tokenward.django.backends import EVIDENCE, PasswordBackend, TokenBackend
from tokenward.django.users import is_of_a_token, session_user_for
from tokenward.django.users.mapping import mapping_in_force
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidToken,
)

if TYPE_CHECKING:
    from django.http import HttpRequest

    from tokenward.protocols import Clock

KEY = "_tokenward"
"""Under which a session keeps ``evidence`` and ``checked``, epoch seconds."""

_seldom = OncePerMinute(logging.getLogger("tokenward.django.sessions"))


class SessionChecks:
    """Checks sessions again.

    Attributes:
        clock: Seconds since the epoch.
    """

    def __init__(self, *, clock: Clock = time.time) -> None:
        self.clock = clock

    def begin(self, session: Any, evidence: Mapping[str, Any] | None) -> None:
        """Have a session that somebody just signed in to checked from now on."""
        session[KEY] = {"evidence": evidence, "checked": self.clock()}

    def user(self, session: Any, user: Any) -> Any:
        """Return the user of a session of `PasswordBackend`, as the auth service has them.

        Raises:
            AuthServiceUnavailable: The check is long overdue, and nobody can decide.
        """
        kept = session.get(KEY) or {}
        period = mapping_in_force().section.session_recheck
        now, checked = self.clock(), kept.get("checked", 0)
        if checked <= now < checked + period:
            return user
        try:
            fresh = _asked(kept.get("evidence"))
            if fresh.pk != user.pk:
                raise InvalidToken("the session is another person's")
        except AuthServiceUnavailable as error:
            message = "No session can be checked (%s): %s"
            why, hint = error.reason, error.hint
            _seldom.log(logging.WARNING, ("outage", why), message, why, hint)
            if checked <= now < checked + 2 * period:
                return user
            raise
        except AuthError:
            session.flush()
            return AnonymousUser()
        session[KEY] = {**kept, "checked": now}
        return fresh


checks = SessionChecks()
"""What `session_user` asks."""


def session_user(request: HttpRequest) -> Any:
    """Return the user of the session, or ``AnonymousUser``.

    Raises:
        AuthServiceUnavailable: The database cannot be asked, or see `SessionChecks.user`.
    """
    session = getattr(request, "session", None)
    if session is None:
        return AnonymousUser()
    with translated_errors():
        user = auth.get_user(request)
        if user.is_authenticated and _made_by(session, PasswordBackend):
            return checks.user(session, user)
    return user


async def asession_user(request: HttpRequest) -> Any:
    """Do what `session_user` does, without ever blocking the event loop."""
    return await sync_to_async(session_user)(request)


def connect_sessions() -> None:
    """Listen for those who sign in and out; call it once apps are ready."""
    user_logged_in.connect(_signed_in, dispatch_uid="tokenward.sessions")
    user_logged_out.connect(_signed_out, dispatch_uid="tokenward.sessions")


def _signed_in(*, request: Any, user: Any, **_: object) -> None:
    session = getattr(request, "session", None)
    if session is None:
        return
    evidence = user.__dict__.pop(EVIDENCE, None)
    if _made_by(session, TokenBackend) or is_of_a_token(user):
        for key in (auth.SESSION_KEY, auth.BACKEND_SESSION_KEY, auth.HASH_SESSION_KEY):
            session.pop(key, None)
        message = "login() was called with the user of a bearer token: no session is made of one"
        _seldom.log(logging.WARNING, ("token",), message)
        return
    seen_in(request).ends_sign_in = True
    if not _made_by(session, PasswordBackend):
        session.pop(KEY, None)
    elif evidence is not None or KEY not in session:
        # Without evidence, whoever called login() vouches for the person until the first check.
        checks.begin(session, evidence)


def _signed_out(*, request: Any, **_: object) -> None:
    session = getattr(request, "session", None)
    if session is not None:
        seen_in(request).ends_sign_in = True
    evidence = None if session is None else (session.get(KEY) or {}).get("evidence")
    if not evidence:
        return
    try:
        login = mapping_in_force().login
        if login is not None:
            login.sign_out(evidence)
    except (AuthError, ConfigurationError) as error:
        # Signed out here whatever the service says; its token ends by itself.
        message = "A sign-out did not end the token at the auth service: %s"
        why = error.hint if isinstance(error, AuthError) else str(error)
        _seldom.log(logging.WARNING, ("sign-out", type(error).__name__), message, why)


def _asked(evidence: Any) -> Any:
    mapping = mapping_in_force()
    if not isinstance(evidence, Mapping) or mapping.login is None:
        raise InvalidToken("there is nobody to ask about this session, or nothing to ask with")
    user = mapping.login.check(evidence)
    return session_user_for(principal_of(user, mapping.login.issuer))


def _made_by(session: Any, backend: type) -> bool:
    path = session.get(auth.BACKEND_SESSION_KEY)
    return isinstance(path, str) and issubclass(_backend(path), backend)


@lru_cache(maxsize=32)
def _backend(path: str) -> type:
    found = import_string(path)
    return found if isinstance(found, type) else type(found)
