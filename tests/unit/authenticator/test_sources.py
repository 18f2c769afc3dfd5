"""authenticator.sources: what counts as presented, place by place (RULES 26)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.authenticator import (
    Credential,
    EnvironHeaders,
    authorization,
    cookie,
    header,
)
from tokenward.errors import ConfigurationError, InvalidAuthorizationHeader
from tokenward.testing import StubVerifier

STUB = StubVerifier({})


@pytest.mark.parametrize(
    ("source", "headers"),
    [
        (authorization(), {}),
        (authorization(), {"Authorization": ""}),
        (authorization(), {"Authorization": "Basic YTpi"}),
        (header("X-Api-Token"), {}),
        (header("X-Api-Token"), {"X-Api-Token": ""}),
        (header("X-Api-Token"), {"X-Api-Token": " \t"}),
        (cookie("session"), {}),
        (cookie("session"), {"Cookie": ""}),
        (cookie("session"), {"Cookie": "session="}),
        (cookie("session"), {"Cookie": "session"}),
        (cookie("session"), {"Cookie": "other=session"}),
        (cookie("session"), {"Cookie": "Session=x; xsession=y; session2=z"}),
    ],
)
def test_absent_and_empty_are_not_presented(source, headers):
    """An empty header or cookie is as good as none, and so is another scheme or name."""
    assert source.read(headers, "") is None


@pytest.mark.parametrize(
    ("source", "headers"),
    [
        (authorization(), {"Authorization": "Bearer abc"}),
        (header("X-Api-Token"), {"X-Api-Token": "abc"}),
        (header("X-Api-Token"), {"X-Api-Token": " abc\t"}),
        (cookie("session"), {"Cookie": "session=abc"}),
        (cookie("session"), {"Cookie": "a=b; session=abc; c=d"}),
        (cookie("session"), {"Cookie": "a=b;session=abc"}),
        (cookie("session"), {"Cookie": "session=abc; session=abc"}),
        (cookie("session"), {"Cookie": "session=; session=abc"}),
    ],
)
def test_what_is_presented_is_read(source, headers):
    """The token alone, without what is around it."""
    assert source.read(headers, "") == "abc"


def test_a_cookie_value_may_hold_equals_signs():
    """Only the first one ends the name."""
    assert cookie("s").read({"Cookie": "s=ab=="}, "") == "ab=="


def test_a_cookie_sent_twice_with_different_values_is_refused():
    """Which one counts would be chance, or somebody's choice on a sibling host."""
    with pytest.raises(InvalidAuthorizationHeader) as caught:
        cookie("session").read({"Cookie": "session=abc; session=def"}, "")
    assert caught.value.reason == "repeated_cookie"


def test_a_repeated_header_is_refused():
    """It arrives comma-joined."""
    with pytest.raises(InvalidAuthorizationHeader) as caught:
        header("X-Api-Token").read({"X-Api-Token": "abc,def"}, "")
    assert caught.value.reason == "repeated_header"


def test_only_authorization_minds_a_token_in_the_query():
    """A cookie beside such a parameter is not two RFC 6750 methods."""
    query = "access_token=x"
    assert cookie("session").read({"Cookie": "session=abc"}, query) == "abc"
    assert header("X-Api-Token").read({"X-Api-Token": "abc"}, query) == "abc"
    with pytest.raises(InvalidAuthorizationHeader):
        authorization().read({"Authorization": "Bearer abc"}, query)
    assert authorization().read({}, query) is None


@given(st.text(), st.text())
def test_no_cookie_header_makes_anything_else_escape(before, after):
    """Any text around the cookie leaves it read, absent or refused."""
    source = cookie("session")
    try:
        value = source.read({"Cookie": f"{before}session=abc{after}"}, "")
    except InvalidAuthorizationHeader:
        return
    assert value is None or value


@pytest.mark.parametrize(
    ("make", "name", "sentence"),
    [
        (header, "", "is not a header name"),
        (header, "X Token", "is not a header name"),
        (header, "X-T\u00f6ken", "is not a header name"),
        (header, "Authorization", "authorization\\(\\)"),
        (header, "cookie", "cookie\\(NAME\\)"),
        (cookie, "", "is not a cookie name"),
        (cookie, "a=b", "is not a cookie name"),
        (cookie, "a;b", "is not a cookie name"),
    ],
)
def test_a_wrong_name_is_a_configuration_error_that_says_what_to_write(make, name, sentence):
    """It fails when the program starts."""
    with pytest.raises(ConfigurationError, match=sentence):
        make(name)


@pytest.mark.parametrize(
    ("source", "ambient"),
    [
        (authorization(), False),
        (header("X-Api-Token"), True),
        (header("Cf-Access-Jwt-Assertion"), True),
        (cookie("session"), True),
    ],
)
def test_what_browsers_or_proxies_may_attach_is_ambient_unless_declared_otherwise(source, ambient):
    """Only Authorization is something that a page must set itself."""
    assert Credential(source, STUB).ambient is ambient


def test_an_ordinary_header_may_be_declared_not_ambient():
    """The person who configures knows what the proxy does."""
    assert Credential(header("X-Api-Token"), STUB, ambient=False).ambient is False
    assert Credential(authorization(), STUB, ambient=True).ambient is True


@pytest.mark.parametrize("source", [cookie("session"), header("cf-access-jwt-assertion")])
def test_what_is_always_ambient_cannot_be_declared_otherwise(source):
    """It would switch the cross-site check off."""
    with pytest.raises(ConfigurationError, match="remove ambient=False"):
        Credential(source, STUB, ambient=False)


def test_a_credential_shows_no_verifier():
    """Verifiers may hold secrets that their own repr forgot."""
    assert "StubVerifier" not in repr(Credential(authorization(), STUB))


def test_environ_headers_are_found_by_name_in_any_case():
    """As PEP 3333 stores them."""
    headers = EnvironHeaders({"HTTP_X_API_TOKEN": "abc", "HTTP_AUTHORIZATION": "Bearer x"})
    assert headers.get("x-api-TOKEN") == "abc"
    assert headers.get("Authorization") == "Bearer x"
    assert headers.get("Cookie") is None


def test_the_headers_of_an_environment_can_be_listed():
    """As names; what is no header is not among them."""
    environ = {"HTTP_X_FORWARDED_FOR": "a", "HTTP_HOST": "b", "REMOTE_ADDR": "c", "wsgi.input": 0}
    assert ["X-Forwarded-For", "Host"] == list(EnvironHeaders(environ).keys())
