"""The section ``pages``: signing in with a browser."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokenward.config.settings.fields import Section
from tokenward.pages import SignInCookie


class PagesSection(Section):
    """Signing in with a browser; see `SignInCookie`.

    The cookie becomes one more place where a token may be, the last one, verified as the tokens of
    the ``Authorization`` header are.
    """

    cookie: str
    login_view: str | None = None
    samesite: Literal["Lax", "Strict"] = "Lax"
    secure: Annotated[bool, Field(strict=True)] = True

    @model_validator(mode="after")
    def _is_a_cookie(self) -> Self:
        self.sign_in_cookie()
        return self

    def sign_in_cookie(self) -> SignInCookie:
        """Return the cookie that this section describes."""
        return SignInCookie(
            self.cookie,
            secure=self.secure,
            samesite=self.samesite,
            login_view=self.login_view,
        )
