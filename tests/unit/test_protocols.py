"""protocols.py: the values that cross the seams show no secret, and the protocols are met."""

import dataclasses

import pytest

from tokenward.errors import ConfigurationError
from tokenward.introspection import IntrospectionVerifier
from tokenward.principal import Principal
from tokenward.protocols import CachingVerifier, Event, Request, Response, TokenVerifier
from tokenward.testing import StubVerifier

LEAK = "token-LEAK"


def test_a_request_shows_no_secret():
    """Headers hold our credentials, the form the token, the certificate a path to a key."""
    request = Request(
        "POST",
        "https://as.example/introspect",
        headers={"Authorization": LEAK},
        form={"token": LEAK},
        cert=(LEAK, LEAK),
    )

    assert "Request(POST https://as.example/introspect)" == repr(request) == str(request)


def test_a_request_shows_no_json():
    """A JSON body holds a password."""
    request = Request("POST", "https://auth.example/login", json={"password": LEAK})

    assert "Request(POST https://auth.example/login)" == repr(request) == str(request)


@pytest.mark.parametrize("form", [{}, {"token": LEAK}])
@pytest.mark.parametrize("json", [{}, {"password": LEAK}])
def test_a_request_has_one_body(form, json):
    """A form and JSON together are a mistake in a program, said without either of them."""
    with pytest.raises(ConfigurationError, match="one body") as caught:
        Request("POST", "https://auth.example/login", form=form, json=json)

    assert LEAK not in str(caught.value)


def test_a_body_is_not_added_to_another():
    """What would put a form beside JSON, as client authentication may, fails where it is done."""
    request = Request("POST", "https://auth.example/login", json={})
    with pytest.raises(ConfigurationError):
        dataclasses.replace(request, form={"client_id": "shop"})


def test_a_response_shows_no_body():
    """An answer holds other people's data."""
    assert LEAK not in repr(Response(200, {"content-type": "application/json"}, LEAK.encode()))


@pytest.mark.parametrize(
    "value", [Request("GET", "https://a.example"), Response(200), Event("verify", "v", 0.1, "ok")]
)
def test_they_are_frozen(value):
    """What was prepared is what is sent."""
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


def test_defaults_are_not_shared():
    """Two requests never have one dictionary of headers."""
    one, other = (Request("GET", "https://a.example") for _ in range(2))

    assert one.headers is not other.headers


class _OnlyVerifies:
    def verify(self, token, /, *, live=False):
        return Principal(token)


@pytest.mark.parametrize(
    ("thing", "verifies", "caches"),
    [
        (_OnlyVerifies(), True, False),
        (StubVerifier({}), True, True),
        (object.__new__(IntrospectionVerifier), True, True),
        (object(), False, False),
    ],
    ids=lambda v: type(v).__name__,
)
def test_protocols_can_be_asked_for(thing, verifies, caches):
    """A verifier needs no base class: having the methods is being one."""
    assert verifies is isinstance(thing, TokenVerifier)
    assert caches is isinstance(thing, CachingVerifier)
