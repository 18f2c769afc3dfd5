"""A logout at the service is known to every resource server at once (RULES 45, 48).

The service answers on a real socket, and so do the introspection and the logout. The resource
servers are verifiers of this process that share what a Redis would share between processes.
"""

import json
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from werkzeug.serving import make_server

from tokenward.client_auth import ClientSecretBasic
from tokenward.clients import Client
from tokenward.errors import InvalidToken
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.service import AuthService
from tokenward.testing import MemoryRevocationBus, MemorySharedCache
from tokenward.wsgi import auth_service_app

PASSWORD = "correct horse battery"
SECRET = "9f8a-77e1-quartz-lantern"
SEALING = "quartz-lantern-9f8a77e1"
PATIENCE = 120


@pytest.fixture
def shared():
    return MemorySharedCache(secrets=[SEALING])


@pytest.fixture
def bus():
    return MemoryRevocationBus(secrets=[SEALING])


@pytest.fixture
def issuer(shared, bus):
    """Serve the auth service on a free port; return its URL."""
    stores = open_repositories("memory://", bcrypt_cost=4)

    def answer(environ, start_response):
        return app(environ, start_response)

    server = make_server("127.0.0.1", 0, answer, threaded=True)
    url = f"http://127.0.0.1:{server.server_port}"
    service = AuthService(
        stores.users,
        keys=KeyRing.generate(),
        tokens=stores.tokens,
        issuer=url,
        audience="orders",
        clients=[Client(client_id="orders", client_secret=SECRET)],
        shared_cache=shared,
        revocation_bus=bus,
    )
    service.create_user("alice", email="alice@example.com", password=PASSWORD)
    app = auth_service_app(service)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield url
    server.shutdown()
    thread.join(PATIENCE)
    server.server_close()


@pytest.fixture
def resource_servers(issuer, shared, bus):
    """Return the verifiers of a fleet."""
    verifiers = [
        IntrospectionVerifier(
            IntrospectionClient(
                issuer + "/introspect",
                client_auth=ClientSecretBasic("orders", SECRET),
                timeout=PATIENCE,
            ),
            audience="orders",
            issuer=issuer,
            shared_cache=shared,
            revocation_bus=bus,
        )
        for _ in range(4)
    ]
    yield verifiers
    for verifier in verifiers:
        verifier.close()


def post(url, body, **headers):
    """Post JSON, and return the JSON that comes back."""
    request = urllib.request.Request(  # noqa: S310 - our own server, on loopback
        url,
        json.dumps(body).encode(),
        {"Content-Type": "application/json"} | headers,
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - the same
        return json.load(answer)


def logged_in(issuer):
    """Return an access token."""
    answer = post(issuer + "/login", {"username": "alice", "password": PASSWORD})
    return answer["access_token"]


def test_the_very_next_verification_is_refused(issuer, resource_servers):
    """What every process had cached is gone when the logout is answered."""
    token = logged_in(issuer)
    for verifier in resource_servers * 2:
        assert "alice" == verifier.verify(token).username
    post(issuer + "/logout", {}, Authorization=f"Bearer {token}")

    for verifier in resource_servers:
        with pytest.raises(InvalidToken) as caught:
            verifier.verify(token)
        assert "inactive" == caught.value.reason


def test_no_other_token_is_forgotten(issuer, resource_servers):
    """A logout ends one token; the others are served from the caches as before."""
    ended, other = logged_in(issuer), logged_in(issuer)
    verifier = resource_servers[0]
    verifier.verify(ended)
    verifier.verify(other)
    asked = verifier.stats().upstream_calls
    post(issuer + "/logout", {}, Authorization=f"Bearer {ended}")

    assert "alice" == verifier.verify(other).username
    assert asked == verifier.stats().upstream_calls


def test_under_traffic_nothing_is_accepted_after_the_answer(issuer, resource_servers):
    """Threads that verify all the time: once the logout is answered, none of them is let in."""
    token = logged_in(issuer)
    answered = threading.Event()
    begun = threading.Barrier(9)

    def work(number):
        verifier = resource_servers[number % 4]
        verifier.verify(token)
        begun.wait(PATIENCE)
        while True:
            too_late = answered.is_set()
            try:
                verifier.verify(token)
            except InvalidToken:
                return True
            if too_late:
                return False
            time.sleep(0)  # a greenlet that never waits lets nobody else run

    with ThreadPoolExecutor(8) as threads:
        working = [threads.submit(work, number) for number in range(8)]
        begun.wait(PATIENCE)
        post(issuer + "/logout", {}, Authorization=f"Bearer {token}")
        answered.set()

        assert [True] * 8 == [future.result(PATIENCE) for future in working]


def test_a_resource_server_that_shares_the_cache_alone(issuer, shared):
    """Without a bus the tombstone still keeps a process that knew nothing from an old answer."""

    def make():
        client = IntrospectionClient(
            issuer + "/introspect",
            client_auth=ClientSecretBasic("orders", SECRET),
            timeout=PATIENCE,
        )
        return IntrospectionVerifier(client, audience="orders", shared_cache=shared)

    token = logged_in(issuer)
    one, two = make(), make()
    one.verify(token)
    post(issuer + "/logout", {}, Authorization=f"Bearer {token}")
    with pytest.raises(InvalidToken):
        two.verify(token)
    for verifier in (one, two):
        verifier.close()
