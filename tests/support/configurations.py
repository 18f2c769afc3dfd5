"""Mappings for `Settings`, with one thing changed at a time."""

import json
import tomllib

import pytest

from tokenward.config import Settings, build_verifier
from tokenward.errors import ConfigurationError

SECRET = "correct-horse-battery-staple-9"
HMAC_SECRET = "w5Zq-7Jc1Lr0TnVbX2eHsYkUoPdMgAiF"
ISSUER = "https://auth.example"


def _entry(known, changes):
    return {k: v for k, v in (known | changes).items() if v is not ...}


def introspection(**changes):
    """Return an introspection entry; a value of ``...`` leaves a key out."""
    auth = {"method": "client_secret_basic", "client_id": "orders", "client_secret": SECRET}
    known = {
        "type": "introspection",
        "introspection_endpoint": "https://as.example/introspect",
        "client_auth": auth,
        "audience": "orders",
    }
    return _entry(known, changes)


def jwks(**changes):
    """Return an entry of an issuer that publishes keys; ``...`` as above."""
    return _entry(
        {"type": "jwks", "issuer": "https://login.example", "audience": "orders"}, changes
    )


def cloudflare(**changes):
    """Return an entry of a Cloudflare team; ``...`` as above."""
    return _entry({"type": "cloudflare", "team": "acme", "audience": "4f1c"}, changes)


def shared_secret(**changes):
    """Return an entry of a secret that somebody else has too; ``...`` as above."""
    known = {
        "type": "shared_secret",
        "secret": HMAC_SECRET,
        "issuer": "https://old.example",
        "audience": "orders",
    }
    return _entry(known, changes)


def custom(**changes):
    """Return an entry of an application's own verifier; ``...`` as above."""
    return _entry({"type": "custom", "factory": "partner_shop:make"}, changes)


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


def verifier_of(entry):
    """Return the verifier of one entry."""
    return build_verifier(parsed(entry).credentials[0])


def as_toml(mapping):
    """Return a TOML text that says what ``mapping`` does; ``None`` becomes ``false``."""
    text = "\n".join(f"{json.dumps(name)} = {_in_toml(v)}" for name, v in mapping.items())
    tomllib.loads(text)
    return text


def _in_toml(value):
    if value is None:
        return "false"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(k)} = {_in_toml(v)}' for k, v in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_in_toml, value))}]"
    return json.dumps(value)


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
