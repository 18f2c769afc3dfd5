"""Never run, must type-check: decorators keep the signature of a view, and proxies have types."""

from collections.abc import Callable
from typing import assert_type

from flask import Flask

from tokenward.errors import AuthError
from tokenward.flask import (
    Tokenward,
    current_principal,
    current_token,
    login_required,
    public,
    roles_required,
    scopes_required,
)
from tokenward.principal import Principal
from tokenward.testing import StubVerifier, login_as

app = Flask(__name__)
auth = Tokenward(app)


@app.get("/<int:number>")
@login_required
@scopes_required("orders:read")
@roles_required(any_of=("clerk", "manager"))
def order(number: int) -> dict[str, int]:
    """Keep arguments and result."""
    assert_type(current_principal.subject, str)
    assert_type(current_token, str | None)
    assert_type(auth.require(scopes=["orders:read"], live=True), Principal)
    return {"number": number}


@app.get("/maybe")
@login_required(optional=True, live=False)
async def maybe() -> str:
    """Keep a coroutine function one."""
    return "yes"


@public
def health() -> str:
    """Keep the very function."""
    return "ok"


@auth.user_loader
def load(principal: Principal) -> str | None:
    """Keep the loader callable."""
    return principal.username


assert_type(order(number=1), dict[str, int])
assert_type(health(), str)
assert_type(load(Principal("alice")), str | None)

plain: Callable[[], str] = login_required(health)
outcomes: dict[str, Principal | AuthError] = {"good": Principal("alice"), "bad": AuthError()}
with login_as(app, "alice", scopes=["a"], roles={"b"}) as login:
    assert_type(login.principal, Principal)
assert_type(StubVerifier(outcomes).verify("good", live=True), Principal)
