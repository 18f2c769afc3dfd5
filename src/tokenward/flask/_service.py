"""The auth service's endpoints as a blueprint."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from tokenward.endpoints import (
    ENDPOINTS,
    MAX_BODY_BYTES,
    WITHOUT_BODY,
    Endpoint,
    Request,
    call,
    well_known_at_root,
)
from tokenward.errors import InvalidRequest, PayloadTooLarge
from tokenward.flask._decorators import public

if TYPE_CHECKING:
    from flask.blueprints import BlueprintSetupState

    from tokenward.service import AuthService


def auth_service_blueprint(service: AuthService, *, name: str = "auth_service") -> Blueprint:
    """Return a blueprint that answers for the auth service.

    Register it at the path of the issuer: ``app.register_blueprint(blueprint)`` for
    ``https://auth.example``, with ``url_prefix="/auth"`` for ``https://example.com/auth``. For an
    issuer with a path, its metadata is also answered at the root of the application, where RFC
    8414, section 3.1, has it. The application needs no tokenward extension; where it has one that
    denies by default, these endpoints stay open, as they do their own checks. No cookie is read.

    Args:
        service: Whose endpoints these are.
        name: The blueprint's name, for ``url_for("auth_service.login")``.
    """
    blueprint = Blueprint(name, __name__)
    for endpoint in ENDPOINTS:
        blueprint.add_url_rule(
            endpoint.path, endpoint.name, _view(service, endpoint), methods=[endpoint.method]
        )

    def add_root(state: BlueprintSetupState) -> None:
        for path, endpoint in well_known_at_root(service.issuer).items():
            state.app.add_url_rule(
                path, f"{state.name}.{endpoint.name}_at_root", _view(service, endpoint)
            )

    blueprint.record(add_root)
    return blueprint


def _view(service: AuthService, endpoint: Endpoint) -> Callable[[], Response]:
    def view() -> Response:
        answer = call(endpoint, service, _request())
        response = current_app.response_class(answer.body, answer.status, list(answer.headers))
        if answer.status in WITHOUT_BODY:
            # Flask names a type where there is nothing to be of it.
            response.headers.pop("Content-Type", None)
        return response

    return public(view)


def _request() -> Request:
    return Request(
        method=request.method,
        path=request.path,
        headers=request.headers,
        query=request.query_string.decode("latin-1"),
        read=_Body(),
        peer=request.remote_addr,
    )


class _Body:
    """Reads the current request's body."""

    def __init__(self) -> None:
        self._stream: IO[bytes] | None = None

    def __call__(self, limit: int, /) -> bytes:
        # Raised outside, so that Flask's own errors do not come along as the context.
        refusal: PayloadTooLarge | InvalidRequest
        try:
            if self._stream is None:
                self._stream = _stream()
            return self._stream.read(limit)
        except RequestEntityTooLarge:
            refusal = PayloadTooLarge("larger than the application's MAX_CONTENT_LENGTH")
        except Exception:  # noqa: BLE001 - a server may raise what it likes for a malformed chunk
            refusal = InvalidRequest(hint="the body is cut or malformed", reason="malformed_body")
        raise refusal


def _stream() -> IO[bytes]:
    length = request.content_length
    if length is not None and length <= MAX_BODY_BYTES:
        # What another function of the application has read already is still to be had this way.
        return io.BytesIO(request.get_data())
    return request.stream
