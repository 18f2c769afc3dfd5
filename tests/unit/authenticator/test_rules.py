"""authenticator.rules: public paths, cross-site requests, preflights (RULES 29, 30)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.authenticator import is_preflight
from tokenward.authenticator.rules import Origins, PublicPaths
from tokenward.errors import ConfigurationError, CrossSiteRequest


@pytest.mark.parametrize(
    ("rule", "method", "path", "public"),
    [
        ("/health", "GET", "/health", True),
        ("/health", "HEAD", "/health", True),
        ("/health", "POST", "/health", False),
        ("/health", "get", "/health", False),
        ("/health", "OPTIONS", "/health", False),
        ("/health", "GET", "/health/", False),
        ("/health", "GET", "/health/live", False),
        ("/health", "GET", "/Health", False),
        ("/health", "GET", "", False),
        ("GET /health", "HEAD", "/health", True),
        ("HEAD /health", "GET", "/health", False),
        ("POST /webhook", "POST", "/webhook", True),
        ("POST /webhook", "GET", "/webhook", False),
        ("/docs/*", "GET", "/docs/", True),
        ("/docs/*", "GET", "/docs/a/b.html", True),
        ("/docs/*", "GET", "/docs", False),
        ("/docs/*", "GET", "/docsecret", False),
        ("/docs/*", "PUT", "/docs/a", False),
        ("DELETE /a/*", "DELETE", "/a/b", True),
        ("/*", "GET", "/", True),
        ("/", "GET", "/", True),
        ("/", "GET", "/a", False),
        ("/caf\u00e9", "GET", "/caf\u00e9", True),
        ("/a b", "GET", "/a b", True),
    ],
)
def test_a_rule_matches_exactly_or_everything_below(rule, method, path, public):
    """No method means GET and HEAD; a final ``/*`` means everything below."""
    assert PublicPaths([rule]).match(method, path) is public


@pytest.mark.parametrize(
    "path",
    [
        "/docs//admin",
        "//docs/a",
        "/docs/../admin",
        "/docs/..",
        "/docs/.",
        "/docs/./a",
        "/docs/a\\b",
        "/docs/a;b",
        "/docs/a\x00",
        "/docs/a\n",
        "/docs/a\x7f",
        "/docs/\x85",
    ],
)
def test_an_odd_path_is_never_public(path):
    """What checks it and what serves it might read it differently."""
    assert PublicPaths(["/docs/*", "/*"]).match("GET", path) is False


@pytest.mark.parametrize(
    "path", ["/docs/..a", "/docs/a..b", "/docs/.hidden", "/docs/a.b/", "/docs/..."]
)
def test_dots_inside_names_are_not_dot_segments(path):
    """They mean nothing to anybody."""
    assert PublicPaths(["/docs/*"]).match("GET", path) is True


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "health",
        "/a*",
        "/*/a",
        "/a/**",
        "/a//b",
        "/a/../b",
        "/a/.",
        "/a\\b",
        "/a;b",
        "/a?b",
        "/a#b",
        "/a%20b",
        "/a\n",
        "post /a",
        "POST  /a",
        "POST/a",
        "GET,POST /a",
        " /a",
        "https://x.example/a",
    ],
)
def test_a_rule_that_could_never_match_is_a_configuration_error(rule):
    """It would be a promise that is not kept, silently."""
    with pytest.raises(ConfigurationError, match="is not a rule for public paths"):
        PublicPaths([rule])


def test_a_single_string_is_no_list_of_rules():
    """Its characters would become rules."""
    with pytest.raises(ConfigurationError, match="takes a list of strings"):
        PublicPaths("/health")


def test_without_rules_nothing_is_public():
    """Closed is the default of the rules."""
    assert PublicPaths([]).match("GET", "/") is False


@given(st.text())
def test_only_paths_below_the_prefix_are_public(path):
    """Whatever the path, a prefix rule never reaches beside or above itself."""
    if PublicPaths(["/docs/*"]).match("GET", path):
        assert path.startswith("/docs/")
        assert "/../" not in path
        assert not path.endswith("/..")


