"""Errors of a sign-in that Django's forms show as a sentence."""

from __future__ import annotations

import math
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy, ngettext_lazy

from tokenward.errors import AuthServiceUnavailable, TooManyAttempts


class _Shown(ValidationError):
    """What Django's forms show to the person who fills them in."""

    sentence: Any = ""

    def __init__(self) -> None:
        super().__init__(self.sentence)


class SignInUnavailable(AuthServiceUnavailable, _Shown):
    """Nobody could decide about a password; a form says so, everybody else gets the 503."""

    sentence = gettext_lazy("Signing in is not possible right now; try again in a moment.")


class SignInThrottled(TooManyAttempts, _Shown):
    """The auth service throttles; a form says for how long, everybody else gets the 429.

    Args:
        retry_after: Seconds until another attempt is looked at.
        hint: See `AuthError`.
    """

    sentence = ngettext_lazy(
        "Too many attempts; try again in %(seconds)d second.",
        "Too many attempts; try again in %(seconds)d seconds.",
        "seconds",
    )

    def __init__(self, retry_after: float = 1, hint: str = "") -> None:
        super().__init__(retry_after, hint)
        self.params = {"seconds": max(1, math.ceil(retry_after))}
