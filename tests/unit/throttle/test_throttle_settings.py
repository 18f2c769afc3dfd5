"""The section `service.throttle`, and whose forwarding headers are believed."""

import pytest
from pydantic import TypeAdapter, ValidationError

from tokenward.config.settings.throttle import Proxies, ThrottleSection


def test_the_defaults_are_the_throttles_own():
    """Nothing has to be written for logins to be throttled."""
    section = ThrottleSection()
    assert "store" == section.storage.get_secret_value()
    assert ("10/5minutes", "100/5minutes", "50/5minutes") == (
        section.per_name_and_address,
        section.per_address,
        section.per_name,
    )


@pytest.mark.parametrize(
    "storage",
    ["store", "memory", "redis://h:6379/0", "rediss://h", "mongodb://h/d", "mongodb+srv://h/d"],
)
def test_a_storage_is_taken(storage):
    """By a word, or by its URL."""
    assert storage == ThrottleSection(storage=storage).storage.get_secret_value()


@pytest.mark.parametrize("storage", ["Store", "memcached://s3cret-pw@h", "sqlite:///s3cret-pw"])
def test_another_storage_is_refused(storage):
    """The message says what there is, and shows no password."""
    with pytest.raises(ValidationError, match='write "store", "memory", redis://') as refusal:
        ThrottleSection(storage=storage)
    shown = "".join(error["msg"] for error in refusal.value.errors(include_input=False))
    assert "s3cret-pw" not in shown


def test_a_storage_is_in_no_repr():
    """Its URL may hold a password."""
    assert "s3cret-pw" not in repr(ThrottleSection(storage="redis://:s3cret-pw@h:6379/0"))


@pytest.mark.parametrize("name", ["per_name_and_address", "per_address", "per_name"])
def test_a_rate_that_is_none_is_refused(name):
    """With what would be one."""
    with pytest.raises(ValidationError, match="COUNT/PERIOD"):
        ThrottleSection.model_validate({name: "5 per minute"})


@pytest.mark.parametrize("proxy", ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "unix"])
def test_a_proxy_is_taken(proxy):
    """An address, a network, or whoever comes through a Unix socket."""
    assert (proxy,) == TypeAdapter(Proxies).validate_python([proxy])


@pytest.mark.parametrize("proxy", ["10.0.0.1/8", "proxy.example", "10.0.0.0/33", ""])
def test_another_proxy_is_refused(proxy):
    """The message says which one, and what would be one."""
    with pytest.raises(ValidationError, match="neither an address nor a network"):
        TypeAdapter(Proxies).validate_python([proxy])
