"""The views of the Django project, and the same ones as the peers protect them."""

from __future__ import annotations

from django.urls import path
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
    path("toolkit", protected_resource()(plain)),
    path("drf/toolkit", OAuth2.as_view()),
    path("drf/simplejwt", SimpleJWT.as_view()),
    path("drf/simplejwt/stateless", StatelessSimpleJWT.as_view()),
]
