"""bearer.py: reading a token, and the one place where an error becomes HTTP (RULES 26 to 28)."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward import errors
from tokenward.bearer import (
    ErrorResponse,
    check_realm,
    check_scopes,
    check_token,
    error_response,
    read_bearer,
    refuse_query_token,
)
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InsufficientScope,
    InvalidAuthorizationHeader,
    InvalidClaim,
    InvalidRequest,
    InvalidToken,
    TooManyAttempts,
)

B64TOKEN = st.from_regex(r"[A-Za-z0-9\-._~+/]+=*", fullmatch=True)
ALL_ERRORS = sorted(
    (e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, AuthError)),
    key=lambda e: e.__name__,
)


def header(response, name):
    values = [value for key, value in response.headers if key == name]
    assert len(values) <= 1
    return values[0] if values else None


@given(B64TOKEN, st.sampled_from(["Bearer", "bearer", "BEARER", "bEaReR"]))
def test_every_b64token_is_read_with_the_scheme_in_any_case(token, scheme):
    """Whatever fits RFC 6750's grammar is the token, unchanged."""
    assert read_bearer(f"{scheme} {token}") == token


@pytest.mark.parametrize("value", ["Bearer   abc", " Bearer abc", "Bearer abc\t", "bearer  abc "])
def test_white_space_around_the_parts_does_not_matter(value):
    """Several spaces after the scheme, and what a server left around the field, are ignored."""
    assert read_bearer(value) == "abc"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "\t",
        "Basic YTpi",
        "Bearers abc",
        "BearerX",
        "Digest a=1, b=2",
        "abc",
        "DPoP x",
    ],
)
def test_another_scheme_or_nothing_is_not_presented(value):
    """What is not Bearer is not ours to refuse."""
    assert read_bearer(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer ",
        "bearer\t",
        "Bearer\tabc",
        "Bearer =",
        "Bearer ab=c",
        "Bearer abc def",
        'Bearer "abc"',
        "Bearer a\u00e9b",
        "Bearer \u0130",
        "Bearer a\x00b",
        "Bearer a\ud800",
        "Bearer a\r\nb",
        "Bearer token=abc!",
        "Bearer {abc}",
    ],
)
def test_bearer_without_exactly_one_b64token_is_malformed(value):
    """Nothing is repaired: not quotes, not white space, not other alphabets."""
    with pytest.raises(InvalidAuthorizationHeader) as caught:
        read_bearer(value)
    assert caught.value.reason == "malformed_authorization"


@pytest.mark.parametrize(
    "value",
    [
        "Bearer abc, Bearer def",
        "Bearer abc,Bearer abc",
        "Bearer abc,",
        ",Bearer abc",
        ", bearer abc",
        "Basic YTpi, Bearer abc",
        "Basic YTpi,BEARER abc",
        "Bearer abc, Basic YTpi",
    ],
)
def test_several_headers_with_a_bearer_among_them_are_refused(value):
    """Servers join repeated headers with a comma, and proxies may have read either one."""
    with pytest.raises(InvalidAuthorizationHeader) as caught:
        read_bearer(value)
    assert caught.value.reason == "repeated_authorization"


@given(st.text())
def test_any_header_is_read_ignored_or_refused_as_documented(value):
    """No header makes anything else escape, and no token has a character outside the grammar."""
    try:
        token = read_bearer(value)
    except InvalidAuthorizationHeader:
        return
    assert token is None or (token and token.isascii() and not set(token) & set(' ,"\\\t'))


@pytest.mark.parametrize(
    "query",
    ["access_token=x", "a=1&access_token=x", "access_token", "access%5Ftoken=x", "%61ccess_token="],
)
def test_a_token_in_the_query_too_is_refused(query):
    """However the parameter's name is written."""
    with pytest.raises(InvalidAuthorizationHeader) as caught:
        refuse_query_token(query)
    assert caught.value.reason == "token_in_query"


