"""Never run, must type-check: decorators keep the signature of a view, and classes compose."""

from collections.abc import Callable
from typing import Any, assert_type

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path
from django.views import View
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import IsAdminUser, IsAuthenticated, OperandHolder
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from tokenward.django.decorators import login_required, public, roles_required, scopes_required
from tokenward.django.drf import HasRoles, HasScopes, TokenwardAuthentication
from tokenward.django.requests import TokenwardRequest
from tokenward.principal import Principal
from tokenward.testing import login_as


@login_required
@scopes_required("orders:read")
@roles_required(any_of=("clerk", "manager"))
def order(request: TokenwardRequest, number: int) -> JsonResponse:
    """Keep arguments and result; a request has its principal."""
    assert_type(request.principal, Principal)
    assert_type(request.principal.has_scopes("orders:read"), bool)
    assert_type(request.user.is_authenticated, bool)
    return JsonResponse({"number": number})


@login_required(optional=True, live=False)
async def maybe(request: TokenwardRequest) -> HttpResponse:
    """Keep a coroutine function one."""
    assert_type(await request.aprincipal(), Principal)
    return HttpResponse((await request.auser()).get_username())


@public
def health(_request: HttpRequest) -> HttpResponse:
    """Keep the very function."""
    return HttpResponse("ok")


@login_required
class Orders(View):
    """Keep the class."""

    def get(self, request: TokenwardRequest) -> HttpResponse:
        """Answer whoever is let in."""
        return HttpResponse(request.principal.subject)


class Live(TokenwardAuthentication):
    """Ask the issuer."""

    live = True


class OrdersApi(APIView):
    """Compose ours and the framework's."""

    authentication_classes = (Live,)
    permission_classes = (
        IsAuthenticated,
        HasScopes.of("orders:read") & ~HasRoles.of("guest"),
        IsAdminUser | HasScopes.any_of("orders:write", "orders:admin"),
        HasScopes,
    )
    required_scopes = ("orders:read",)

    def get(self, request: Request) -> Response:
        """Know the principal."""
        principal = request.auth
        assert isinstance(principal, Principal)
        return Response({"for": principal.subject})


class CanRead(HasScopes.of("orders:read")):  # type: ignore[misc] # a class made by a call
    """Say it in other words."""

    message = "Ask the shop for access."


@api_view(["GET"])
@authentication_classes([TokenwardAuthentication])
@permission_classes([HasScopes.of("orders:read"), HasRoles])
def orders_api(_request: Request) -> Response:
    """Stand in the framework's decorators."""
    return Response()


def check(request: TokenwardRequest, number: int) -> None:
    """Call what the decorators have returned."""
    assert_type(order(request, number=number), JsonResponse)
    assert_type(health(request), HttpResponse)
    assert_type(HasScopes.of("a"), type[HasScopes])
    assert_type(HasRoles.any_of("a"), type[HasRoles])
    composed: OperandHolder = HasScopes.of("a") | IsAdminUser
    known: list[Any] = [composed, IsAdminUser & HasScopes]
    for client in (Client(), AsyncClient(), APIClient()):
        with login_as(client, "alice", scopes=["a"]) as login:
            assert_type(login.principal, Principal)
    del known


plain: Callable[[HttpRequest], HttpResponse] = login_required(health)
urlpatterns = [
    path("orders/<int:number>", order),
    path("maybe", maybe),
    path("health", health),
    path("orders", Orders.as_view()),
    path("api", OrdersApi.as_view()),
    path("api/function", orders_api),
]
