"""pages.py: the way back after signing in, the sign-in cookie, and who is sent to sign in."""

import logging
from urllib.parse import quote, unquote, urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    CrossSiteRequest,
    InsufficientScope,
    InvalidAuthorizationHeader,
    InvalidToken,
    NotAuthenticated,
    TokenExpired,
    TokenRevoked,
)
from tokenward.pages import (
    MAX_TARGET_CHARACTERS,
    SignInCookie,
    check_method,
    safe_next,
    wants_to_sign_in,
)
from tokenward.schemas import LoginResponse

ORIGIN = "https://shop.example"


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/orders",
        "/orders/7?page=2&sort=-date#last",
        "/orders?next=/profile",
        "/a//b",
        "/caf%C3%A9",
        "/café",
        "/100%25",
        "/%",
        "/a b",
        "/@evil.example",
        "/:80",
    ],
)
def test_a_path_of_this_host_is_the_way_back(target):
    """As it stands, and again when it is asked about a second time."""
    assert target == safe_next(target, "/default")
    assert target == safe_next(safe_next(target, "/default"), "/default")


@pytest.mark.parametrize(
    "target",
    [
        None,
        "",
        "orders",
        "?page=2",
        "https://evil.example/",
        "https:/evil.example/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        " //evil.example",
        "/\x00/evil.example",
        "/\x85/evil.example",
        "/%2Fevil.example",
        "/%2f/evil.example",
        "/%5Cevil.example",
        "/%5cevil.example",
        "/%09/evil.example",
        "/%0A/evil.example",
        "/%0d%0aSet-Cookie:a=b",
        "%2F%2Fevil.example",
        "/orders\\..\\..",
        "/orders\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "data:text/html,hello",
        "/\ud800",
    ],
)
def test_anything_else_is_the_default_page(target):
    """Other hosts, other schemes, and what a browser or a proxy would make one of."""
    assert "/default" == safe_next(target, "/default")


def test_the_default_page_is_the_root():
    """Unless the application says otherwise."""
    assert "/" == safe_next("//evil.example")


def test_a_way_back_has_a_length():
    """What is longer would make a header that servers refuse."""
    longest = "/" + "a" * (MAX_TARGET_CHARACTERS - 1)
    assert longest == safe_next(longest, "/default")
    assert "/default" == safe_next(longest + "a", "/default")


# Characters that mean something in a URL, as they are and encoded, once and twice.
_pieces = st.sampled_from(
    [
        *("/", "//", "\\", ".", "..", ":", "@", "?", "#", "%", "\t", "\n", "\r", " ", "é"),
        *("evil.example", "https:", "javascript:"),
        *("%2F", "%2f", "%5C", "%09", "%0A", "%25", "%252F", "%255C"),
    ]
)
_targets = st.one_of(st.text(), st.lists(_pieces, max_size=8).map("".join))


def _as_a_browser_reads(target):
    # WHATWG URL: tabs and line breaks are dropped anywhere, control characters and spaces at the
    # ends, and a backslash is a slash.
    trimmed = target.strip("".join(map(chr, range(0x21))))
    return trimmed.translate({9: None, 10: None, 13: None, ord("\\"): "/"})


@given(_targets)
@example("/%2F/evil.example")
@example("/%5C%5Cevil.example")
def test_whatever_comes_leads_to_this_origin(target):
    """Read as it stands and after one more decoding, as Python and as a browser reads it."""
    found = safe_next(target, "/default")
    assert found in (target, "/default")
    for once in (found, unquote(found)):
        for read in (once, _as_a_browser_reads(once)):
            parts = urlsplit(urljoin(f"{ORIGIN}/sign-in", read))
            assert ORIGIN == f"{parts.scheme}://{parts.netloc}"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\")))
def test_whatever_path_there_is_one_can_come_back_to(text):
    """Encoded, as the adapters hand it on."""
    path = "/orders/" + quote(text)
    if len(path) <= MAX_TARGET_CHARACTERS:
        assert path == safe_next(path, "/default")


def test_a_secure_cookie_is_of_this_host_alone():
    """`__Host-` is added where it holds: with Secure, Path=/ and no Domain."""
    cookie = SignInCookie("shop")
    assert "__Host-shop" == cookie.name
    assert {
        "path": "/",
        "secure": True,
        "httponly": True,
        "samesite": "Lax",
    } == cookie.attributes


def test_a_cookie_for_development_goes_without_https():
    """And without the prefix, which browsers take with Secure only."""
    cookie = SignInCookie("shop", secure=False, samesite="Strict")
    assert "shop" == cookie.name
    assert {
        "path": "/",
        "secure": False,
        "httponly": True,
        "samesite": "Strict",
    } == cookie.attributes


@pytest.mark.parametrize(
    "name", ["", "a b", "a=b", "a;b", "ä", "a\n", "__Host-shop", "__host-shop", "__Secure-shop"]
)
def test_what_is_no_cookie_name_stops_the_program(name):
    """The prefix is not for writing either: it is added where browsers would take it."""
    with pytest.raises(ConfigurationError, match="not a cookie name"):
        SignInCookie(name)


