"""Which URLs tokenward calls (RULES 15, 22)."""

import pytest

from tokenward._http import check_url, is_loopback
from tokenward.errors import ConfigurationError


@pytest.mark.parametrize(
    "url",
    [
        "https://auth.example.com/introspect",
        "https://auth.example.com",
        "https://auth.example.com:8443/a?b=c",
        "https://AUTH.example.com/",
        "HTTPS://auth.example.com/",
        "https://auth/introspect",
        "https://xn--bcher-kva.example/",
        "https://192.0.2.7/",
        "https://[2001:db8::7]:8443/",
        "https://4chan.example/",
        "https://localhost/",
        "http://localhost:8080/introspect",
        "http://LOCALHOST/",
        "http://127.0.0.1:8080/introspect",
        "http://127.8.9.10/",
        "http://[::1]:8080/",
        "http://[0:0:0:0:0:0:0:1]/",
    ],
)
def test_a_usable_url_is_returned_as_it_is(url):
    """An https URL anywhere, and http to a literal loopback address, pass unchanged."""
    assert check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://auth.example.com/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[2001:db8::7]/",
        "http://host.docker.internal/",
        "http://sub.localhost/",
        "http://localhost.localdomain/",
    ],
)
def test_http_is_for_this_machine_only(url):
    """An http URL elsewhere than on a literal loopback address is refused; the error says https."""
    with pytest.raises(ConfigurationError, match="https://"):
        check_url(url)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1.evil.example",
        "127.evil.example",
        "localhost.evil.example",
        "localhost.",
        "127.0.0.1.",
        "2130706433",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "127.1",
        "127.0.1",
        "127.0.0.01",
        "127.0.0.256",
        "127.0.0.1.1",
        "1.2.3.0x4",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:8.8.8.8]",
        "[::1%25lo]",
        "[fe80::1%25eth0]",
        "[127.0.0.1]",
        "[localhost]",
        "[::1",
        "[:::1]",
    ],
)
def test_a_host_that_only_looks_right_is_refused(scheme, host):
    """Lookalikes of this machine and odd spellings of addresses are refused whatever the scheme."""
    with pytest.raises(ConfigurationError):
        check_url(f"{scheme}://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "auth.example.com",
        "//auth.example.com/",
        "/introspect",
        "ftp://auth.example.com/",
        "file:///etc/passwd",
        "data:application/json,{}",
        "javascript:alert(1)",
        "https:auth.example.com",
        "https:/auth.example.com",
        "https://",
        "https:///introspect",
        "https://:8443/",
        "https://?x",
        "https://auth.example.com/#fragment",
        "https://auth.example.com/#",
        "https://auth.example.com:/",
        "https://auth.example.com:0/",
        "https://auth.example.com:65536/",
        "https://auth.example.com:port/",
        "https://auth..example.com/",
        "https://.example.com/",
        "https://auth%2eexample.com/",
        "https://auth.example.com,other.example/",
        "https://auth_\u00e9.example/",
        "https://b\u00fccher.example/",
        "https://auth.example.com\\@evil.example/",
        "https://auth.example.com\\evil",
        " https://auth.example.com/",
        "https://auth.example.com/ ",
        "https://auth.example.com/a b",
        "https://auth.exa\tmple.com/",
        "https://auth.example.com/\r\nX: 1",
        "https://auth.example.com/\x00",
        "https://auth.example.com/\x7f",
        "https://\u2488\u24ea.example/",
        "https://" + "a." * 130 + "example/",
        None,
        b"https://auth.example.com/",
        7,
    ],
)
def test_anything_else_is_refused(url):
    """Other schemes, relative, malformed, fragment, white space, controls: ConfigurationError."""
    with pytest.raises(ConfigurationError):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://user@auth.example.com/",
        "https://user:hunter2@auth.example.com/",
        "http://127.0.0.1@evil.example/",
        "http://127.0.0.1:80@evil.example/",
        "https://hunter2%40x@auth.example.com/",
        "https://@auth.example.com/",
        "https://hunter2@auth.example.com:port/",
        "nope://hunter2@auth.example.com/",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url):
    """User information is refused, and the error does not show it."""
    with pytest.raises(ConfigurationError, match="client_auth") as caught:
        check_url(url)
    assert "hunter2" not in str(caught.value)


def test_a_query_is_not_repeated():
    """An error shows the URL without its query, which may hold a key."""
    with pytest.raises(ConfigurationError) as caught:
        check_url("ftp://auth.example.com/?key=hunter2")
    assert "hunter2" not in str(caught.value)


def test_the_error_says_what_the_url_is_for():
    """The name of the setting is in the error."""
    with pytest.raises(ConfigurationError, match=r"^introspection_endpoint "):
        check_url("http://auth.example.com/", what="introspection_endpoint")


def test_a_certificate_may_go_unverified_on_this_machine_only():
    """verify_tls=False is refused for a server elsewhere; a CA bundle is not."""
    assert check_url("https://127.0.0.1/", verify_tls=False) == "https://127.0.0.1/"
    assert check_url("https://auth.example.com/", verify_tls="/ca.pem")
    with pytest.raises(ConfigurationError, match="CA bundle"):
        check_url("https://auth.example.com/", verify_tls=False)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1/", True),
        ("https://localhost:8443/", True),
        ("http://[::1]/", True),
        ("https://auth.example.com/", False),
        ("https://192.0.2.7/", False),
        ("https://[2001:db8::7]/", False),
    ],
)
def test_is_loopback_tells_this_machine_from_others(url, expected):
    """The hosts for which http is allowed are the ones it names."""
    assert is_loopback(url) is expected
