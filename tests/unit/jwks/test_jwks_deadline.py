"""One deadline over everything that a request may wait for keys, on real sockets (RULES 16, 22)."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fault_server import FaultServer
from sites import down

from tokenward import _jose
from tokenward.errors import AuthServiceUnavailable, InvalidToken
from tokenward.jwks import JWKSVerifier
from tokenward.testing import FakeClock

KEY = _jose.generate_key("ES256")
SECONDS = 1.0
SLACK = 60.0  # seconds by which a loaded machine may miss a deadline; what hangs does so longer
PATIENCE = 90
METADATA = "/.well-known/oauth-authorization-server"


def hang(peer):
    peer.hold()


def drip(peer):
    peer.send(peer.answer(b"", length=1_000))
    peer.drip(b" " * 1_000)


class Publisher:
    """An issuer on a socket, each of whose documents can be made to fail, or to take its time."""

    def __init__(self):
        self.faults = {}
        self.delays = {}
        self.server = FaultServer(self.play)
        self.issuer = f"http://127.0.0.1:{self.server.port}"
        self.clock = FakeClock()
        self.verifier = JWKSVerifier(
            self.issuer, audience="orders", timeout=SECONDS, retries=0, clock=self.clock
        )

    def play(self, peer):
        while request := peer.read():
            path = request[0].split()[1].decode()
            if path in self.faults:
                self.faults[path](peer)
                return
            self.server.stopping.wait(self.delays.get(path, 0))
            peer.send(peer.answer(json.dumps(self.document(path)).encode()))

    def document(self, path):
        if path == METADATA:
            return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
        return {"keys": [_jose.public_jwk(KEY)]}

    def token(self, key=KEY, **claims):
        now = int(self.clock())
        given = {"iss": self.issuer, "sub": "u1", "aud": "orders", "exp": now + 100_000}
        return _jose.sign({**given, **claims}, key)

    def asked(self, path):
        """How often a document was asked for."""
        return sum(head.split()[1].decode() == path for head, _ in self.server.requests)


@pytest.fixture
def publisher():
    made = Publisher()
    yield made
    made.verifier.close()
    made.server.close()


def outage(verifier, token):
    """Return the reason of an outage, and how long it took."""
    started = time.monotonic()
    with pytest.raises(AuthServiceUnavailable) as caught:
        verifier.verify(token)
    return caught.value.reason, time.monotonic() - started


@pytest.mark.parametrize("path", [METADATA, "/keys"])
@pytest.mark.parametrize("fault", [hang, drip], ids=["hangs", "drips"])
def test_either_document_may_take_the_whole_time(publisher, path, fault):
    """Then it is over, and the next request waits for nobody."""
    publisher.faults[path] = fault
    reason, seconds = outage(publisher.verifier, publisher.token())
    assert "deadline" == reason
    assert SECONDS - 0.05 < seconds < SECONDS + SLACK
    asked = len(publisher.server.requests)
    outage(publisher.verifier, publisher.token())

    assert asked == len(publisher.server.requests)


def test_both_documents_together_have_one_deadline(publisher):
    """Each comes within the time; the two do not."""
    verifier = JWKSVerifier(
        publisher.issuer, audience="orders", timeout=2, retries=0, clock=publisher.clock
    )
    publisher.delays = {METADATA: 0.5, "/keys": 1.7}
    reason, seconds = outage(verifier, publisher.token())
    verifier.close()

    assert "deadline" == reason
    assert seconds < 2 + SLACK
    assert (1, 1) == (publisher.asked(METADATA), publisher.asked("/keys"))


@pytest.mark.parametrize("cached", [False, True])
def test_a_set_that_is_due_and_a_key_that_it_lacks_have_one_deadline(
    make, issuer, clock, keys, cached
):
    """Two fetches one after the other; the request waits no longer for that."""
    site, verifier = issuer.site, make(timeout=PATIENCE)
    token = issuer.token(keys.other if cached else keys.new)
    issuer.publish(keys.other)
    verifier.verify(issuer.token(keys.other, jti="1"))
    if cached:
        verifier.verify(token)
    begun = []
    new = {"keys": [_jose.public_jwk(keys.old)]}
    pages = [new, new] if cached else [down(), new]

    def slow():
        begun.append(time.monotonic())
        threading.Event().wait(0.05)
        return pages.pop(0)

    site[issuer.jwks_uri] = slow
    clock.advance(850)
    site.deadlines.clear()
    with pytest.raises(InvalidToken):
        verifier.verify(token)

    assert 2 == len(begun) == len(site.deadlines)
    assert max(site.deadlines) <= begun[0] + PATIENCE


def test_a_due_set_that_hangs_holds_up_one_request(publisher):
    """The others are served at once with what there is; and so is that one at the end."""
    token = publisher.token()
    verifier = JWKSVerifier(
        publisher.issuer, audience="orders", timeout=PATIENCE, retries=0, clock=publisher.clock
    )
    verifier.verify(token)
    gate = threading.Event()
    publisher.faults["/keys"] = lambda _peer: gate.wait(PATIENCE)
    publisher.clock.advance(850)
    with ThreadPoolExecutor(1) as threads:
        one = threads.submit(verifier.verify, token)
        pause = threading.Event()
        for _ in range(20_000):
            if publisher.asked("/keys") > 1:
                break
            pause.wait(0.001)
        new = [publisher.token(jti=str(n)) for n in range(10)]
        assert ["u1"] * 20 == [verifier.verify(t).subject for t in [*new, *[token] * 10]]
        assert (False, 2) == (one.done(), publisher.asked("/keys"))
        gate.set()
        assert "u1" == one.result(PATIENCE).subject
    verifier.close()


def test_metadata_that_is_due_too_takes_its_share_of_the_time(make, issuer, site, clock):
    """Half of what the keys have, which is half of what the request has."""
    verifier = make(timeout=100)
    token = issuer.token(exp=int(clock()) + 10_000)
    verifier.verify(token)
    clock.advance(4_000)
    site.deadlines.clear()
    began = time.monotonic()
    verifier.verify(token)
    ended = time.monotonic()

    assert [True, True] == [
        began + share * 100 <= deadline <= ended + share * 100
        for share, deadline in zip((0.25, 0.5), site.deadlines, strict=True)
    ]
