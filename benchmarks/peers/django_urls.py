"""The views of the Django project, and the same ones as the peers protect them."""

from __future__ import annotations

from authlib.integrations.django_oauth2 import (  # type: ignore[import-untyped]
    ResourceProtector,
)
from django.urls import path
from joserfc.jwk import KeySet
from oauth2_provider.contrib.rest_framework import (  # type: ignore[import-not-found]
    OAuth2Authentication,
)
from oauth2_provider.decorators import protected_resource  # type: ignore[import-not-found]
from rest_framework_simplejwt.authentication import (  # type: ignore[import-not-found]
    JWTAuthentication,
    JWTStatelessUserAuthentication,
)

from benchmarks.django_urls import Protected, plain
from benchmarks.django_urls import urlpatterns as ours
from benchmarks.peers.jwks import AtHand
from benchmarks.signed import signer

ISSUER = signer("RS256")
"""Whose tokens the view that Authlib protects accepts."""

_authlib = ResourceProtector()
_authlib.register_token_validator(AtHand(KeySet.import_key_set(ISSUER.jwks)))  # type: ignore[arg-type] # a JWK Set


class OAuth2(Protected):
    """By django-oauth-toolkit."""

    authentication_classes = (OAuth2Authentication,)


class SimpleJWT(Protected):
    """By simplejwt."""

    authentication_classes = (JWTAuthentication,)


class StatelessSimpleJWT(Protected):
    """By simplejwt, without a row of the user's."""

    authentication_classes = (JWTStatelessUserAuthentication,)


urlpatterns = [
    *ours,
    path("authlib", _authlib()(plain)),
    path("toolkit", protected_resource()(plain)),
    path("drf/toolkit", OAuth2.as_view()),
    path("drf/simplejwt", SimpleJWT.as_view()),
    path("drf/simplejwt/stateless", StatelessSimpleJWT.as_view()),
]
