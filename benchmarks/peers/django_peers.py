"""Peers that protect a Django view, or one of Django REST framework."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from benchmarks.django_site import OURS, map_users, set_up, site
from benchmarks.parts import CREDENTIALS, authenticator_of, bearer_call, new_token
from benchmarks.peers import BARE, Call, Peer, padded, rounds_asked_for, run
from benchmarks.signed import Signer, pinned_verifier, signer
from benchmarks.upstream import running

if TYPE_CHECKING:
    from django.contrib.auth.models import User

AUTHLIB = "Authlib"
TOOLKIT = "django-oauth-toolkit"
SIMPLEJWT = "djangorestframework-simplejwt"


def peers(framework: str, url: str) -> Iterator[Peer]:
    """Yield the peers.

    Args:
        framework: ``django`` or ``drf``.
        url: An introspection endpoint.
    """
    set_up(
        "benchmarks.peers.django_urls",
        apps=("oauth2_provider",),
        OAUTH2_PROVIDER={
            "RESOURCE_SERVER_INTROSPECTION_URL": url,
            "RESOURCE_SERVER_INTROSPECTION_CREDENTIALS": CREDENTIALS,
            # It would look for the URL of the view in the audience.
            "RESOURCE_SERVER_TOKEN_RESOURCE_VALIDATOR": None,
        },
        SIMPLE_JWT={"ACCESS_TOKEN_LIFETIME": timedelta(days=1)},
    )
    from django.contrib.auth.models import User  # noqa: PLC0415 - needs Django's settings

    alice = User.objects.create_user("alice")
    stored, signed = _stored(alice), _signed(alice)

    if framework == "django":
        from benchmarks.peers.django_urls import ISSUER  # noqa: PLC0415 - needs Django's settings

        anew = "RS256", _anew(ISSUER, "/protected")
        does = "RS256, the keys at hand"
        yield _peer(AUTHLIB, does, "/authlib", ISSUER.token(), anew=anew)
        yield _peer(TOOLKIT, "a token of its table", "/toolkit", stored)
        yield _peer(TOOLKIT, "one introspected before", "/toolkit", new_token())
        return
    anew = does, _ = "HS256", _anew(signer("HS256"), "/drf/protected")
    path = "/drf/simplejwt/stateless"
    yield _peer(SIMPLEJWT, does, path, signed, is_drf=True, anew=anew)
    map_users("model")
    case = "likewise, and the user's row is read"
    does, path = "HS256, user's row", "/drf/simplejwt"
    yield _peer(SIMPLEJWT, does, path, signed, is_drf=True, anew=anew, case=case)
    does = "a token of its table, user's row"
    yield _peer(TOOLKIT, does, "/drf/toolkit", stored, is_drf=True, case=case)


def _peer(
    package: str,
    does: str,
    path: str,
    token: str,
    *,
    is_drf: bool = False,
    anew: tuple[str, Call] | None = None,
    case: str = BARE,
) -> Peer:
    prefix = "/drf" if is_drf else ""
    return Peer(
        "DRF" if is_drf else "Django",
        package,
        does,
        bearer_call(site(), path, token),
        plain=bearer_call(site(), f"{prefix}/plain", token),
        tokenward=bearer_call(site(OURS), f"{prefix}/protected", token),
        anew=anew,
        case=case,
    )


def _anew(by: Signer, path: str) -> Call:
    """Return a call of the view that tokenward protects, and verifies each token anew for.

    A project has one authenticator. It is exchanged around each call, which takes a tenth of a
    microsecond.
    """
    from tokenward.django._state import parts  # noqa: PLC0415 - needs Django's settings

    ours, cached = parts(), parts().authenticator
    verifying = authenticator_of(pinned_verifier(by, cache_entries=0))
    call = bearer_call(site(OURS), path, by.token())

    def once() -> object:
        ours.authenticator = verifying
        try:
            return call()
        finally:
            ours.authenticator = cached

    return once


def _stored(user: User) -> str:
    from django.utils import timezone  # noqa: PLC0415 - needs Django's settings
    from oauth2_provider.models import (  # type: ignore[import-not-found] # noqa: PLC0415
        AccessToken,
        Application,
    )

    application = Application.objects.create(
        name="bench", client_type="confidential", authorization_grant_type="client-credentials"
    )
    token = new_token()
    AccessToken.objects.create(
        token=token,
        user=user,
        application=application,
        expires=timezone.now() + timedelta(days=1),
        scope="read write",
    )
    return token


def _signed(user: User) -> str:
    from rest_framework_simplejwt.tokens import (  # type: ignore[import-not-found] # noqa: PLC0415
        AccessToken,
    )

    def mint(padding: str) -> str:
        token = AccessToken.for_user(user)
        token["scope"] = "orders:read orders:write"
        token["padding"] = padding
        return str(token)

    return padded(mint)


if __name__ == "__main__":
    with running() as upstream:
        framework, rounds = rounds_asked_for(choices=("django", "drf"))
        run(peers(framework, upstream.url()), rounds)
