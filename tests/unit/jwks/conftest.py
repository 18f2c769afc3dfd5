"""An issuer, a clock and an observer that do what a test says, all in this process."""

from types import SimpleNamespace

import pytest
from sites import Site

from tokenward import _fork, _jose
from tokenward._log import OncePerMinute
from tokenward.jwks import JWKSVerifier
from tokenward.testing import FakeClock, MemoryRevocationBus

NOW = 1_700_000_000
ISSUER = "https://as.example"
SECRETS = ["quartz-lantern-9f8a77e1"]
# Made once: RSA keys take their time.
KEYS = {alg: _jose.generate_key(alg) for alg in ("ES256", "RS256")}
OLD, NEW, OTHER = KEYS["ES256"], _jose.generate_key("ES256"), _jose.generate_key("ES256")


class Issuer:
    """An issuer on a scripted transport: metadata, keys, and tokens of whatever it is told."""

    def __init__(self, clock, name=ISSUER, site=None):
        self.clock = clock
        self.name = name
        self.site = Site() if site is None else site
        self.jwks_uri = f"{name}/keys"
        self.discovery_url = f"{name}/.well-known/oauth-authorization-server"
        self.site[self.discovery_url] = {"issuer": name, "jwks_uri": self.jwks_uri}
        self.publish(OLD)

    def publish(self, *keys, **members):
        """Publish these keys and no others."""
        self.site[self.jwks_uri] = {"keys": [_jose.public_jwk(key) for key in keys], **members}

    def fail(self, page):
        """Let both documents fail."""
        self.site[self.discovery_url] = self.site[self.jwks_uri] = page

    def come_back(self, *keys):
        """Publish both documents again."""
        self.site[self.discovery_url] = {"issuer": self.name, "jwks_uri": self.jwks_uri}
        self.publish(*keys)

    def token(self, key=OLD, *, header_typ="at+jwt", **claims):
        """Sign a token; a claim that is ``None`` is left out."""
        now = int(self.clock())
        said = {"iss": self.name, "sub": "u1", "aud": "orders", "exp": now + 3_000, **claims}
        said = {k: v for k, v in said.items() if v is not None}
        return _jose.sign(said, key, typ=header_typ)

    @property
    def fetches(self):
        """How often the keys were asked for."""
        return self.site.asked.count(self.jwks_uri)


class Observer:
    """Keeps events."""

    def __init__(self):
        self.events = []
        self.failure = None

    def __call__(self, event):
        self.events.append(event)
        if self.failure is not None:
            raise self.failure

    def told(self):
        """Return what was told since the last look, as sorted pairs."""
        events = sorted((e.kind, e.outcome) for e in self.events)
        self.events.clear()
        return events


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
def issuer(clock):
    return Issuer(clock)


@pytest.fixture
def site(issuer):
    return issuer.site


@pytest.fixture
def observer():
    return Observer()


@pytest.fixture
def bus():
    return MemoryRevocationBus(secrets=SECRETS)


@pytest.fixture
def make(issuer, clock):
    """Return a function that makes a verifier of the issuer; each is closed at the end."""
    made = []

    def make(name=ISSUER, **options):
        given = {"audience": "orders", "clock": clock, "transport": issuer.site} | options
        made.append(JWKSVerifier(name, **given))
        return made[-1]

    yield make
    for verifier in made:
        verifier.close()


@pytest.fixture
def verifier(make):
    return make()


@pytest.fixture
def keys():
    """Return keys by a short name."""
    return SimpleNamespace(old=OLD, new=NEW, other=OTHER, rsa=KEYS["RS256"])


@pytest.fixture
def another(clock, site):
    """Return a function that adds an issuer of another name to the same transport."""
    return lambda name: Issuer(clock, name, site)


@pytest.fixture(autouse=True)
def _every_line_is_logged():
    """Start each test with logs that have said nothing this minute."""
    for thing in list(_fork._registered):
        if isinstance(thing, OncePerMinute):
            thing._last.clear()
