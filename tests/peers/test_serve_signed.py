"""`tokenward serve` as an issuer for `JWKSVerifier`, which knows nothing but its name."""

import re
import subprocess
import sys
import time
from contextlib import contextmanager

import jwt
import pytest
import requests
from benchmarks.ports import free_port

from tokenward import ClientSecretBasic, IntrospectionClient, IntrospectionVerifier, JWKSVerifier
from tokenward.config import Settings
from tokenward.config.build import initialize_store
from tokenward.errors import AuthServiceUnavailable, InvalidToken, TokenRevoked
from tokenward.repositories import open_repositories
from tokenward.testing import FakeClock

PASSWORD = "correct horse battery"
SECRET = "9f8a-77e1-quartz-lantern"
CONFIG = """
[service]
issuer = "{issuer}"
audience = "orders"
store = "sqlite:///{folder}/store.db"
registration = "open"
password = {{ bcrypt_cost = 4 }}
keys = {{ algorithm = "{algorithm}" }}

[[service.clients]]
client_id = "orders"
client_secret = "9f8a-77e1-quartz-lantern"
"""


class Service:
    """Runs ``tokenward serve`` in a folder, always at the same address."""

    def __init__(self, folder, algorithm):
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.store = f"sqlite:///{folder}/store.db"
        self._config = folder / "tokenward.toml"
        self._log = folder / "serve.log"
        text = CONFIG.format(issuer=self.issuer, folder=folder, algorithm=algorithm)
        self._config.write_text(text, "utf-8")
        self.algorithm = algorithm
        initialize_store(Settings.from_file(self._config))

    @contextmanager
    def running(self):
        command = [sys.executable, "-m", "tokenward", "serve", "--config", self._config]
        with self._log.open("wb") as log:
            server = subprocess.Popen(
                [*command, "--bind", f"127.0.0.1:{self.port}"], stdout=log, stderr=log
            )
        try:
            while not re.search(rb"^Serving http://", self._log.read_bytes()):
                assert server.poll() is None, self._log.read_text("utf-8")
                time.sleep(0.02)
            yield self
        finally:
            server.kill()
            server.wait()

    def post(self, path, **arguments):
        answer = requests.post(self.issuer + path, timeout=90, **arguments)
        answer.raise_for_status()
        return answer.json()

    def sign_in(self, name="alice"):
        """Return the identifier and a token of a user, who is registered if need be."""
        account = {"username": name, "password": PASSWORD}
        known = requests.post(f"{self.issuer}/login", json=account, timeout=90)
        if not known.ok:
            self.post("/register", json={**account, "email": f"{name}@example.com"})
            return self.sign_in(name)
        return known.json()["user"]["id"], known.json()["access_token"]

    def log_out(self, token):
        self.post("/logout", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def service(request, tmp_path):
    """A service that was set up and does not run yet; a test may name its algorithm."""
    return Service(tmp_path, getattr(request, "param", "ES256"))


@pytest.fixture
def make_verifier(service):
    """Make verifiers that know the issuer's name, the audience, and what to allow."""
    made = []

    def make(**options):
        known = {"audience": "orders", "algorithms": [service.algorithm]}
        made.append(JWKSVerifier(service.issuer, **known | options))
        return made[-1]

    yield make
    for verifier in made:
        verifier.close()


@pytest.mark.parametrize("service", ["ES256", "EdDSA"], indirect=True)
def test_token_of_the_service(service, make_verifier):
    """The metadata leads to the keys; the profile is that of RFC 9068, asked for or not."""
    with service.running():
        subject, token = service.sign_in()
        header = jwt.get_unverified_header(token)
        assert (service.algorithm, "at+jwt") == (header["alg"], header["typ"])
        for token_types in (None, ("at+jwt",)):
            verifier = make_verifier(token_types=token_types)
            principal = verifier.verify(token)
            assert (subject, service.issuer) == (principal.subject, principal.issuer)
            assert ("user", 1) == (principal.kind, verifier.stats().upstream_calls)
        keys = {key["kid"] for key in verifier.jwks()["keys"]}
    with open_store(service) as keys_of_store:
        assert keys == {key.kid for key in keys_of_store}


@contextmanager
def open_store(service):
    stores = open_repositories(service.store)
    yield stores.keys.load()[1]
    stores.close()


def test_logout_counts_for_live_decisions(service, make_verifier):
    """By signature the token is good until it expires; whoever asks the issuer learns more."""
    with service.running():
        client = IntrospectionClient.from_issuer(
            service.issuer, client_auth=ClientSecretBasic("orders", SECRET)
        )
        live = IntrospectionVerifier(client, audience="orders", issuer=service.issuer)
        verifier, alone = make_verifier(live=live), make_verifier()
        subject, token = service.sign_in()
        asked = verifier.verify(token, live=True)
        assert (subject, service.issuer) == (asked.subject, asked.issuer)
        assert asked.key == verifier.verify(token).key
        service.log_out(token)

        assert subject == verifier.verify(token).subject
        with pytest.raises(InvalidToken) as caught:
            verifier.verify(token, live=True)
        assert "inactive" == caught.value.reason
        # From now on for those who do not ask, too.
        with pytest.raises(TokenRevoked):
            verifier.verify(token)
        assert subject == alone.verify(token).subject
        live.close()


def test_service_that_goes_and_comes(service, make_verifier):
    """Down at the start; killed later, its tokens pass; back again, nobody has to do anything."""
    with service.running():
        subject, token = service.sign_in()
    clock = FakeClock(jwt.decode(token, options={"verify_signature": False})["iat"])
    verifier = make_verifier(clock=clock)
    with pytest.raises(AuthServiceUnavailable):
        verifier.verify(token)
    with service.running():
        clock.advance(30)
        assert subject == verifier.verify(token).subject
        _, later = service.sign_in()
    clock.advance(600)

    assert subject == verifier.verify(later).subject
    assert (3, 2) == (verifier.stats().upstream_calls, verifier.stats().upstream_errors)
