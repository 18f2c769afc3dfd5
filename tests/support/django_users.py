"""Whose tokens a project of the tests takes, and an auth service on a real loopback port."""

import socket
import threading
from contextlib import contextmanager

import waitress.server
from benchmarks.ports import free_port
from waitress import wasyncore

from tokenward.authenticator import Authenticator, Credential, authorization
from tokenward.clients import Client
from tokenward.keys import KeyRing
from tokenward.principal import Principal
from tokenward.repositories import open_repositories
from tokenward.service import AuthService
from tokenward.testing import StubVerifier, override_authenticator
from tokenward.wsgi import auth_service_app

ISSUER = "https://login.example"
OTHER = "https://partner.example"
SECRET = "9f8a-77e1-quartz-lantern"
PASSWORD = "correct horse battery"
CLIENT = Client("shop", SECRET, access_token_lifetime=28_800)


def alice(**changes):
    """Return a principal of `ISSUER`."""
    known = {"issuer": ISSUER, "username": "alice"}
    return Principal(changes.pop("subject", "a1"), **(known | changes))


def introspection(issuer):
    """Return a credential entry of one issuer, read from a header of its own."""
    return {
        "type": "introspection",
        "issuer": issuer,
        "introspection_endpoint": f"{issuer}/introspect",
        "client_auth": {"method": "bearer", "token": SECRET},
        "audience": "shop",
        "source": "authorization" if issuer == ISSUER else "header:X-Partner",
    }


def taking(*issuers, **section):
    """Return ``settings.TOKENWARD`` of a project that takes these issuers' tokens."""
    entries = [introspection(issuer) for issuer in issuers or (ISSUER,)]
    return {"realm": "shop", "credentials": entries, "django": section}


@contextmanager
def tokens(**outcomes):
    """Have these words be tokens, as long as the block lasts."""
    verifier = StubVerifier(outcomes)
    with override_authenticator(Authenticator(Credential(authorization(), verifier))):
        yield verifier


def new_service(issuer, clock, *, roles=("admin",)):
    """Return an auth service with one user, ``root``."""
    stores = open_repositories("memory://", bcrypt_cost=4)
    service = AuthService(
        stores.users,
        keys=KeyRing.generate(clock=clock),
        tokens=stores.tokens,
        issuer=issuer,
        audience="shop",
        clients=[CLIENT],
        clock=clock,
    )
    service.create_user("root", email="root@example.com", password=PASSWORD, roles=roles)
    return service


class Served:
    """An application behind waitress, which can go away and come back at the same port.

    Attributes:
        url: Where it is.
        paths: What it was asked for.
    """

    def __init__(self):
        self._port = free_port()
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self.url = f"http://127.0.0.1:{self._port}"
        self.paths = []
        self.app = None
        self._up()

    def stop(self):
        """Stop serving; connections and threads end."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._thread.join()
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._channels)
        self._listener.close()

    def start_again(self):
        """Serve at the same port once more."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._up()

    def _up(self):
        self._channels = {}
        self._server = waitress.server.create_server(
            self._respond, map=self._channels, sockets=[self._listener], threads=4
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stopping.is_set():
            wasyncore.loop(timeout=0.02, map=self._channels, count=1)

    def _respond(self, environ, start_response):
        self.paths.append(environ["PATH_INFO"])
        return self.app(environ, start_response)


@contextmanager
def served_service(clock):
    """Serve an auth service; yield it and where it is served."""
    served = Served()
    try:
        service = new_service(served.url, clock)
        served.app = auth_service_app(service)
        yield service, served
    finally:
        served.stop()
