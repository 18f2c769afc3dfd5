"""A transport that hands out documents, for what does not depend on sockets."""

import json
import threading

from tokenward.errors import AuthServiceUnavailable
from tokenward.protocols import Response

JSON = {"content-type": "application/json"}


class Site:
    """Answers each URL with what stands there; 404 where nothing does.

    A page is a JSON value, bytes, a `Response`, an exception to raise, or a callable that returns
    one of these.
    """

    def __init__(self, **pages):
        self.pages = pages
        self.sent = []
        self.deadlines = []
        self.unreadable = []
        self.closed = 0
        self.lock = threading.Lock()

    def __setitem__(self, url, page):
        self.pages[url] = page

    def send(self, request, *, deadline):
        with self.lock:
            self.sent.append(request)
            self.deadlines.append(deadline)
            page = self.pages.get(request.url, Response(404))
        if callable(page):
            page = page()
        if isinstance(page, AuthServiceUnavailable):
            raise page
        return page if isinstance(page, Response) else said(page)

    def close(self):
        self.closed += 1

    def report_unreadable(self, url):
        self.unreadable.append(url)

    @property
    def asked(self):
        """The URLs that were asked for, in order."""
        return [request.url for request in self.sent]


def said(page, *, status=200, **headers):
    """Return an answer with a JSON body; an underscore in a header's name is a hyphen."""
    body = page if isinstance(page, bytes) else json.dumps(page).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, JSON | named, body)


def down(reason="connect_failed", hint="it is down", **more):
    """Return the outage of a server that cannot be reached."""
    return AuthServiceUnavailable(hint, reason=reason, **more)
