"""Other people's introspection endpoints, each over a SQLite file that the environment names."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from authlib.integrations.flask_oauth2 import (  # type: ignore[import-untyped]
    AuthorizationServer,
)
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin  # type: ignore[import-untyped]
from authlib.oauth2.rfc7662 import IntrospectionEndpoint  # type: ignore[import-untyped]
from flask import Flask

from benchmarks.django_site import set_up, site
from benchmarks.parts import CREDENTIALS, new_token

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

FILE = "BENCH_FILE"
_DAY = 86_400


def prepare_toolkit(path: str) -> str:
    """Make django-oauth-toolkit's tables, with a client and a token."""
    _set_up_toolkit(path)
    from django.contrib.auth.models import User  # noqa: PLC0415 - needs Django's settings
    from django.utils import timezone  # noqa: PLC0415 - needs Django's settings
    from oauth2_provider.models import (  # type: ignore[import-not-found] # noqa: PLC0415
        AccessToken,
        Application,
    )

    client_id, client_secret = CREDENTIALS
    application = Application.objects.create(
        name="bench",
        client_id=client_id,
        client_secret=client_secret,
        # A hash of Django's would be most of what is measured.
        hash_client_secret=False,
        client_type="confidential",
        authorization_grant_type="client-credentials",
    )
    token = new_token()
    AccessToken.objects.create(
        token=token,
        user=User.objects.create_user("alice"),
        application=application,
        expires=timezone.now() + timedelta(days=1),
        scope="read write",
    )
    return token


def toolkit() -> WSGIApplication:
    """Return a Django project with its endpoints."""
    _set_up_toolkit(os.environ[FILE])
    return site()


def _set_up_toolkit(path: str) -> None:
    set_up("oauth2_provider.urls", apps=("oauth2_provider",), database=path)


def prepare_authlib(path: str) -> str:
    """Make a table of tokens as a user of Authlib would, with one in it."""
    token = new_token()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE tokens (token TEXT PRIMARY KEY, subject, scope, expires)")
        row = (token, "alice", "read write", time.time() + _DAY)
        database.execute("INSERT INTO tokens VALUES (?, ?, ?, ?)", row)
        database.commit()
    return token


def authlib() -> WSGIApplication:
    """Return a Flask application with Authlib's server, as its documentation has it."""
    app = Flask(__name__)
    known = _Client()
    server = AuthorizationServer(
        app,
        query_client=lambda client_id: known if client_id == known.get_client_id() else None,
        save_token=lambda *_: None,
    )
    server.register_endpoint(_Introspection)

    @app.post("/introspect/")
    def introspect() -> Any:
        return server.create_endpoint_response(_Introspection.ENDPOINT_NAME)

    return app.wsgi_app


class _Client(ClientMixin):  # type: ignore[misc] # untyped
    def get_client_id(self) -> str:
        return CREDENTIALS[0]

    def check_client_secret(self, secret: str) -> bool:
        return secret == CREDENTIALS[1]

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == "client_secret_basic"


class _Token(TokenMixin):  # type: ignore[misc] # untyped
    def __init__(self, subject: str, scope: str, expires: float) -> None:
        self.subject, self.scope, self.expires = subject, scope, expires

    def is_expired(self) -> bool:
        return self.expires <= time.time()

    def is_revoked(self) -> bool:
        return False


class _Introspection(IntrospectionEndpoint):  # type: ignore[misc] # untyped
    CLIENT_AUTH_METHODS = ("client_secret_basic",)

    def query_token(self, token: str, _hint: str | None) -> _Token | None:
        found = (
            _database()
            .execute("SELECT subject, scope, expires FROM tokens WHERE token = ?", (token,))
            .fetchone()
        )
        return _Token(*found) if found else None

    def check_permission(self, *_: object) -> bool:
        return True

    def introspect_token(self, token: _Token) -> dict[str, Any]:
        return {"sub": token.subject, "scope": token.scope, "exp": int(token.expires)}


@cache
def _database() -> sqlite3.Connection:
    return sqlite3.connect(os.environ[FILE], check_same_thread=False)
