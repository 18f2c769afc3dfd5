"""The same views as in `shop.guarded`, on an event loop."""

from django.http import HttpResponse
from django.urls import path, re_path
from django.views import View

from shop.guarded import TEXT
from tokenward.django.decorators import login_required, roles_required, scopes_required


def exempt(view):
    """Do what csrf_exempt does; before Django 5.0 it made a sync function of an async one."""
    view.csrf_exempt = True
    return view


async def who(request, *_args, **_kwargs):
    """Say who asks."""
    return HttpResponse((await request.aprincipal()).subject or "nobody", content_type=TEXT)


async def kept(request):
    """Say how long a browser may keep this."""
    return HttpResponse("kept", content_type=TEXT, headers={"Cache-Control": "private, max-age=60"})


class Who(View):
    """Says who asks, by whatever method; for OPTIONS it has one of its own."""

    async def get(self, request):
        return await who(request)

    put = post = options = get


urlpatterns = [
    path("", exempt(login_required(who))),
    path("optional", exempt(login_required(optional=True)(who))),
    path("scoped", exempt(scopes_required("read", "admin")(Who).as_view())),
    path("any-scope", scopes_required(any_of=("admin", "read"))(who)),
    path("role", roles_required("owner")(who)),
    path("kept", login_required(kept)),
    path("unmarked", exempt(who)),
    path("health", exempt(who)),
    path("hook", exempt(who)),
    re_path(r"(?s)^docs/(.*)\Z", exempt(who)),
]
