"""Threads that verify while an issuer changes its keys, over real HTTP (RULES 16, 17, 45)."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tokenward import _jose
from tokenward._http import RequestsTransport
from tokenward.errors import AuthError, AuthServiceUnavailable, InvalidToken
from tokenward.jwks import JWKSVerifier
from tokenward.testing import FakeAuthorizationServer, FakeClock

THREADS = 32
PATIENCE = 120
LATENCY = 0.05
FLOOD = 2_000


def fetches(server):
    """Return how often the keys were asked for."""
    return len(server.requests(server.jwks_uri))


@pytest.fixture
def clock():
    return FakeClock(time.time())


@pytest.fixture
def server(clock):
    """Run an authorization server."""
    with FakeAuthorizationServer(clock=clock, expires_in=100_000) as fake:
        yield fake


@pytest.fixture
def make(server, clock):
    """Return a function that makes a verifier of the server."""
    made = []

    def make(**options):
        known = {"audience": "api", "clock": clock, "timeout": PATIENCE}
        made.append(JWKSVerifier(server.issuer, **known | options))
        return made[-1]

    yield make
    for verifier in made:
        verifier.close()


@pytest.fixture(params=[10_000, 0], ids=["cached", "uncached"])
def verifier(make, request):
    """Return a verifier, with and without its cache."""
    return make(cache_entries=request.param)


def outcome(verifier, token):
    """Return what a token is accepted as, or why it is not."""
    try:
        return verifier.verify(token).subject
    except AuthError as error:
        return error.reason


def together(call, count=THREADS):
    """Run `call` in threads that start at one barrier; return what each returned."""
    barrier = threading.Barrier(count)

    def run(number):
        barrier.wait(PATIENCE)
        return call(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def due(verifier, clock):
    """Let the keys be due, and wait until they were fetched anew."""
    clock.advance(850)
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.002)):
        if verifier.keys_age() == 0:
            return
        pause.wait(0.002)
    pytest.fail("nobody fetches the keys")


class Gated(RequestsTransport):
    """A transport whose fetches of keys wait at a gate, once it is closed."""

    def __init__(self):
        super().__init__(retries=0)
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()

    def send(self, request, *, deadline):
        if request.url.endswith("/jwks.json") and not self.gate.is_set():
            self.waiting.set()
            assert self.gate.wait(PATIENCE)
        return super().send(request, deadline=deadline)


class Traffic:
    """Threads that verify one token after the other, until they are to stop."""

    def __init__(self, verifier, tokens, *, threads=THREADS):
        self.verifier = verifier
        self.threads = threads
        self.tokens = tokens
        self.seen = set()
        self.count = itertools.count()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(threads)
        self._running = []

    def _work(self, barrier):
        barrier.wait(PATIENCE)
        while not self._stop.is_set():
            for token in list(self.tokens):
                self.seen.add(outcome(self.verifier, token))
                next(self.count)
            # Lets a greenlet's neighbours run too.
            self._stop.wait(0.001)

    def __enter__(self):
        barrier = threading.Barrier(self.threads + 1)
        self._running = [self._pool.submit(self._work, barrier) for _ in range(self.threads)]
        barrier.wait(PATIENCE)
        return self

    def more(self, turns=2):
        """Wait until each thread has verified each token a few times more."""
        wanted = next(self.count) + self.threads * len(self.tokens) * turns
        pause = threading.Event()
        for _ in range(int(PATIENCE / 0.002)):
            if next(self.count) >= wanted:
                return
            pause.wait(0.002)
        pytest.fail("the threads do not get on")

    def __exit__(self, *_):
        self._stop.set()
        self._pool.shutdown()
        for done in self._running:
            done.result(PATIENCE)


def test_a_rotation_published_ahead_refuses_nobody(server, verifier, clock):
    """The next key is published one refresh before its use: every valid token is accepted."""
    tokens = [server.token(), server.token()]
    verifier.warm_up()
    with Traffic(verifier, tokens) as traffic:
        traffic.more()
        server.publish_next()
        due(verifier, clock)
        server.rotate()
        tokens += [server.token(), server.token()]
        traffic.more()
        due(verifier, clock)
        traffic.more()

    assert ({"user-1"}, 3) == (traffic.seen, fetches(server))


def test_a_withdrawn_key_verifies_nothing_after_the_refresh(server, verifier, clock):
    """Cached or not, in any thread: no token of its is accepted any more (RULES 17)."""
    old = [server.token(), server.token()]
    verifier.warm_up()
    server.publish_next()
    with Traffic(verifier, old) as traffic:
        due(verifier, clock)
        server.rotate(keep=False)
        new = [server.token(), server.token()]
        with Traffic(verifier, new) as others:
            others.more()
            assert {"user-1"} == traffic.seen
            verifier.refresh()
            after = set(together(lambda number: outcome(verifier, old[number % 2])))
            others.more()

    assert {"unknown_key"} == after
    assert {"user-1"} == others.seen
    assert {"user-1", "unknown_key"} == traffic.seen
    # The first, the due one, the refresh; and one because the old key is unknown now.
    assert 4 == fetches(server)


def test_a_rotation_not_published_ahead_is_noticed_at_once(server, verifier):
    """The new key's first tokens wait for one fetch, the old ones for nothing."""
    old = server.token()
    verifier.verify(old)
    server.rotate()
    server.fail(server.jwks_uri, status=None, delay=LATENCY)
    new = server.token()
    got = together(lambda number: outcome(verifier, new if number % 2 else old))

    assert (["user-1"] * THREADS, 2) == (got, fetches(server))


