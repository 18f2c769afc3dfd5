"""docs/configuration.md names every setting, and no other, with its default."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from configurations import HMAC_SECRET, SECRET
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from tokenward.config import Settings, build_authenticator, build_service
from tokenward.config.settings import (
    BasicAuthSection,
    BearerAuthSection,
    ClientCredentialsSection,
    CloudflareEntry,
    CustomEntry,
    DevUserSection,
    DjangoSection,
    IntrospectionEntry,
    JWKSEntry,
    LiveSection,
    LocalEntry,
    LoginSection,
    MutualTLSSection,
    PagesSection,
    PrivateKeyJWTSection,
    ServiceSection,
    SharedCacheSection,
    SharedSecretEntry,
)
from tokenward.config.settings.service import (
    ClientSection,
    KeyFilesSection,
    KeysSection,
    PasswordSection,
)
from tokenward.config.settings.throttle import ThrottleSection

TEXT = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text("utf-8")
COMMON = {"type", "source", "ambient"}

TABLES = {
    "The whole": [Settings],
    "`credentials`: what every entry has": [LocalEntry],
    "`credentials`: `jwks`": [JWKSEntry],
    "`credentials`: `introspection`": [IntrospectionEntry],
    "`credentials`: `cloudflare`": [CloudflareEntry],
    "`dev_user`": [DevUserSection],
    "`credentials`: `local`": [LocalEntry],
    "`credentials`: `shared_secret`": [SharedSecretEntry],
    "`credentials`: `custom`": [CustomEntry],
    "`client_secret_basic`, `client_secret_post`": [BasicAuthSection],
    "`private_key_jwt`": [PrivateKeyJWTSection],
    "`tls_client_auth`, `self_signed_tls_client_auth`": [MutualTLSSection],
    "`bearer`, `client_credentials`": [BearerAuthSection, ClientCredentialsSection],
    "`shared_cache`": [SharedCacheSection],
    "`pages`": [PagesSection],
    "`service`": [ServiceSection],
    "`service.keys`": [KeysSection],
    "`service.keys.files`": [KeyFilesSection],
    "`service.password`": [PasswordSection],
    "`service.throttle`": [ThrottleSection],
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
    if heading == "`credentials`: what every entry has":
        return {name: found[name] for name in COMMON}
    if heading.startswith("`credentials`: "):
        return {name: field for name, field in found.items() if name not in COMMON}
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
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            shown = {"True": True, "False": False}.get(default.strip("`"))
            if shown is None:
                shown = tomllib.loads(f"x = {default.strip('`')}")["x"]
            assert value is not PydanticUndefined
            expected = tuple(shown) if isinstance(shown, list) else shown
            assert value in (expected, (expected,)), name


def test_live_has_the_settings_of_introspection():
    """So that one table is enough, and the text lists what it leaves to the entry around it."""
    assert LiveSection.model_fields.keys() == IntrospectionEntry.model_fields.keys() - COMMON
    (told,) = re.findall(r"What it\s+leaves out of ([^.]*) is as in the entry around it", TEXT)
    assert list(LiveSection.INHERITED) == re.findall(r"`(\w+)`", told)


def test_every_section_is_documented():
    """By walking the settings: a section that is new has a table."""
    known = {section for sections in TABLES.values() for section in sections}
    written = set(re.findall(r"\b\w+Section\b|\b\w+Entry\b", repr(_annotations())))
    # The fields of another table.
    unnamed = {"PostAuthSection", "RolesSection", "LiveSection"}
    assert written - unnamed == {s.__name__ for s in known} - {"Settings"}


def _annotations(section=Settings, seen=None):
    seen = {} if seen is None else seen
    if section not in seen:
        seen[section] = [repr(field.annotation) for field in section.model_fields.values()]
        for known in [s for sections in TABLES.values() for s in sections]:
            if any(known.__name__ in text for text in seen[section]):
                _annotations(known, seen)
    return seen


MODULE = """
def deliver(purpose, user, token):
    raise NotImplementedError

class PartnerVerifier:
    def verify(self, token, /, *, live=False):
        raise NotImplementedError

def make_verifier(url, timeout):
    return PartnerVerifier()
"""


@pytest.fixture
def surroundings(monkeypatch, tmp_path):
    """Put secrets and modules where the examples look for them; return where the files are."""
    for name in ("cache", "keys", "old"):
        (tmp_path / name).write_text(HMAC_SECRET * 2)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "myapp").mkdir()
    (tmp_path / "myapp" / "auth.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("AS_SECRET", SECRET)
    monkeypatch.setenv("OLD_SECRET", HMAC_SECRET)
    monkeypatch.setenv("CACHE_URL", "redis://cache.example/0")
    monkeypatch.setenv("STORE_URL", "memory://")
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "myapp"]:
        del sys.modules[name]


def examples():
    for language, text in re.findall(r"```(toml|python)\n(.*?)```", TEXT, re.DOTALL):
        yield pytest.param(language, text, id=f"{language}-{text.split(chr(34))[1]}")


@pytest.mark.parametrize(("language", "text"), list(examples()))
def test_every_example_is_a_configuration(surroundings, language, text):
    """It parses and is built as it stands, once its secrets and modules are there."""
    text = text.replace("/run/secrets", str(surroundings))
    if language == "toml":
        mapping = tomllib.loads(text)
    else:
        names = {}
        exec(text, names)  # noqa: S102 - of our own documentation
        mapping = names["TOKENWARD"]
    # What is built here once is built for the whole process.
    mapping.pop("on_event", None)
    settings = Settings.model_validate(mapping)
    if settings.service is None:
        assert build_authenticator(settings).credentials
    else:
        assert build_service(settings).clients


def test_the_first_example_is_the_whole_of_it(surroundings):
    """Two entries told apart, and what they share."""
    text = next(text for language, text in re.findall(r"```(toml)\n(.*?)```", TEXT, re.DOTALL))
    settings = Settings.model_validate(
        tomllib.loads(text.replace("/run/secrets", str(surroundings)))
    )
    assert ("https://login.example", "https://as.example") == settings.issuers
    assert ("prometheus",) == settings.on_event


def test_each_type_has_an_example_in_both_languages():
    """For those who paste."""
    for kind in ("jwks", "cloudflare", "shared_secret", "custom"):
        part = TEXT.partition(f"## `credentials`: `{kind}`\n")[2].partition("\n## ")[0]
        assert ["toml", "python"] == re.findall(r"```(\w+)\n", part)
