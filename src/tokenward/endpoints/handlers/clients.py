"""What programs ask for in their own name: forms, and client authentication."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenward.clients import GRANT_TYPES
from tokenward.endpoints.handlers.answers import FOR_THE_ASKER, answer_of, empty, granted
from tokenward.endpoints.handlers.presented import client_of
from tokenward.endpoints.incoming import Request, Response, read_form
from tokenward.errors import InvalidTarget, OAuthError, UnsupportedGrantType
from tokenward.service.metadata import INTROSPECTION_PATH, REVOCATION_PATH, TOKEN_PATH

if TYPE_CHECKING:
    from tokenward.service import AuthService


def token(service: AuthService, request: Request) -> Response:
    """The token endpoint (RFC 6749, section 3.2): client_credentials and refresh_token."""
    form = read_form(request)
    client = client_of(service, request, form, endpoint=TOKEN_PATH)
    grant_type = _required(form, "grant_type")
    if grant_type not in GRANT_TYPES:
        raise UnsupportedGrantType(f"expected a grant_type of {', '.join(GRANT_TYPES)}")
    scopes = _scopes(form)
    audiences = _audiences(form)
    if grant_type == "client_credentials":
        return granted(service.issue_client_token(client, scopes, audiences=audiences))
    _check_own(service, audiences)
    refreshed = service.refresh(
        _required(form, "refresh_token"), client=client, scopes=scopes, peer=request.peer
    )
    # Section 5.1 knows no user; introspection says who it is.
    return granted(refreshed.model_copy(update={"user": None}))


def introspect(service: AuthService, request: Request) -> Response:
    """RFC 7662, section 2; without client authentication nothing is said (section 2.1)."""
    form = read_form(request)
    client = client_of(service, request, form, endpoint=INTROSPECTION_PATH)
    state = service.introspect_token(
        _required(form, "token"), client=client, token_type_hint=form.get("token_type_hint")
    )
    return answer_of(state, FOR_THE_ASKER)


def revoke(service: AuthService, request: Request) -> Response:
    """RFC 7009, section 2: 200 whether there was anything to revoke or not (section 2.2)."""
    form = read_form(request)
    client = client_of(service, request, form, endpoint=REVOCATION_PATH)
    service.revoke_token(
        _required(form, "token"), form.get("token_type_hint"), client=client, peer=request.peer
    )
    return empty()


def _required(form: dict[str, str], name: str) -> str:
    value = form.get(name)
    if value is None:
        raise OAuthError(
            f"the form has no {name}",
            reason=f"{name}_missing",
            description=f"The form field {name} is required.",
        )
    return value


def _scopes(form: dict[str, str]) -> frozenset[str] | None:
    """Return what is asked for (RFC 6749, section 3.3); ``None``: nothing in particular.

    Nothing is stripped: what is not written as there is a scope that nobody has.
    """
    return frozenset(form["scope"].split(" ")) if "scope" in form else None


def _audiences(form: dict[str, str]) -> frozenset[str] | None:
    """Return whom the token is to be for (RFC 8707, section 2); ``None``: nobody is named.

    A name that is no URI is taken too, as audiences are configured: it either is one of the
    client's or is refused.
    """
    named = {form[name] for name in ("resource", "audience") if name in form}
    if len(named) > 1 or "#" in form.get("resource", ""):
        hint = "expected one resource, without a fragment, or one audience"
        raise InvalidTarget(hint, reason="malformed_target")
    return frozenset(named) or None


def _check_own(service: AuthService, audiences: frozenset[str] | None) -> None:
    """Refuse other audiences than the service's own, which a login is for (RFC 8707, 2.2)."""
    own = {service.audience} if isinstance(service.audience, str) else set(service.audience)
    if audiences is not None and audiences != own:
        hint = "what a login granted is for the service's own audience; name it, or none"
        raise InvalidTarget(hint)
