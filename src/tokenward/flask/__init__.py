"""tokenward for Flask: location, lifetime, translation, and nothing else.

.. code-block:: python

    auth = Tokenward(app)

    @app.get("/orders")
    @scopes_required("orders:read")
    def orders():
        return {"for": current_principal.subject}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenward.flask._decorators import login_required, public, roles_required, scopes_required
from tokenward.flask._extension import Tokenward
from tokenward.flask._guard import token_refused, user_authenticated
from tokenward.flask._pages import clear_login, set_login
from tokenward.flask._proxies import current_principal, current_token, current_user
from tokenward.pages import safe_next

__all__ = [
    "Tokenward",
    "auth_service_blueprint",
    "clear_login",
    "current_principal",
    "current_token",
    "current_user",
    "login_required",
    "public",
    "roles_required",
    "safe_next",
    "scopes_required",
    "set_login",
    "token_refused",
    "user_authenticated",
]

if TYPE_CHECKING:
    from tokenward.flask._service import auth_service_blueprint
else:

    def __getattr__(name: str) -> Any:
        if name != "auth_service_blueprint":
            msg = f"module 'tokenward.flask' has no attribute {name!r}"
            raise AttributeError(msg)
        # Only an application that is the auth service loads the endpoints of one.
        from tokenward.flask._service import auth_service_blueprint  # noqa: PLC0415

        return auth_service_blueprint


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
