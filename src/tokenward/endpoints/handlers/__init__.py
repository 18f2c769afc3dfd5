"""What each endpoint does with a request. An error is raised; `call` makes it an answer.

===========  ======================================================================
`people`     accounts: registered, logged in, their passwords and addresses
`sessions`   what a login has led to: listed, refreshed and ended
`clients`    what programs ask for in their own name: forms, client authentication
`published`  what anybody may read: keys, metadata, the description, health
`answers`    how an answer is made, and who may keep it
===========  ======================================================================
"""

from tokenward.endpoints.handlers.clients import introspect, revoke, token
from tokenward.endpoints.handlers.people import (
    change_password,
    forgot_password,
    login,
    me,
    register,
    reset_password,
    verify_email,
)
from tokenward.endpoints.handlers.published import docs, jwks, live, metadata, openapi, ready
from tokenward.endpoints.handlers.sessions import end_session, logout, refresh, sessions

__all__ = [
    "change_password",
    "docs",
    "end_session",
    "forgot_password",
    "introspect",
    "jwks",
    "live",
    "login",
    "logout",
    "me",
    "metadata",
    "openapi",
    "ready",
    "refresh",
    "register",
    "reset_password",
    "revoke",
    "sessions",
    "token",
    "verify_email",
]
