"""Whose address a request has is what trusted proxies say, and nobody else (RULES 40)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.endpoints.addresses import client_address
from tokenward.errors import ConfigurationError
from tokenward.throttle.networks import read_address

PROXIES = ("10.0.0.0/8", "2001:db8:ffff::/48")


def forwarded(value):
    """Return headers that carry one ``X-Forwarded-For``."""
    return {"X-Forwarded-For": value}


@pytest.mark.parametrize("trusted", [(), PROXIES])
def test_a_stranger_is_not_believed(trusted):
    """Who is no trusted proxy can say what they like."""
    assert "198.51.100.7" == client_address("198.51.100.7", forwarded("203.0.113.1"), trusted)


def test_nobody_is_trusted_by_default():
    """Without trusted proxies the header of a private address is not looked at either."""
    assert "10.0.0.1" == client_address("10.0.0.1", forwarded("203.0.113.1"), ())


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("203.0.113.1", "203.0.113.1", id="one hop"),
        pytest.param("192.0.2.66, 203.0.113.1", "203.0.113.1", id="what the client made up"),
        pytest.param("203.0.113.1, 10.1.2.3", "203.0.113.1", id="two proxies"),
        pytest.param("10.9.9.9, 203.0.113.1, 10.1.2.3", "203.0.113.1", id="a made-up proxy"),
        pytest.param("203.0.113.1,10.1.2.3,  10.4.5.6 ", "203.0.113.1", id="white space"),
        pytest.param("10.7.7.7, 10.1.2.3", "10.7.7.7", id="all trusted"),
        pytest.param("203.0.113.1:52180", "203.0.113.1", id="IPv4 with a port"),
        pytest.param("[2001:db8::1]:52180", "2001:db8::1", id="IPv6 with a port"),
        pytest.param("[2001:db8::1]", "2001:db8::1", id="IPv6 in brackets"),
        pytest.param("2001:DB8:0:0::1", "2001:db8::1", id="IPv6 in its usual form"),
        pytest.param("::ffff:203.0.113.1", "203.0.113.1", id="IPv4 wrapped in IPv6"),
        pytest.param("203.0.113.1, 2001:db8:ffff::5", "203.0.113.1", id="a proxy with IPv6"),
        pytest.param("203.0.113.1, ::ffff:10.1.2.3", "203.0.113.1", id="a wrapped proxy"),
        pytest.param("unknown", "10.0.0.1", id="garbage"),
        pytest.param("203.0.113.1, unknown", "10.0.0.1", id="garbage on the right"),
        pytest.param("unknown, 10.1.2.3", "10.1.2.3", id="garbage on the left"),
        pytest.param("203.0.113.1,,10.1.2.3", "10.1.2.3", id="an empty hop"),
        pytest.param("203.0.113.999", "10.0.0.1", id="no address"),
        pytest.param("[2001:db8::1", "2001:db8::1", id="half a bracket"),
        pytest.param("", "10.0.0.1", id="empty"),
        pytest.param(",", "10.0.0.1", id="a comma"),
    ],
)
def test_trusted_proxies_are_believed_hop_by_hop(header, expected):
    """It is the right-most hop that is no trusted proxy."""
    assert expected == client_address("10.0.0.1", forwarded(header), PROXIES)


def test_a_proxy_that_says_nothing_is_the_client():
    """A trusted proxy asks for itself too: whether we are healthy, for one."""
    assert "10.0.0.1" == client_address("10.0.0.1", {}, PROXIES)


@pytest.mark.parametrize("peer", [None, "", "localhost", "/run/app.sock"])
def test_who_has_no_address_is_not_believed(peer):
    """Over a Unix socket anybody on the machine may be connected."""
    assert client_address(peer, forwarded("203.0.113.1"), PROXIES) is None


@pytest.mark.parametrize("peer", [None, "", "localhost"])
def test_a_proxy_behind_a_unix_socket_can_be_trusted(peer):
    """Where only the proxy can open the socket, `unix` says so."""
    assert "203.0.113.1" == client_address(peer, forwarded("203.0.113.1"), ("unix",))
    assert client_address(peer, forwarded("unknown"), ("unix",)) is None


def test_unix_trusts_nobody_who_has_an_address():
    """A peer with an address did not come through the socket."""
    assert "10.0.0.1" == client_address("10.0.0.1", forwarded("203.0.113.1"), ("unix",))


def test_a_link_local_zone_is_left_out():
    """A zone means something on one machine only."""
    assert "fe80::1" == client_address("fe80::1%eth0", {}, ())


@pytest.mark.parametrize("proxy", ["10.0.0.1/8", "proxy.example", "10.0.0.0/33", ""])
def test_what_is_no_network_is_refused(proxy):
    """The message says which one, and what would be one."""
    with pytest.raises(ConfigurationError, match=r"trusted_proxies.*10\.0\.0\.0/8"):
        client_address("10.0.0.1", {}, (proxy,))


@given(st.text(), st.text(), st.sampled_from([(), PROXIES, ("unix",), ("0.0.0.0/0", "::/0")]))
def test_every_answer_is_an_address_or_none(peer, header, trusted):
    """No header of anybody's makes this fail, or return what is no address."""
    found = client_address(peer, forwarded(header), trusted)
    assert found is None or str(read_address(found)) == found
