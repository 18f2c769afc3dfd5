"""docs/configuration.md names every setting, and no other, with its default."""

import re
import tomllib
from pathlib import Path

import pytest
from configurations import SECRET
from pydantic_core import PydanticUndefined

from tokenward.config import Settings
from tokenward.config.settings import (
    BasicAuthSection,
    BearerAuthSection,
    ClientCredentialsSection,
    DjangoSection,
    IntrospectionEntry,
    LocalEntry,
    LoginSection,
    MutualTLSSection,
    PagesSection,
    PrivateKeyJWTSection,
    ServiceSection,
    SharedCacheSection,
)
from tokenward.config.settings.service import ClientSection, KeysSection, PasswordSection

TEXT = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text("utf-8")
COMMON = LocalEntry.model_fields.keys()

TABLES = {
    "The whole": [Settings],
    "`credentials`: what every entry has": [LocalEntry],
    "`credentials`: `introspection`": [IntrospectionEntry],
    "`client_secret_basic`, `client_secret_post`": [BasicAuthSection],
    "`private_key_jwt`": [PrivateKeyJWTSection],
    "`tls_client_auth`, `self_signed_tls_client_auth`": [MutualTLSSection],
    "`bearer`, `client_credentials`": [BearerAuthSection, ClientCredentialsSection],
    "`shared_cache`": [SharedCacheSection],
    "`pages`": [PagesSection],
    "`service`": [ServiceSection],
    "`service.keys`": [KeysSection],
    "`service.password`": [PasswordSection],
    "`service.clients`": [ClientSection],
    "`django`": [DjangoSection],
    "`django.login`": [LoginSection],
}


def rows(heading):
    """Return the settings under a heading, with what stands as their default."""
    part = re.split(r"^#+ ", TEXT.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|", part, re.MULTILINE))


def fields(heading):
    found = {}
    for section in TABLES[heading]:
        found |= section.model_fields
    if heading == "`credentials`: `introspection`":
        found = {name: field for name, field in found.items() if name not in COMMON}
    return found


@pytest.mark.parametrize("heading", TABLES)
def test_every_setting_has_a_row(heading):
    """A setting that nobody can read about is none."""
    assert fields(heading).keys() == rows(heading).keys()


@pytest.mark.parametrize("heading", TABLES)
def test_the_defaults_are_those_of_the_settings(heading):
    """What must be written says so, and a literal is the value."""
    for name, default in rows(heading).items():
        field = fields(heading)[name]
        assert (default == "must be written") == field.is_required(), name
        if default.startswith("`"):
            value = field.get_default(call_default_factory=True)
            shown = {"True": True, "False": False}.get(default.strip("`"))
            if shown is None:
                shown = tomllib.loads(f"x = {default.strip('`')}")["x"]
            assert value is not PydanticUndefined
            assert value in (shown, (shown,)), name


def test_every_section_is_documented():
    """By walking the settings: a section that is new has a table."""
    known = {section for sections in TABLES.values() for section in sections}
    written = set(re.findall(r"\b\w+Section\b|\b\w+Entry\b", repr(_annotations())))
    unnamed = {"PostAuthSection", "RolesSection"}  # the fields of another table
    assert written - unnamed == {s.__name__ for s in known} - {"Settings"}


def _annotations(section=Settings, seen=None):
    seen = {} if seen is None else seen
    if section not in seen:
        seen[section] = [repr(field.annotation) for field in section.model_fields.values()]
        for known in [s for sections in TABLES.values() for s in sections]:
            if any(known.__name__ in text for text in seen[section]):
                _annotations(known, seen)
    return seen


def test_the_example_is_a_configuration(monkeypatch, tmp_path):
    """It parses as it stands, once its secrets are there."""
    (text,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "cache").write_text(SECRET)
    (tmp_path / "cache").chmod(0o600)
    monkeypatch.setenv("AS_SECRET", SECRET)
    monkeypatch.setenv("CACHE_URL", "redis://cache.example/0")
    text = text.replace("/run/secrets/cache", str(tmp_path / "cache"))
    settings = Settings.model_validate(tomllib.loads(text))

    assert ("https://as.example", ("prometheus",)) == (
        settings.credentials[0].issuer,
        settings.on_event,
    )
