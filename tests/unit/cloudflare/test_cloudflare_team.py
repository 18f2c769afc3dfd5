"""cloudflare.team: whose assertions."""

import pytest

from tokenward.cloudflare import CloudflareAccess, issuer_of
from tokenward.errors import ConfigurationError


@pytest.mark.parametrize(
    ("team", "domain", "issuer"),
    [
        ("acme", None, "https://acme.cloudflareaccess.com"),
        ("a", None, "https://a.cloudflareaccess.com"),
        ("Acme-2", None, "https://acme-2.cloudflareaccess.com"),
        ("acme", "login.acme.example", "https://login.acme.example"),
        ("acme", "Login.Acme.Example", "https://login.acme.example"),
        ("acme", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("acme", "http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_the_issuer_of_a_team(team, domain, issuer):
    """It is the URL of the domain, without a final slash and in lower case."""
    assert issuer == issuer_of(team, domain)
    assert issuer == CloudflareAccess(team, audience="a", domain=domain).issuer


@pytest.mark.parametrize(
    ("team", "says"),
    [
        ("", "such as acme"),
        (None, "such as acme"),
        (7, "such as acme"),
        ("-acme", "such as acme"),
        ("acme-", "such as acme"),
        ("ac me", "such as acme"),
        ("acme\n", "such as acme"),
        ("äcme", "such as acme"),
        ("a" * 64, "such as acme"),
        ("acme.cloudflareaccess.com", "Write acme."),
        ("https://acme.cloudflareaccess.com", "Write acme."),
        ("https://Acme.cloudflareaccess.com/cdn-cgi/access/certs", "Write acme."),
        ("login.acme.example", "goes into domain"),
        ("https://login.acme.example/", "goes into domain"),
    ],
)
def test_what_is_no_team_says_what_to_write(team, says):
    """A URL or a domain in its place is the usual mistake."""
    with pytest.raises(ConfigurationError, match="name of the Cloudflare team") as caught:
        CloudflareAccess(team, audience="a")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("domain", "says"),
    [
        ("", "a host name such as"),
        ("acme", "a host name such as"),
        (7, "a host name such as"),
        ("login.acme.example/", "a host name such as"),
        ("login.acme.example:8443", "a host name such as"),
        ("user@login.acme.example", "a host name such as"),
        ("login.acme.example.", "a host name such as"),
        ("login..example", "a host name such as"),
        ("https://login.acme.example", "write login.acme.example"),
        ("https://login.acme.example/", "write login.acme.example"),
        ("http://login.acme.example", "http, which is for a server on this machine"),
        ("http://127.0.0.1:8080/", "write http://127.0.0.1:8080,"),
        ("http://127.0.0.1:8080/access", "write http://127.0.0.1:8080,"),
        ("http://127.0.0.1.example", "only looks like this machine"),
        ("127.1", "IPv4 address in an unusual form"),
    ],
)
def test_what_is_no_domain_says_what_to_write(domain, says):
    """It is a host name, or this very machine for tests."""
    with pytest.raises(ConfigurationError) as caught:
        CloudflareAccess("acme", audience="a", domain=domain)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"algorithms": ()},
        {"algorithms": ("none",)},
        {"algorithms": ("HS256",)},
        {"audience": ""},
        {"audience": []},
        {"leeway": -1},
        {"ttl": 0},
        {"timeout": 0},
        {"cache_entries": -1},
        {"max_token_bytes": 0},
        {"verify_tls": False},
        {"dev_user": "alice"},
        {"dev_user": ""},
        {"dev_user": 7},
        {"dev_user": {"email": "a@b.example"}},
    ],
)
def test_an_argument_that_makes_no_sense_stops_start_up(options):
    """Nothing is turned off by a mistake."""
    with pytest.raises(ConfigurationError):
        CloudflareAccess("acme", **{"audience": "a"} | options)


def test_an_audience_has_to_be_written():
    """Without one, the assertions of every application of the team would do."""
    with pytest.raises(TypeError, match="audience"):
        CloudflareAccess("acme")
