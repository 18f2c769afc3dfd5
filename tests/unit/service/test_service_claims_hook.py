"""What a program hands to the service: hooks, clients, a throttle."""

import types

import pytest
from auth_services import SECRET

from tokenward.clients import Client, Clients
from tokenward.errors import ConfigurationError
from tokenward.service.arguments import (
    check_hooks,
    check_throttle,
    checked_clients,
    claims_said,
    client_named,
)

SHOP = Client("shop", SECRET)


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (None, {}),
        (lambda _user: None, {}),
        (lambda _user: {}, {}),
        (lambda user: {"department": user}, {"department": "alice"}),
        (lambda _user: types.MappingProxyType({"a": [1]}), {"a": [1]}),
    ],
)
def test_the_claims_hook_returns_a_mapping_or_nothing(hook, expected):
    """A hook that has nothing to add need not say so."""
    assert expected == claims_said(hook, "alice")


def test_what_the_claims_hook_returned_is_copied():
    """What the service adds to the claims is not added to the hook's own dict."""
    own = {"a": 1}
    claims_said(lambda _user: own, "alice")["b"] = 2
    assert own == {"a": 1}


@pytest.mark.parametrize("said", ["secret-Zq8", ["a"], [("a", "secret-Zq8")], 5, True, {1: "a"}])
def test_anything_else_that_the_claims_hook_returns_is_a_wrong_configuration(said):
    """It says what to return, and not what was returned."""
    with pytest.raises(ConfigurationError, match="return a dict, or None") as caught:
        claims_said(lambda _user: said, "alice")
    assert "Zq8" not in str(caught.value)


@pytest.mark.parametrize("name", ["claims", "deliver", "on_event"])
def test_a_hook_can_be_called(name):
    """What cannot is named at start-up, not at the first login."""
    check_hooks(**{name: None})
    check_hooks(**{name: print})
    for wrong in (5, "module:name", {}):
        with pytest.raises(ConfigurationError, match=f"{name} is a function of") as caught:
            check_hooks(**{name: wrong})
        assert f"of type {type(wrong).__name__}" in str(caught.value)


def test_a_throttle_has_attempts():
    """A rate is no throttle."""
    check_throttle(None)
    check_throttle(types.SimpleNamespace(attempt=print))
    for wrong in (5, "10/minute", types.SimpleNamespace(attempt=1)):
        with pytest.raises(ConfigurationError, match=r"LoginThrottle\.open"):
            check_throttle(wrong)


@pytest.mark.parametrize("clients", [[], (SHOP,), {SHOP.client_id: SHOP}.values(), Clients([SHOP])])
def test_clients_are_clients(clients):
    """In any iterable, which may be one that can be read only once."""
    assert list(clients) == checked_clients(iter(clients))


@pytest.mark.parametrize(
    ("clients", "said"),
    [
        (["shop-Zq8"], r"clients\[0\] is something of type str"),
        ([SHOP, {"client_id": "Zq8"}], r"clients\[1\] is something of type dict"),
        ("shop-Zq8", "clients is a list"),
        ({"shop": SHOP}, "clients is a list"),
        (b"shop-Zq8", "clients is a list"),
        (SHOP, "clients is a list"),
        (None, "clients is a list"),
    ],
)
def test_what_is_no_client_is_named_by_its_place(clients, said):
    """Not by what it is: that may be a secret."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        checked_clients(clients)
    assert "Zq8" not in str(caught.value)


def test_a_client_is_meant_by_itself_or_by_its_id():
    """A client that is not configured is taken as it stands."""
    other = Client("other", SECRET)
    known = Clients([SHOP])
    assert [client_named(known, given) for given in ("shop", SHOP, other)] == [SHOP, SHOP, other]


@pytest.mark.parametrize("given", ["other-Zq8", "", "SHOP", 5, None, ["shop"], {"shop": "Zq8"}])
def test_a_client_that_nobody_knows_is_a_wrong_configuration(given):
    """It says what a client is."""
    with pytest.raises(ConfigurationError, match="client is a Client, or the client_id") as caught:
        client_named(Clients([SHOP]), given)
    assert "Zq8" not in str(caught.value)
