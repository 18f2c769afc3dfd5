"""What the models' own schemas cannot say of a member: its meaning, and what its check refuses."""

from __future__ import annotations

from typing import Any

from tokenward.schemas import MAX_PASSWORD_BYTES, MAX_USERNAME_CHARACTERS

_MAX_EMAIL_CHARACTERS = 254  # RFC 5321, section 4.5.3.1.3, less the angle brackets

DESCRIPTIONS = {
    "LoginRequest.username": "In upper or lower case.",
    "LoginRequest.password": "As it was set.",
    "access_token": "To be sent as `Authorization: Bearer …`.",
    "active": "Whether the token is good; of one that is not, nothing else is said.",
    "aud": "Whom the token is for.",
    "client_id": "The client that the token was handed to.",
    "created_at": "When the session began, in epoch seconds.",
    "current": "Whether the request came with an access token of this session.",
    "current_password": "The password of now.",
    "email": (
        "A bare e-mail address of a domain that may exist; upper and lower case are the same "
        "address."
    ),
    "email_verified": "Whether it was shown that the address is the user's.",
    "form.client_assertion_type": (
        "With private_key_jwt: `urn:ietf:params:oauth:client-assertion-type:jwt-bearer` "
        "(RFC 7523, section 2.2)."
    ),
    "exp": "When the token ends, in epoch seconds.",
    "expires_at": "When the session ends unless it is refreshed, in epoch seconds.",
    "expires_in": "Seconds for which the access token is good.",
    "iat": "When the token was made, in epoch seconds.",
    "id": "Never changes and is given to nobody else; the `sub` of the user's tokens.",
    "is_active": "Whether the account may be used.",
    "iss": "The issuer.",
    "jti": "The token's own identifier.",
    "message": "For people.",
    "nbf": "From when on the token is good, in epoch seconds.",
    "new_password": f"At most {MAX_PASSWORD_BYTES:,} bytes in UTF-8, of any characters.",
    "password": f"At most {MAX_PASSWORD_BYTES:,} bytes in UTF-8, of any characters.",
    "refresh_token": "Good for one use at `/refresh`, which answers with the next one.",
    "roles": "The user's roles.",
    "scope": "What the token grants, separated by spaces.",
    "sessions": "In the order of the logins.",
    "sid": "A session, as the `sid` of its access tokens names it.",
    "sub": "Whom the token speaks for: a user's `id`, or a client.",
    "token": "The one-time token that was sent by e-mail.",
    "token_type": "How the token is presented (RFC 6750).",
    "used_at": "When the session was begun or last refreshed, in epoch seconds.",
    "user": "The user that the token speaks for.",
    "username": (
        f"1 to {MAX_USERNAME_CHARACTERS} characters; upper and lower case are the same name."
    ),
}
"""By model and name, or by the name alone where it means the same in every model."""

EXAMPLES = {
    "username": "alice",
    "email": "alice@example.com",
    "password": "nine green kettles",
    "current_password": "nine green kettles",
    "new_password": "ten brown teapots",
    "refresh_token": "the-refresh-token",
    "sid": "the-session-id",
    "token": "the-one-time-token",
    "form.token": "the-token",
    "form.token_type_hint": "access_token",
    "form.grant_type": "client_credentials",
    "form.scope": "orders:read",
}
"""By the same."""

_PRESENTED = {"format": "password", "minLength": 1, "maxLength": MAX_PASSWORD_BYTES}

_AROUND = r"[\s\x1c-\x1f\x85]"

_CONSTRAINTS: dict[str, dict[str, Any]] = {
    # White space around it is not part of a name, and some of that is not white space in every
    # reader's expressions. What else a name may not hold, format and unassigned characters, is
    # beyond all of them.
    "RegisterRequest.username": {
        "pattern": rf"^{_AROUND}*[^\s\x00-\x1f\x7f-\x9f]{{1,{MAX_USERNAME_CHARACTERS}}}{_AROUND}*$"
    },
    "email": {"maxLength": _MAX_EMAIL_CHARACTERS, "pattern": r'^[^<>"(), \t\r\n]+$'},
    "LoginRequest.password": _PRESENTED,
    "current_password": _PRESENTED,
    "form.grant_type": {"enum": ["client_credentials", "refresh_token"]},
}
_NEW_PASSWORDS = ("RegisterRequest.password", "new_password")


def constraints(
    model: str, member: str, *, password_min_length: int | None = None
) -> dict[str, Any]:
    """Return what is refused beyond what the model's own schema says, in its keywords."""
    for name in (f"{model}.{member}", member):
        if name in _NEW_PASSWORDS:
            return {**_PRESENTED, "minLength": password_min_length}
        if name in _CONSTRAINTS:
            return dict(_CONSTRAINTS[name])
    return {}
