"""Which URLs tokenward calls (RULES 15, 22)."""

import pytest

from tokenward._http import check_named_url, check_url, is_loopback
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
        "https://" + "a" * 63 + ".example/",
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
        "https://" + "a" * 64 + ".example/",
        "https://auth." + "a" * 64 + "/",
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


PUBLIC = "https://as.example"
LOCAL_NAMES = [
    *(
        "localhost",
        "LOCALHOST",
        "foo.localhost",
        "a.b.localhost",
        "foo.localhost.",
        "Foo.LocalHost",
    ),
    *("ip6-localhost", "ip6-loopback", "IP6-Loopback", "ip6-localhost."),
    *("localhost4", "localhost6", "localhost4.localdomain4", "localhost6.localdomain6"),
]


@pytest.mark.parametrize("host", LOCAL_NAMES)
@pytest.mark.parametrize("issuer", [PUBLIC, "https://10.0.0.5"])
def test_a_document_does_not_name_this_machine(issuer, host):
    """By no name that resolvers answer with a loopback address (RFC 6761, section 6.3)."""
    with pytest.raises(ConfigurationError, match=r"^jwks_uri names this machine"):
        check_named_url(f"https://{host}/x", what="jwks_uri", issuer=issuer)


@pytest.mark.parametrize(
    "host",
    [
        "[fec0::1]",
        "[::7f00:1]",
        "[::]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::808:808]",
        "[64:ff9b:1::7f00:1]",
        "[100::1]",
        "[1fff:ffff::1]",
        "[4000::1]",
        "[5f00::1]",
        "[fd00::1]",
        "[fe80::1]",
        "[ff0e::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[3fff:fff::1]",
        "[2001:0:7f00:1::]",
        "[2001:0:808:808::]",
        "[2002:7f00:1::]",
        "[2002:808:808::]",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.0.1",
        "224.0.0.1",
    ],
)
def test_a_document_names_global_unicast_addresses_only(host):
    """The rest leads into a private network, to nobody, or through a relay to anywhere."""
    with pytest.raises(ConfigurationError, match="private network"):
        check_named_url(f"https://{host}/x", what="jwks_uri", issuer=PUBLIC)


@pytest.mark.parametrize(
    "host",
    [
        "as.example",
        "AS.example:8443",
        "localhosts.example",
        "notlocalhost",
        "localhost-1.example",
        "ip6-localhost.example",
        "8.8.8.8",
        "[2606:4700::1111]",
        "[2a00:1450:4001::1]",
        "[3ffe:ffff::1]",
    ],
)
def test_a_document_may_name_a_server_elsewhere(host):
    """A name of the public DNS, and an address that is routed."""
    url = f"https://{host}/x"
    assert url == check_named_url(url, what="jwks_uri", issuer=PUBLIC)


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]"])
@pytest.mark.parametrize("host", [*LOCAL_NAMES, "[fec0::1]", "[::7f00:1]", "10.0.0.1"])
def test_a_loopback_issuer_may_name_any_of_them(issuer, host):
    """Whoever configures this machine tries things out."""
    url = f"https://{host}/x"
    assert url == check_named_url(url, what="jwks_uri", issuer=issuer)


def test_an_issuer_of_a_local_name_may_name_itself():
    """That is where it was configured to be; nobody else on this machine is."""
    issuer = "https://as.localhost:8443"
    assert check_named_url("https://as.localhost/x", what="jwks_uri", issuer=issuer)
    for host in ("db.localhost", "localhost", "127.0.0.1"):
        with pytest.raises(ConfigurationError, match="names this machine"):
            check_named_url(f"https://{host}/x", what="jwks_uri", issuer=issuer)


@pytest.mark.parametrize("host", ["foo.localhost", "ip6-localhost"])
def test_such_a_name_is_no_loopback_address(host):
    """What it resolves to is not known, so http and unverified TLS are refused there."""
    with pytest.raises(ConfigurationError, match="https"):
        check_url(f"http://{host}/")
    with pytest.raises(ConfigurationError, match="verify_tls"):
        check_url(f"https://{host}/", verify_tls=False)
    assert not is_loopback(f"https://{host}/")
