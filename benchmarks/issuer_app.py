"""The auth service as an application of its own, over the store that the environment names.

Beside it a bare view, which answers as many bytes without looking at anything.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchmarks.parts import CREDENTIALS
from tokenward import AuthService, KeyRing, LoginRequest
from tokenward.clients import Client
from tokenward.repositories import Repositories, open_repositories
from tokenward.wsgi import auth_service_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

STORE = "BENCH_STORE"
ISSUER = "https://auth.example"
PASSWORD = "correct horse battery"  # noqa: S105 - of a user that lives for one measurement
_ANSWER = b'{"active":true,"padding":"%s"}' % (b"x" * 500)


def prepared(url: str) -> str:
    """Make a store with keys and one user; return an access token of theirs."""
    repositories = open_repositories(url)
    try:
        KeyRing.create(repositories.keys)
        service = _service(repositories)
        service.create_user("alice", email="alice@example.org", password=PASSWORD)
        login = LoginRequest(username="alice", password=PASSWORD)
        return service.login_user(login).access_token
    finally:
        repositories.close()


def issuer() -> WSGIApplication:
    """Return the service; gunicorn calls this in its worker."""
    logging.getLogger("tokenward.endpoints").addFilter(_is_news)
    return auth_service_app(_service(open_repositories(os.environ[STORE], create=False)))


def bare(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer, having read the body."""
    environ["wsgi.input"].read()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(_ANSWER)))]
    start_response("200 OK", headers)
    return [_ANSWER]


def _is_news(record: logging.LogRecord) -> bool:
    # More people log in than can be hashed for, to be turned away, and the figure counts them.
    return "hashing_busy" not in record.getMessage()


def _service(repositories: Repositories) -> AuthService:
    return AuthService(
        repositories.users,
        keys=KeyRing.load(repositories.keys),
        tokens=repositories.tokens,
        issuer=ISSUER,
        audience="bench",
        access_token_lifetime=86_400,
        clients=[Client(*CREDENTIALS)],
    )
