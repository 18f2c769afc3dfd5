"""The same views as in `shop.guarded`, by Django REST framework."""

from django.http import HttpResponse
from django.urls import path, re_path
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.views import APIView

from shop.guarded import TEXT
from tokenward.django.drf import HasRoles, HasScopes, TokenwardAuthentication


class Who(APIView):
    """Says who asks, by whatever method."""

    authentication_classes = (TokenwardAuthentication,)
    permission_classes = (IsAuthenticated,)

    def get(self, request, *_args):
        subject = "nobody" if request.auth is None else request.auth.subject
        return HttpResponse(subject, content_type=TEXT)

    put = post = options = get


class Kept(Who):
    """Says how long a browser may keep this."""

    def get(self, request):
        return HttpResponse(
            "kept", content_type=TEXT, headers={"Cache-Control": "private, max-age=60"}
        )


def demanding(permission):
    """Return the view with one permission."""
    return type("Demanding", (Who,), {"permission_classes": (permission,)}).as_view()


urlpatterns = [
    path("", Who.as_view()),
    path("optional", demanding(AllowAny)),
    path("scoped", demanding(HasScopes.of("read", "admin"))),
    path("any-scope", demanding(HasScopes.any_of("admin", "read"))),
    path("role", demanding(HasRoles.of("owner"))),
    path("kept", Kept.as_view()),
    path("unmarked", demanding(AllowAny)),
    path("health", demanding(AllowAny)),
    path("hook", demanding(AllowAny)),
    re_path(r"(?s)^docs/(.*)\Z", demanding(AllowAny)),
]