SHOP = Origins(["https://shop.example", "http://localhost:3000"])


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://shop.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://shop.example"},
        {"Origin": "https://shop.example"},
        {"Origin": "http://localhost:3000"},
    ],
)
def test_same_origin_the_person_and_configured_origins_pass(headers):
    """The browser says it, or the configuration does."""
    assert SHOP.check(headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "Same-Origin"},
        {"Sec-Fetch-Site": "same-origin, cross-site"},
        {"Sec-Fetch-Site": ""},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "http://shop.example"},
        {"Origin": "https://shop.example:443"},
        {"Origin": "https://shop.example.evil.example"},
        {"Origin": "https://shop.example, https://evil.example"},
        {"Referer": "https://shop.example/"},
    ],
)
def test_everything_else_is_a_cross_site_request(headers):
    """Without proof, an unsafe request with an ambient credential is refused."""
    with pytest.raises(CrossSiteRequest):
        SHOP.check(headers)


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example/",
        "https://Shop.example",
        "HTTPS://shop.example",
        "https://shop.example:443",
        "http://shop.example:80",
        "https://user@shop.example",
        "https://shop.example?x",
        "https://shop.example#x",
        "https://shop.example:x",
        "https://shop.example:",
        "https://",
        "https://*.shop.example",
        "https://caf\u00e9.example",
        "https://[::1",
        "shop.example",
        "null",
        "*",
        "",
        "ftp://shop.example",
    ],
)
def test_an_origin_that_no_browser_sends_is_a_configuration_error(origin):
    """It would never match, or match what was not meant."""
    with pytest.raises(ConfigurationError, match="is not an origin"):
        Origins([origin])


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "http://shop.example:8080",
        "https://[::1]:8443",
        "http://127.0.0.1",
        "https://xn--caf-dma.example",
    ],
)
def test_an_origin_as_browsers_write_it_is_taken(origin):
    """Scheme, host and a port that is not the default."""
    assert Origins([origin]).check({"Origin": origin}) is None


PREFLIGHT = {
    "REQUEST_METHOD": "OPTIONS",
    "HTTP_ORIGIN": "https://shop.example",
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "PUT",
}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "authorization,x-http-method-override"},
        {"HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK": "true", "HTTP_USER_AGENT": "x"},
        {"CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": ""},
        {"CONTENT_LENGTH": "0"},
        {"QUERY_STRING": "payment_method=card&method=PUT&a=_method;b=%5Fmethod"},
        {"wsgi.method": "DELETE", "PATH_INFO": "/_method"},
    ],
)
def test_a_preflight_is_options_with_both_headers(more):
    """As browsers send it (Fetch, section 4.8), and as servers hand it over."""
    assert is_preflight(PREFLIGHT | more) is True


@pytest.mark.parametrize(
    ("method", "without"),
    [
        ("GET", None),
        ("options", None),
        ("OPTIONS", "HTTP_ORIGIN"),
        ("OPTIONS", "HTTP_ACCESS_CONTROL_REQUEST_METHOD"),
    ],
)
def test_anything_less_is_no_preflight(method, without):
    """And so is refused like any other request."""
    environ = {name: value for name, value in PREFLIGHT.items() if name != without}
    assert is_preflight(environ | {"REQUEST_METHOD": method}) is False


@pytest.mark.parametrize(
    "more",
    [
        {"HTTP_X_HTTP_METHOD_OVERRIDE": "DELETE"},
        {"HTTP_X_METHOD_OVERRIDE": "DELETE"},
        {"HTTP_X_HTTP_METHOD": "DELETE"},
        {"HTTP__METHOD": "DELETE"},
        {"CONTENT_LENGTH": "14"},
        {"CONTENT_LENGTH": "00"},
        {"HTTP_TRANSFER_ENCODING": "chunked"},
        {"QUERY_STRING": "_method=DELETE"},
        {"QUERY_STRING": "a=1&%5FMeTHoD=DELETE"},
        {"QUERY_STRING": "a=1;_method=DELETE"},
        {"QUERY_STRING": "_method"},
        {"QUERY_STRING": "__METHOD_OVERRIDE__=DELETE"},
        {"QUERY_STRING": "x-http-method-override=DELETE"},
    ],
)
def test_what_may_become_another_method_is_no_preflight(more):
    """Browsers send no such thing by themselves, and applications may go by it."""
    assert is_preflight(PREFLIGHT | more) is False
