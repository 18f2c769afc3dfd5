"""`tokenward.commands.keys`: what the command line, `flask` and `manage.py` call."""

import time
from datetime import UTC, datetime

import pytest
from key_stores import OLD_SECRET, SECRET

from tokenward import _jose
from tokenward._seal import Sealer
from tokenward.commands import keys
from tokenward.config import Settings
from tokenward.errors import ConfigurationError, Forbidden
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories


def sealer(*secrets):
    """Return what seals the keys of a service."""
    return Sealer(secrets, "signing keys")


class Service:
    """A service with a store whose keys were made an hour ago."""

    def __init__(self, folder):
        self._store = f"sqlite:///{folder}/store.db"
        self.folder = folder
        self._more = {}
        self.keys = {}
        repositories = open_repositories(self._store, bcrypt_cost=4)
        self._repositories = repositories
        KeyRing.create(repositories.keys, clock=lambda: time.time() - 3_600)

    @property
    def settings(self):
        service = {"issuer": "https://auth.example", "audience": "orders", "store": self._store}
        return Settings.model_validate({"service": service | self._more | {"keys": self.keys}})

    def having(self, **more):
        """Return the settings with more written in ``service``."""
        self._more = more
        return self.settings

    def stored(self):
        return self._repositories.keys.load()[1]

    def seal(self, *secrets):
        """Store the keys anew under secrets."""
        KeyRing.load(self._repositories.keys, sealer=sealer(*secrets)).prune()

    def close(self):
        self._repositories.close()


@pytest.fixture
def service(tmp_path):
    made = Service(tmp_path)
    yield made
    made.close()


def test_keys_are_listed_the_one_that_signs_first(service):
    """With until when a retired one is published, and nothing of their material."""
    keys.rotate(service.settings)
    listed = keys.listed(service.settings)
    stored = {key.state: key for key in service.stored()}
    assert [(key.state, key.kid) for key in listed] == [
        (state, stored[state].kid) for state in ("current", "next", "retired")
    ]
    until = datetime.fromtimestamp(stored["retired"].published_until, UTC)
    assert [key.until for key in listed] == [None, None, until]
    assert listed[0].since == datetime.fromtimestamp(stored["current"].created_at, UTC)
    assert "PRIVATE" not in repr(listed)


def test_the_next_key_signs_after_a_rotation(service):
    """Once: right after it the next one is too new, except by force."""
    _, following = (key.kid for key in keys.listed(service.settings))
    assert keys.rotate(service.settings) == following
    with pytest.raises(Forbidden):
        keys.rotate(service.settings)
    made = keys.listed(service.settings)[1].kid
    assert keys.rotate(service.settings, force=True) == made


def test_a_rotation_goes_by_the_settings(service):
    """The algorithm of the next key, the secrets, and the longest lifetime of any token."""
    service.keys = {"algorithm": "EdDSA", "secrets": [SECRET]}
    client = {
        "client_id": "staff",
        "client_secret": "9f8a-77e1-quartz-lantern",
        "access_token_lifetime": 7_200,
    }
    settings = service.having(access_token_lifetime=600, clients=[client])
    now = time.time()
    keys.rotate(settings)
    stored = {key.state: key for key in service.stored()}
    assert stored["next"].algorithm == "EdDSA"
    assert all(sealer(SECRET).open(key.material) for key in stored.values())
    assert now + 7_200 + 420 <= stored["retired"].published_until <= time.time() + 7_200 + 421


def test_pruning_counts_what_it_takes_away(service):
    """Nothing, as long as tokens may be about; the secrets are moved all the same."""
    service.seal(OLD_SECRET)
    service.keys = {"secrets": [SECRET, OLD_SECRET]}
    assert keys.prune(service.settings) == 0
    assert all(sealer(SECRET).open(key.material) for key in service.stored())


def test_a_compromised_key_is_given_up(service):
    """The next one signs, and the old one is gone."""
    old, following = (key.kid for key in keys.listed(service.settings))
    assert keys.rotate(service.settings, compromised=True) == following
    assert old not in {key.kid for key in service.stored()}


def test_keys_whose_secret_is_lost_are_given_up(service):
    """An ordinary rotation refuses to; what is there then opens with the new secret."""
    lost = {key.kid for key in service.stored()}
    service.seal(OLD_SECRET)
    service.keys = {"secrets": [SECRET]}
    for change in (keys.rotate, keys.prune):
        with pytest.raises(ConfigurationError, match="back into the list"):
            change(service.settings)
    service.keys["algorithm"] = "EdDSA"
    said = keys.rotate(service.settings, compromised=True)
    stored = service.stored()
    assert {key.algorithm for key in stored} == {"EdDSA"}
    assert said == stored[0].kid
    assert lost.isdisjoint(key.kid for key in stored)
    assert all(sealer(SECRET).open(key.material) for key in stored)


def test_keys_in_files_are_listed_and_not_changed(service):
    """As they are written; the store's own are left alone."""
    paths = []
    for name in ("current", "next"):
        path = service.folder / f"{name}.pem"
        path.write_bytes(_jose.to_pem(_jose.generate_key("ES256")))
        path.chmod(0o600)
        paths.append(path)
    service.keys = {"files": {"current": str(paths[0]), "next": str(paths[1])}}
    before = service.stored()
    listed = keys.listed(service.settings)
    kids = [_jose.from_pem(path.read_bytes(), "ES256").kid for path in paths]
    assert [(key.state, key.kid) for key in listed] == list(
        zip(("current", "next"), kids, strict=True)
    )
    assert listed[0].since == datetime.fromtimestamp(int(paths[0].stat().st_mtime), UTC)
    for change in (keys.rotate, keys.prune, lambda s: keys.rotate(s, compromised=True)):
        with pytest.raises(ConfigurationError, match="exchange these"):
            change(service.settings)
    assert service.stored() == before


@pytest.mark.parametrize("change", [keys.listed, keys.rotate, keys.prune])
def test_there_is_nothing_to_do_in_memory(service, change):
    """Such keys end with the command."""
    with pytest.raises(ConfigurationError, match="memory"):
        change(service.having(store="memory://"))
