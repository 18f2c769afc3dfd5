"""The two ways to write a configuration, and an authorization server."""

import pytest
from configurations import as_toml

from tokenward.config import Settings
from tokenward.testing import FakeAuthorizationServer


@pytest.fixture(params=["mapping", "toml"])
def read(request, tmp_path):
    """Return a function that reads settings from a mapping, or from a file that says the same."""

    def read(*entries, **sections):
        mapping = {"credentials": list(entries), **sections}
        if request.param == "mapping":
            return Settings.model_validate(mapping)
        file = tmp_path / "tokenward.toml"
        file.write_text(as_toml(mapping), "utf-8")
        return Settings.from_file(file)

    return read


@pytest.fixture
def server():
    with FakeAuthorizationServer(audience="orders") as running:
        yield running


@pytest.fixture
def other():
    with FakeAuthorizationServer(audience="orders") as running:
        yield running
