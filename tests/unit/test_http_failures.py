"""No library's exception escapes the transport (RULES 22)."""

import gc
import http.client
import inspect
import socket
import ssl
import time

import pytest
import requests
import responses
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from tokenward._http import RequestsTransport, retry_after_of
from tokenward._http.failures import explained
from tokenward.errors import AuthServiceUnavailable
from tokenward.protocols import Request, Response

URL = "https://auth.example.com/introspect"
REQUEST = Request("POST", URL, form={"token": "a-token"})
REASONS = {"connect_failed", "tls", "deadline", "truncated", "bad_encoding", "bad_response"}


def _tree(root):
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def _foreign():
    roots = [requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException]
    roots += [urllib3.exceptions.HTTPWarning, requests.exceptions.RequestsWarning, ssl.SSLError]
    roots += [OSError, ValueError, RuntimeError, LookupError, ArithmeticError, MemoryError]
    classes = {cls for root in roots for cls in _tree(root)}
    own = ("requests", "urllib3", "http.client", "ssl", "socket", "builtins")
    return sorted(
        (cls for cls in classes if cls.__module__.startswith(own)), key=lambda cls: cls.__qualname__
    )


def _instance(cls):
    """Make an exception without knowing its constructor."""
    return cls.__new__(cls)


@pytest.mark.parametrize("cls", _foreign(), ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_every_exception_becomes_ours(cls):
    """Whatever class of the libraries' trees is raised, AuthServiceUnavailable leaves."""
    with responses.RequestsMock() as mock:
        mock.add(responses.POST, URL, body=_instance(cls))
        with pytest.raises(AuthServiceUnavailable) as caught:
            RequestsTransport(retries=0).send(REQUEST, deadline=time.monotonic() + 90)
    assert type(caught.value) is AuthServiceUnavailable
    assert caught.value.reason in REASONS
    assert caught.value.hint.startswith(f"POST {URL}: ")
    assert caught.value.__context__ is None


def test_the_trees_are_walked():
    """The walk finds what it is meant to find."""
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in _foreign()}
    assert {
        "requests.exceptions.ReadTimeout",
        "requests.exceptions.InvalidHeader",
        "urllib3.exceptions.MaxRetryError",
        "http.client.RemoteDisconnected",
        "ssl.SSLCertVerificationError",
        "builtins.ConnectionResetError",
        "builtins.RecursionError",
    } <= names


def _raised(cause, outer):
    outer.__cause__ = cause
    return outer


@pytest.mark.parametrize(
    ("error", "received", "reason"),
    [
        (requests.ConnectionError("refused"), 0, "connect_failed"),
        (requests.ConnectTimeout(), 0, "connect_failed"),
        (requests.ReadTimeout(), 0, "deadline"),
        (requests.exceptions.SSLError(), 0, "tls"),
        (requests.exceptions.ProxyError(), 10, "connect_failed"),
        (requests.exceptions.ChunkedEncodingError(), 0, "truncated"),
        (requests.exceptions.ContentDecodingError(), 0, "bad_encoding"),
        (requests.exceptions.InvalidHeader(), 0, "bad_response"),
        (requests.exceptions.InvalidURL(), 0, "bad_response"),
        (requests.ConnectionError(ConnectionResetError(104, "reset")), 0, "connect_failed"),
        (requests.ConnectionError(ConnectionResetError(104, "reset")), 7, "truncated"),
        (
            requests.ConnectionError(
                urllib3.exceptions.ProtocolError("aborted", http.client.BadStatusLine("x"))
            ),
            1,
            "bad_response",
        ),
        (
            requests.ConnectionError(
                urllib3.exceptions.ProtocolError("broken", http.client.IncompleteRead(b"", 3))
            ),
            7,
            "truncated",
        ),
        (
            requests.ConnectionError(
                urllib3.exceptions.MaxRetryError(None, "/", ssl.SSLEOFError(8, "EOF"))
            ),
            0,
            "connect_failed",
        ),
        (
            requests.ConnectionError(
                urllib3.exceptions.MaxRetryError(None, "/", ssl.SSLCertVerificationError(1, "bad"))
            ),
            0,
            "tls",
        ),
        (socket.gaierror(-2, "unknown"), 0, "connect_failed"),
        (http.client.RemoteDisconnected(), 0, "connect_failed"),
        (http.client.LineTooLong("header"), 0, "bad_response"),
        (TimeoutError(), 0, "deadline"),
        (OSError(24, "too many files"), 0, "connect_failed"),
        (ValueError(), 0, "bad_response"),
        (RecursionError(), 0, "bad_response"),
        (_raised(AuthServiceUnavailable(reason="busy"), RuntimeError()), 0, "busy"),
    ],
)
def test_the_precise_error_decides(error, received, reason):
    """The reason is that of the innermost error a library wrapped."""
    assert explained(error, received=received).reason == reason


def test_an_error_that_leads_back_to_itself_ends():
    """A cycle of causes is walked once."""
    one, two = ValueError(), OSError()
    one.__cause__, two.__cause__ = two, one
    assert explained(one).reason == "connect_failed"


def test_the_systems_words_are_passed_on_and_escaped():
    """The system's own text helps the operator; anything odd in it is escaped."""
    assert "Connection refused" in explained(OSError(111, "Connection refused")).hint
    assert "\n" not in explained(OSError(111, "forged\nline")).hint


def test_a_librarys_words_are_not():
    """A library's text may quote a header of ours."""
    assert "hunter2" not in explained(requests.exceptions.InvalidHeader("Basic hunter2")).hint


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("Thu, 01 Jan 2026 00:01:40 GMT", 100.0),
        ("Thursday, 01-Jan-26 00:01:40 GMT", 100.0),
        ("Thu Jan  1 00:01:40 2026", 100.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("+5", None),
        ("٣", None),
        ("9" * 5_000, None),
        ("soon", None),
        ("Fri, 99 Dec 1999 23:59:59 GMT", None),
        ("Fri, 31 Dec 999999 23:59:59 GMT", None),
        ("Fri", None),
    ],
)
@pytest.mark.usefixtures("far_from_utc")
def test_retry_after_is_a_number_or_a_date(value, seconds):
    """Seconds or an HTTP-date are understood, in any time zone; anything else is none."""
    response = Response(503, {"retry-after": value})
    assert retry_after_of(response, clock=lambda: 1_767_225_600.0) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_raises(value):
    """Whatever a server writes there, it is a number of seconds or nothing."""
    seconds = retry_after_of(Response(503, {"retry-after": value}), clock=lambda: 0.0)
    assert seconds is None or seconds >= 0


def test_an_answer_without_retry_after_has_none():
    """No header, no seconds."""
    assert retry_after_of(Response(503)) is None


def test_a_url_is_checked_before_any_call():
    """A request to a URL that is not allowed is refused without being sent."""
    with responses.RequestsMock() as mock:
        transport = RequestsTransport()
        for url in (
            "http://auth.example.com/",
            "ftp://auth.example.com/",
            "https://u:p@a.example/",
            None,
        ):
            with pytest.raises(AuthServiceUnavailable) as caught:
                transport.send(Request("GET", url), deadline=time.monotonic() + 90)
            assert caught.value.reason == "bad_url"
        assert len(mock.calls) == 0


def test_a_transport_that_is_dropped_leaves_nothing():
    """Nothing but the caller holds a transport."""
    import weakref

    transport = RequestsTransport()
    reference = weakref.ref(transport)
    del transport
    gc.collect()
    assert reference() is None
    assert inspect.isclass(RequestsTransport)
