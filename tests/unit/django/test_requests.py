"""tokenward.django.requests: what an annotation promises, a request has."""

from asgiref.sync import async_to_sync
from django.http import HttpResponse

from tokenward.django.middleware import TokenwardMiddleware
from tokenward.django.requests import TokenwardRequest
from tokenward.testing import login_as


def test_a_request_has_what_the_annotation_says(rf, settings):
    """Behind the middleware, of a request of any class."""
    settings.TOKENWARD = {"credentials": [], "django": {"user": "stateless"}}

    def view(request):
        assert set(TokenwardRequest.__annotations__) <= set(vars(request))
        assert request.principal == async_to_sync(request.aprincipal)()
        return HttpResponse(request.principal.subject)

    with login_as(rf, "alice"):
        assert TokenwardMiddleware(view)(rf.get("/")).content == b"alice"
