"""What this site adds to its answers."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from tokenward.bearer import error_response
from tokenward.errors import AuthError, AuthServiceUnavailable, CrossSiteRequest

# Django's admin needs its own scripts; our pages have none.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

DOWN = {
    "title": "Try again soon",
    "text": "Who you are cannot be checked right now. You have not been signed out.",
}
REFUSED = {
    "title": "Refused",
    "text": "Another site sent this form, or a browser that does not say which site did. "
    "Nothing was changed.",
}


class ForPeople:
    """Puts what a person cannot mend into words, and lets pages hold what is ours alone."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Let no page load or embed anything of another site, or be embedded there."""
        response = self.get_response(request)
        response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer a page with a page; a program gets JSON from tokenward as ever."""
        if request.path.startswith("/api/"):
            return None
        if isinstance(error, AuthServiceUnavailable | CrossSiteRequest):
            return explain(request, error)
        return None


def explain(request: HttpRequest, error: AuthError) -> HttpResponse:
    """Say it in words, with the status and the headers that tokenward would send."""
    answer = error_response(error)
    words = DOWN if answer.status == 503 else REFUSED
    page = render(request, "accounts/message.html", words, status=answer.status)
    for name, value in answer.headers:
        page.headers.setdefault(name, value)
    return page


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django's
    """Say that Django has refused a form, as this site says it: see CSRF_FAILURE_VIEW."""
    return explain(request, CrossSiteRequest())
