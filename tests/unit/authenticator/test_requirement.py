"""authenticator.requirement: what a view demands (RULES 27)."""

import logging

import pytest

from tokenward.authenticator import Requirement
from tokenward.errors import ConfigurationError, InsufficientScope, NotAuthenticated
from tokenward.principal import ANONYMOUS, Principal

ALICE = Principal("alice", issuer="https://as.example", scopes={"read", "write"}, roles={"editor"})


@pytest.mark.parametrize(
    "requirement",
    [
        Requirement(),
        Requirement(scopes=("read",)),
        Requirement(scopes=["read", "write"]),
        Requirement(any_scope=("admin", "read")),
        Requirement(roles=("editor",)),
        Requirement(any_role={"owner", "editor"}),
        Requirement(scopes=("read",), any_scope=("write", "x"), roles=("editor",)),
    ],
)
def test_who_holds_what_is_demanded_passes(requirement):
    """All of each, one of each."""
    assert requirement.check(ALICE) is None


@pytest.mark.parametrize(
    ("requirement", "scope", "reason"),
    [
        (Requirement(scopes=("read", "admin")), ("read", "admin"), "insufficient_scope"),
        (Requirement(any_scope=("admin", "own")), ("admin", "own"), "insufficient_scope"),
        (Requirement(roles=("editor", "owner")), (), "insufficient_role"),
        (Requirement(any_role=("owner",)), (), "insufficient_role"),
        (Requirement(scopes=("read",), roles=("owner",)), (), "insufficient_role"),
    ],
)
def test_who_lacks_something_is_refused(requirement, scope, reason):
    """Scopes are named in the challenge; roles are not the client's to ask for."""
    with pytest.raises(InsufficientScope) as caught:
        requirement.check(ALICE)
    assert (caught.value.required, caught.value.reason) == (scope, reason)


def test_what_is_lacking_is_logged(caplog):
    """With the issuer, at DEBUG; that somebody is unknown is no line."""
    caplog.set_level(logging.DEBUG, "tokenward")
    for who, error in ((ALICE, InsufficientScope), (ANONYMOUS, NotAuthenticated)):
        with pytest.raises(error):
            Requirement(scopes=("admin",)).check(who)
    (record,) = caplog.records
    assert ("tokenward.refused", "DEBUG") == (record.name, record.levelname)
    assert "from https://as.example: insufficient_scope: " in record.getMessage()


def test_nobody_lacks_everything():
    """Asked to authenticate, not told what is missing."""
    with pytest.raises(NotAuthenticated):
        Requirement(scopes=("read",)).check(ANONYMOUS)


@pytest.mark.parametrize("name", ["scopes", "any_scope", "roles", "any_role"])
def test_a_single_string_is_no_collection(name):
    """Its characters would be demanded."""
    with pytest.raises(ConfigurationError, match="not the string 'read'"):
        Requirement(**{name: "read"})


def test_two_scopes_in_one_string_are_a_configuration_error():
    """``scopes_required("a b")`` could never be met."""
    with pytest.raises(ConfigurationError, match="'a b' is not a scope"):
        Requirement(scopes=("a b",))


@pytest.mark.parametrize("make", [Requirement.of_scopes, Requirement.of_roles])
def test_a_decorator_without_names_is_a_configuration_error(make):
    """It would look like protection and be none; bare, it would take the view for a name."""
    with pytest.raises(ConfigurationError, match="needs names"):
        make((), ())
    with pytest.raises(ConfigurationError, match="needs names"):
        make((lambda: None,), ())
    with pytest.raises(ConfigurationError, match="'any_of' takes a list"):
        make((), "read")


def test_requirements_are_values():
    """Equal when they demand the same, and frozen."""
    assert Requirement(scopes=["a"]) == Requirement(scopes=("a",))
    with pytest.raises(AttributeError):
        Requirement().optional = True


def test_names_that_turn_out_to_be_none_are_a_configuration_error():
    """An empty generator is as empty as an empty list."""
    with pytest.raises(ConfigurationError):
        Requirement.of_roles((), (name for name in ()))