def test_a_rotation_in_the_cooldown_is_noticed_at_its_end(server, verifier, clock):
    """Refused until then, and never longer; each fetch is counted at the server (RULES 16)."""
    verifier.warm_up()
    stranger = _jose.generate_key("ES256")
    claims = {"iss": server.issuer, "sub": "x", "aud": "api", "exp": int(clock()) + 1_000}
    assert "unknown_key" == outcome(verifier, _jose.sign(claims, stranger))
    assert 2 == fetches(server)
    server.rotate()
    new = server.token()
    for seconds in (0, 10, 19.9):
        clock.advance(seconds)
        assert {"unknown_key"} == set(together(lambda _: outcome(verifier, new)))
    assert 2 == fetches(server)
    clock.advance(0.1)

    assert ["user-1"] * THREADS == together(lambda _: outcome(verifier, new))
    assert 3 == fetches(server)


def test_a_rotation_during_an_outage_is_nobodys_bad_token(server, verifier, clock):
    """503 for the new key, while the old one's tokens go on; right again after the cooldown."""
    old = server.token()
    verifier.verify(old)
    server.rotate()
    new = server.token()
    server.fail(server.jwks_uri, status=500, times=1)
    got = together(lambda number: outcome(verifier, new if number % 2 else old))
    assert (["user-1", "bad_response"] * (THREADS // 2), 2) == (got, fetches(server))
    clock.advance(30)

    assert ["user-1"] * THREADS == together(lambda _: outcome(verifier, new))
    assert 3 == fetches(server)


@pytest.mark.parametrize("cache_entries", [10_000, 0], ids=["cached", "uncached"])
def test_2000_unknown_keys_beside_good_traffic(server, make, clock, cache_entries):
    """One fetch a cooldown, whoever makes them up; good tokens neither wait nor fail."""
    transport = Gated()
    verifier = make(cache_entries=cache_entries, transport=transport, timeout=2 * PATIENCE)
    good = [server.token(jti=str(n)) for n in range(4)]
    verifier.warm_up()
    signed = server.token(sub="x").partition(".")[2]
    heads = (
        _jose.encode(f'{{"alg":"ES256","kid":"made-up-{number}"}}'.encode())
        for number in range(FLOOD)
    )
    forged = [f"{head}.{signed}" for head in heads]
    transport.gate.clear()
    with Traffic(verifier, good, threads=4) as traffic, ThreadPoolExecutor(8) as attackers:
        flood = [attackers.submit(outcomes, verifier, forged[n::8]) for n in range(8)]
        # One of them asks, and all of them wait for that; nobody else does.
        assert transport.waiting.wait(PATIENCE)
        traffic.more()
        assert not any(attacker.done() for attacker in flood)
        transport.gate.set()
        reasons = [reason for attacker in flood for reason in attacker.result(PATIENCE)]
        traffic.more()

    assert ({"user-1"}, FLOOD, {"unknown_key"}) == (traffic.seen, len(reasons), set(reasons))
    assert 2 == fetches(server)
    clock.advance(30)
    assert ["unknown_key"] * 8 == outcomes(verifier, forged[:8])
    assert (3, ["user-1"] * 4) == (fetches(server), outcomes(verifier, good))


def outcomes(verifier, tokens):
    """Return what each of some tokens is accepted as, or why it is not."""
    return [outcome(verifier, token) for token in tokens]


@pytest.mark.parametrize("fails", [False, True])
def test_32_threads_on_a_cold_verifier_discover_once(server, verifier, fails):
    """One document, one set of keys; a failure is shared as well (RULES 45)."""
    server.fail(server.jwks_uri, status=500 if fails else None, delay=LATENCY)
    token = server.token()
    got = together(lambda _: outcome(verifier, token))

    assert [("bad_response" if fails else "user-1")] * THREADS == got
    assert (2, 1) == (len(server.requests()), fetches(server))


def test_errors_are_each_threads_own(server, make):
    """A fresh exception for each, so that no thread's traceback is another's."""
    server.fail(server.jwks_uri, status=500, delay=LATENCY)
    verifier = make()
    token = server.token()
    errors = []

    def verify(_):
        try:
            verifier.verify(token)
        except (AuthServiceUnavailable, InvalidToken) as error:
            errors.append(error)

    together(verify)

    assert THREADS == len({id(error) for error in errors})


def test_many_verdicts_about_one_token_at_once(make, server, clock):
    """Revoked in the middle of them: nobody who asks afterwards gets another answer."""
    verifier = make()
    for turn in range(20):
        token = server.token(jti=str(turn))
        revoked = threading.Event()

        def work(number, token=token, revoked=revoked):
            if number == THREADS // 2:
                verifier.invalidate(token)
                revoked.set()
                return "revoked"
            began_after = revoked.is_set()
            said = outcome(verifier, token)
            return "revoked" if not began_after and said == "user-1" else said

        assert {"revoked"} == set(together(work))
        assert "revoked" == outcome(verifier, token)
