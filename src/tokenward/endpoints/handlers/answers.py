"""How an answer is made, and who may keep it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tokenward.endpoints.incoming import Response

if TYPE_CHECKING:
    from pydantic import BaseModel

NO_STORE: Final = ("Cache-Control", "no-store")
# RFC 6749, section 5.1, asks for both wherever tokens are in the answer.
TOKENS: Final = (NO_STORE, ("Pragma", "no-cache"))
# An answer about a token holds no token, and whoever asked may remember it for a while (RFC 7662,
# section 4): `no-store` would have every verifier ask every time.
FOR_THE_ASKER: Final = ("Cache-Control", "private, no-cache")

_TYPE: Final = ("Content-Type", "application/json")


def answer(members: dict[str, Any], *headers: tuple[str, str], status: int = 200) -> Response:
    """Return a JSON object as an answer."""
    body = json.dumps(members, separators=(",", ":")).encode()
    return Response(status, (_TYPE, *headers), body)


def answer_of(model: BaseModel, *headers: tuple[str, str], status: int = 200) -> Response:
    """Return a model as an answer."""
    return answer(model.model_dump(mode="json"), *headers, status=status)


def granted(model: BaseModel) -> Response:
    """Return tokens as an answer (RFC 6749, section 5.1); members without a value are left out."""
    members = model.model_dump(mode="json")
    return answer({name: value for name, value in members.items() if value is not None}, *TOKENS)


def done() -> Response:
    """Return 204."""
    return Response(204, (NO_STORE,))


def empty() -> Response:
    """Return 200 without a body."""
    # PEP 3333 servers want a type with every 200, and JSON would be one that nothing is not.
    return Response(200, (("Content-Type", "text/plain"), NO_STORE))
