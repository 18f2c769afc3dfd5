"""Mappings for `Settings`, with one thing changed at a time."""

import pytest

from tokenward.config import Settings
from tokenward.errors import ConfigurationError

SECRET = "correct-horse-battery-staple-9"
ISSUER = "https://auth.example"


def introspection(**changes):
    """Return an introspection entry; a value of ``...`` leaves a key out."""
    auth = {"method": "client_secret_basic", "client_id": "orders", "client_secret": SECRET}
    known = {
        "type": "introspection",
        "introspection_endpoint": "https://as.example/introspect",
        "client_auth": auth,
        "audience": "orders",
    }
    return {k: v for k, v in (known | changes).items() if v is not ...}


def service(**changes):
    """Return a service section over a store in memory, with cheap hashes."""
    known = {
        "issuer": ISSUER,
        "audience": "orders",
        "store": "memory://",
        "registration": "open",
        "password": {"bcrypt_cost": 4},
    }
    return known | changes


def parsed(*entries, **sections):
    """Return settings of these credentials and sections."""
    return Settings.model_validate({"credentials": entries, **sections})


def refused(mapping):
    """Return the message with which a mapping is refused."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.model_validate(mapping)
    # The library's error holds the input, secrets included, whatever its repr shows.
    assert (None, None) == (caught.value.__cause__, caught.value.__context__)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def one_auth(**auth):
    """Return settings with one introspection entry that authenticates like this."""
    return {"credentials": [introspection(client_auth=auth)]}