@pytest.mark.parametrize(
    "query", ["", "a=access_token", "xaccess_token=1", "a=%20&b", "ACCESS_TOKEN=1"]
)
def test_other_queries_pass(query):
    """Only a parameter of exactly that name is RFC 6750's."""
    assert refuse_query_token(query) is None


@pytest.mark.parametrize("error_class", ALL_ERRORS, ids=lambda e: e.__name__)
def test_every_error_has_its_status_a_json_body_and_no_store(error_class):
    """One formatter, one shape, never cached."""
    error = error_class()
    response = error_response(error)
    assert response.status == error.status_code
    assert header(response, "Content-Type") == "application/json"
    assert header(response, "Cache-Control") == "no-store"
    assert json.loads(response.body) == {
        "error": error.error,
        "error_description": error.description,
    }


@pytest.mark.parametrize("error_class", ALL_ERRORS, ids=lambda e: e.__name__)
def test_every_401_carries_a_challenge(error_class):
    """RFC 9110, section 15.5.2, wants one; and no status but 400, 401 and 403 has any."""
    response = error_response(error_class())
    challenge = header(response, "WWW-Authenticate")
    if response.status == 401:
        assert challenge is not None
    elif response.status not in (400, 403):
        assert challenge is None


@pytest.mark.parametrize("name", ["Forbidden", "RegistrationClosed", "CrossSiteRequest"])
def test_what_no_token_would_change_has_no_challenge(name):
    """A challenge would invite the client to come back with another token."""
    assert header(error_response(getattr(errors, name)()), "WWW-Authenticate") is None


def test_a_failed_login_is_challenged_for_bearer_so_that_no_browser_asks_for_a_password():
    """A Basic challenge would open a dialog."""
    challenge = header(error_response(errors.InvalidCredentials()), "WWW-Authenticate")
    assert challenge == 'Bearer realm="api"'


def test_a_refused_client_is_challenged_for_basic():
    """RFC 6749, section 5.2."""
    challenge = header(error_response(errors.InvalidClient(), realm="as"), "WWW-Authenticate")
    assert challenge == 'Basic realm="as"'


@pytest.mark.parametrize("error", [ValueError("s3cret"), ConfigurationError("s3cret"), KeyError()])
def test_anything_else_is_a_server_error_without_text(error):
    """Nothing of a foreign exception, nor of our own configuration, reaches the caller."""
    response = error_response(error)
    assert response.status == 500
    assert response.body == b'{"error":"server_error"}'
    assert b"s3cret" not in repr(response).encode() + response.body


def test_nothing_that_came_with_a_token_is_sent():
    """Hints, reasons and claims are for logs and programs."""
    error = InvalidClaim("aud", "expected-1", "actual-1", "hint-1", reason="reason-1")
    response = error_response(error)
    sent = repr(response.headers) + response.body.decode()
    assert not any(word in sent for word in ("expected-1", "actual-1", "hint-1", "reason-1", "aud"))


def test_field_messages_are_sent_only_when_there_are_some():
    """Validation says which field; other refusals have no such member."""
    body = json.loads(error_response(InvalidRequest({"username": "is taken"})).body)
    assert body["fields"] == {"username": "is taken"}
    assert "fields" not in json.loads(error_response(InvalidRequest()).body)


def test_realm_is_a_quoted_string():
    """Quotes and backslashes are escaped (RFC 9110, section 5.6.4)."""
    challenge = header(error_response(AuthError(), realm='a "b" \\c'), "WWW-Authenticate")
    assert challenge == 'Bearer realm="a \\"b\\" \\\\c"'


@given(st.text())
def test_no_realm_can_break_out_of_the_header(realm):
    """Line breaks and other alphabets become question marks."""
    challenge = header(error_response(AuthError(), realm=realm), "WWW-Authenticate")
    assert challenge.isascii()
    assert challenge.isprintable()


