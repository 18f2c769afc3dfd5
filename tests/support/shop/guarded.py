"""The views of ``tests/edges``, each with the guard that its path names: functions and classes."""

from django.http import HttpResponse
from django.urls import path, re_path
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from tokenward.django.decorators import login_required, roles_required, scopes_required

TEXT = "text/plain; charset=utf-8"


def who(request, *_args, **_kwargs):
    """Say who asks."""
    return HttpResponse(request.principal.subject or "nobody", content_type=TEXT)


def kept(request):
    """Say how long a browser may keep this."""
    return HttpResponse("kept", content_type=TEXT, headers={"Cache-Control": "private, max-age=60"})


class Who(View):
    """Says who asks, by whatever method; for OPTIONS it has one of its own."""

    def get(self, request):
        return who(request)

    put = post = options = get


urlpatterns = [
    path("", csrf_exempt(login_required(who))),
    path("optional", csrf_exempt(login_required(optional=True)(who))),
    path("scoped", csrf_exempt(scopes_required("read", "admin")(Who).as_view())),
    path("any-scope", scopes_required(any_of=("admin", "read"))(who)),
    path("role", roles_required("owner")(who)),
    path("kept", login_required(kept)),
    path("unmarked", csrf_exempt(who)),
    path("health", csrf_exempt(who)),
    path("hook", csrf_exempt(who)),
    re_path(r"(?s)^docs/(.*)\Z", csrf_exempt(who)),
]