def test_the_cookie_lives_as_long_as_the_token():
    """In seconds from now."""
    login = LoginResponse(access_token="t", expires_in=900)
    assert 900 == SignInCookie("shop").max_age(login, "POST")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "post"])
def test_signing_in_and_out_is_done_by_post(method):
    """A link or an image on another page signs nobody in or out."""
    with pytest.raises(ConfigurationError, match="POST"):
        check_method(method)
    with pytest.raises(ConfigurationError, match="POST"):
        SignInCookie("shop").max_age(LoginResponse(access_token="t", expires_in=9), method)


def test_a_token_that_no_browser_would_keep_is_refused():
    """With its length and nothing of itself: the cookie would silently not be set."""
    largest = LoginResponse(access_token="t" * 3_957, expires_in=9)
    assert 9 == SignInCookie("shop").max_age(largest, "POST")
    larger = LoginResponse(access_token="t" * 3_958, expires_in=9)
    with pytest.raises(ConfigurationError, match="3958 characters") as caught:
        SignInCookie("shop").max_age(larger, "POST")
    assert "ttt" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Sec-Fetch-Mode": "navigate"}, True),
        ({"Sec-Fetch-Mode": "navigate", "Accept": "*/*"}, True),
        ({"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}, True),
        ({}, False),
        ({"Accept": "*/*"}, False),
        ({"Accept": "application/json"}, False),
        ({"Sec-Fetch-Mode": "cors", "Accept": "text/html"}, False),
        ({"Sec-Fetch-Mode": "no-cors", "Accept": "text/html"}, False),
        ({"Sec-Fetch-Mode": "navigate", "Authorization": "Bearer t"}, False),
        ({"Accept": "text/html", "Authorization": "Basic dTpw"}, False),
    ],
)
def test_a_person_is_sent_to_sign_in_and_a_program_is_not(headers, expected):
    """A browser says what it is about; an old one, what it would like to get."""
    assert expected is wants_to_sign_in(NotAuthenticated(), "GET", headers)
    assert expected is wants_to_sign_in(TokenExpired(), "HEAD", headers)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_what_changes_something_is_not_sent_to_sign_in(method):
    """The way back would not repeat it."""
    assert not wants_to_sign_in(NotAuthenticated(), method, {"Sec-Fetch-Mode": "navigate"})


@pytest.mark.parametrize(
    "error",
    [
        AuthServiceUnavailable(),
        InsufficientScope(),
        CrossSiteRequest(),
        InvalidAuthorizationHeader(),
    ],
)
def test_what_signing_in_would_not_mend_is_not_sent_to_sign_in(error):
    """An outage above all: the sign-in page would fail as well."""
    assert not wants_to_sign_in(error, "GET", {"Sec-Fetch-Mode": "navigate"})


COOKIE = SignInCookie("shop")


@pytest.mark.parametrize(
    ("error", "headers", "expected"),
    [
        (TokenRevoked(), {"Cookie": "a=b; __Host-shop=t"}, True),
        (InvalidToken(), {"Cookie": "__Host-shop=t"}, True),
        (InvalidToken(), {"Cookie": "a=b"}, False),
        (InvalidToken(), {}, False),
        (InvalidToken(), {"Cookie": "__Host-shop=t", "Authorization": "Bearer t"}, False),
        (AuthServiceUnavailable(), {"Cookie": "__Host-shop=t"}, False),
        (InsufficientScope(), {"Cookie": "__Host-shop=t"}, False),
        (CrossSiteRequest(), {"Cookie": "__Host-shop=t"}, False),
    ],
)
def test_only_a_cookie_that_was_refused_is_taken_back(error, headers, expected):
    """An outage says nothing about it, and neither does another credential's refusal."""
    assert expected is COOKIE.is_refused(error, headers)


class TestEndToken:
    """Whoever signs out is signed out, whatever comes of the token."""

    def test_the_token_in_the_cookie_is_ended(self):
        """It alone."""
        ended = []
        COOKIE.end_token({"Cookie": "a=b; __Host-shop=the.token"}, ended.append)
        assert ["the.token"] == ended

    @pytest.mark.parametrize(
        "cookie", [None, "", "a=b", "__Host-shop=", "__Host-shop=a; __Host-shop=b"]
    )
    def test_without_one_token_nothing_is_ended(self, cookie):
        """None there, or one cannot tell which."""
        ended = []
        COOKIE.end_token({} if cookie is None else {"Cookie": cookie}, ended.append)
        assert [] == ended

    def test_a_token_that_was_no_good_any_more_is_nothing_to_log(self, caplog):
        """It had ended before."""

        def end(token):
            raise TokenRevoked

        with caplog.at_level(logging.DEBUG):
            COOKIE.end_token({"Cookie": "__Host-shop=the.token"}, end)
        assert [] == caplog.records

    def test_an_outage_is_logged_without_the_token(self, caplog):
        """For the operator: it is good until it expires."""

        def end(token):
            raise AuthServiceUnavailable("nobody there", reason="of this test")

        COOKIE.end_token({"Cookie": "__Host-shop=the.token"}, end)
        (record,) = caplog.records
        assert ("tokenward.pages", logging.WARNING) == (record.name, record.levelno)
        assert "nobody there" in record.getMessage()
        assert "the.token" not in caplog.text