@given(st.lists(st.text()))
def test_no_scope_can_break_out_of_the_challenge(scopes):
    """Only scope-tokens of RFC 6749, section 3.3, are shown; the rest is left out."""
    challenge = header(error_response(InsufficientScope(scopes)), "WWW-Authenticate")
    assert challenge.isascii()
    assert challenge.isprintable()
    assert challenge.count('"') == (8 if "scope=" in challenge.split("description")[1] else 6)


def test_required_scopes_stand_in_the_challenge():
    """So that a client knows what to ask for."""
    challenge = header(error_response(InsufficientScope(["b", "a"])), "WWW-Authenticate")
    assert challenge.endswith(', scope="b a"')


def test_an_own_error_with_odd_texts_cannot_break_the_challenge():
    """Programs may subclass; what RFC 6750, section 3, excludes is dropped."""

    class Odd(InvalidToken):
        error = 'odd"\r\nX: y'
        description = 'Say "no" \u2013 \\now'

    challenge = header(error_response(Odd()), "WWW-Authenticate")
    assert challenge == ('Bearer realm="api", error="oddX: y", error_description="Say no  now"')


@pytest.mark.parametrize("seconds", [0, -5, 0.2, 1, math.nan, -math.inf])
def test_retry_after_is_at_least_one_second(seconds):
    """Zero would be a request to hammer."""
    assert header(error_response(TooManyAttempts(seconds)), "Retry-After") == "1"


@pytest.mark.parametrize("seconds", [86_400, 10**9, math.inf])
def test_retry_after_is_at_most_a_day(seconds):
    """A number from upstream cannot send clients away for good."""
    assert header(error_response(TooManyAttempts(seconds)), "Retry-After") == "86400"


def test_retry_after_of_a_throttled_login_is_rounded_up():
    """Whoever comes back in that second is looked at."""
    assert header(error_response(TooManyAttempts(4.1)), "Retry-After") == "5"


def test_retry_after_of_an_outage_is_spread():
    """Integers, never earlier than asked, and not the same for everybody."""
    seen = {
        int(header(error_response(AuthServiceUnavailable(retry_after=20)), "Retry-After"))
        for _ in range(500)
    }
    assert min(seen) >= 20
    assert max(seen) <= 30
    assert len(seen) > 5


def test_an_error_response_is_a_value():
    """Frozen, and its repr has no body."""
    response = error_response(AuthError())
    assert response == ErrorResponse(response.status, response.headers, response.body)
    with pytest.raises(AttributeError):
        response.status = 200
    assert "not authorized" not in repr(response)


@pytest.mark.parametrize("realm", ["", "caf\u00e9", "a\nb", "a\x00"])
def test_a_realm_that_cannot_stand_in_a_header_is_a_configuration_error(realm):
    """It fails when the authenticator is made, not in a response."""
    with pytest.raises(ConfigurationError, match="printable ASCII"):
        check_realm(realm)


@pytest.mark.parametrize("scope", ["", "a b", 'a"b', "a\\b", "\u00e9", 7, None, ("a",)])
def test_what_is_no_scope_is_a_configuration_error(scope):
    """A decorator that names it could never let anybody through."""
    with pytest.raises(ConfigurationError, match="is not a scope"):
        check_scopes(["good", scope])


def test_scopes_that_are_scopes_pass_in_their_order():
    """RFC 6749's alphabet is wider than letters."""
    assert check_scopes(["orders:read", "https://api.example/x", "!"]) == (
        "orders:read",
        "https://api.example/x",
        "!",
    )


@pytest.mark.parametrize("code", [0x00, 0x0A, 0x1F, 0x20, 0x7F, 0x80, 0xE4, 0x2028, 0xDC80])
def test_what_is_not_visible_ascii_is_no_token(code):
    """From the exclamation mark to the tilde, and nothing on either side of them."""
    with pytest.raises(errors.InvalidToken) as caught:
        check_token(f"a{chr(code)}b")

    assert "malformed" == caught.value.reason


def test_every_visible_ascii_character_may_be_in_a_token():
    """More than a header takes: a server may give its tokens any of them."""
    check_token("".join(map(chr, range(0x21, 0x7F))))
