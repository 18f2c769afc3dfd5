"""The views of the Django project: each with and without protection, and otherwise the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import JsonResponse
from django.urls import path
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from tokenward.django.decorators import login_required
from tokenward.django.drf import TokenwardAuthentication

if TYPE_CHECKING:
    from django.http import HttpRequest


def plain(_request: HttpRequest) -> JsonResponse:
    """Answer anybody."""
    return JsonResponse({"for": "anybody"})


def personal(request: HttpRequest) -> JsonResponse:
    """Answer with the name of whoever asks."""
    return JsonResponse({"for": request.user.get_username()})


class Plain(APIView):
    """Answers anybody."""

    authentication_classes: Any = ()
    permission_classes: Any = (AllowAny,)

    def get(self, _request: Any) -> Response:
        """Answer."""
        return Response({"for": "anybody"})


class Protected(Plain):
    """Answers whoever is authenticated."""

    authentication_classes = (TokenwardAuthentication,)
    permission_classes = (IsAuthenticated,)


urlpatterns = [
    path("plain", plain),
    path("protected", login_required(plain)),
    path("personal", login_required(personal)),
    path("drf/plain", Plain.as_view()),
    path("drf/protected", Protected.as_view()),
]
