"""The cache of verified tokens: a look into a dictionary, bound to the keys (RULES 11, 17, 23)."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sites import down, said

from tokenward import _jose
from tokenward.errors import AuthServiceUnavailable, InvalidToken, TokenExpired

PATIENCE = 90


def figures(verifier):
    """Return hits, misses and entries."""
    stats = verifier.stats()
    return stats.hits, stats.misses, stats.entries


def published(*keys, **headers):
    """Return an answer with some keys."""
    return said({"keys": [_jose.public_jwk(key) for key in keys]}, **headers)


def refused(verifier, token):
    """Return why a token is refused."""
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    return caught.value.reason


class Watched:
    """Keys that count how often anybody looks at them."""

    def __init__(self, keys):
        self.keys = keys
        self.looks = 0

    def __getattr__(self, name):
        value = getattr(self.keys, name)
        if name not in ("in_use", "fresh_until"):
            self.looks += 1
        return value


# --- a hit


def test_a_hit_is_the_same_principal(verifier, issuer):
    """Not even a copy is made."""
    token = issuer.token()
    first = verifier.verify(token)

    assert all(verifier.verify(token) is first for _ in range(3))
    assert verifier.cached(token) is first
    assert (4, 1, 1) == figures(verifier)


def test_a_hit_looks_at_no_key(verifier, issuer):
    """Neither a signature is checked nor a key looked up."""
    token = issuer.token()
    verifier.verify(token)
    watched = verifier._keys = verifier._checks.keys = Watched(verifier._keys)
    assert ["u1", "u1"] == [verifier.verify(token).subject, verifier.cached(token).subject]
    assert 0 == watched.looks
    verifier.verify(issuer.token(sub="u2"))

    assert 0 < watched.looks


def test_the_end_of_a_cached_token(verifier, issuer, clock):
    """It comes while the token is cached, to the second and the leeway."""
    token = issuer.token(exp=int(clock()) + 100)
    verifier.verify(token)
    clock.advance(129.9)
    assert ("u1", "u1") == (verifier.cached(token).subject, verifier.verify(token).subject)
    clock.advance(0.1)
    assert verifier.cached(token) is None
    with pytest.raises(TokenExpired):
        verifier.verify(token)

    assert 1 == issuer.fetches


def test_the_end_of_a_token_whose_keys_were_looked_at_again(verifier, issuer, clock):
    """What renews an entry is never its end."""
    token = issuer.token(exp=int(clock()) + 1_000)
    for seconds in (0, 850, 179):
        clock.advance(seconds)
        assert "u1" == verifier.verify(token).subject
    clock.advance(1)
    assert verifier.cached(token) is None

    with pytest.raises(TokenExpired):
        verifier.verify(token)


def test_the_end_of_a_token_while_its_keys_are_looked_at(verifier, issuer, site, clock, keys):
    """It is what the clock says when the keys are there."""
    token = issuer.token(exp=int(clock()) + 1_000)
    verifier.verify(token)
    clock.advance(1_000)

    def page():
        clock.advance(31)
        return published(keys.old)

    site[issuer.jwks_uri] = page

    with pytest.raises(TokenExpired):
        verifier.verify(token)


def test_a_clock_that_jumps_back(verifier, issuer, clock):
    """What was verified later is checked anew, its nbf too (RULES 23)."""
    token = issuer.token(nbf=int(clock()))
    verifier.verify(token)
    clock.advance(-20)
    assert verifier.cached(token) is None
    assert "u1" == verifier.verify(token).subject
    assert (0, 2, 1) == figures(verifier)
    clock.advance(-11)

    assert "not_yet_valid" == refused(verifier, token)


# --- bound to the keys


@pytest.mark.parametrize("how", ["unknown kid", "refresh", "due"])
def test_a_rotation_ends_what_is_cached(verifier, issuer, clock, keys, how):
    """However the new keys come, a withdrawn key's tokens end there (RULES 17)."""
    cached, other = issuer.token(), issuer.token(sub="u2")
    for token in (cached, other):
        verifier.verify(token)
    issuer.publish(keys.new)
    assert "u1" == verifier.verify(cached).subject
    match how:
        case "unknown kid":
            verifier.verify(issuer.token(keys.new))
        case "refresh":
            verifier.refresh()
        case "due":
            clock.advance(840)

    if how != "due":
        # Nobody knows before somebody looked.
        assert verifier.cached(cached) is None
    assert "unknown_key" == refused(verifier, cached)
    assert "unknown_key" == refused(verifier, other)
    assert "u1" == verifier.verify(issuer.token(keys.new)).subject
    # The old kid is unknown now, which is a reason to look once.
    assert (2 if how == "unknown kid" else 3) == issuer.fetches


@pytest.mark.parametrize("how", ["refresh", "due"])
def test_the_same_keys_keep_what_is_cached(make, issuer, clock, how):
    """A fetch that brings the same keys costs no signature check."""
    asked = []
    verifier = make(check=asked.append)
    token = issuer.token()
    verifier.verify(token)
    if how == "refresh":
        verifier.refresh()
    else:
        clock.advance(840)
    assert ["u1", "u1"] == [verifier.verify(token).subject for _ in range(2)]
    assert (1, (2, 1, 1), 2) == (len(asked), figures(verifier), issuer.fetches)

    # And nobody looks at the keys again before they are due.
    clock.advance(839)
    assert "u1" == verifier.cached(token).subject


def test_a_key_more_costs_one_check(verifier, issuer, keys):
    """Other keys are others: what is cached is checked once more, and passes."""
    token = issuer.token()
    verifier.verify(token)
    issuer.publish(keys.old, keys.new)
    verifier.refresh()
    assert verifier.cached(token) is None
    assert ["u1"] * 3 == [verifier.verify(token).subject for _ in range(3)]

    assert (2, 2, 1) == figures(verifier)


def test_keys_that_come_back_are_others(verifier, issuer, keys):
    """What was verified with a set of long ago is not served by one that is alike."""
    token = issuer.token()
    verifier.verify(token)
    for published_keys in ([keys.new], [keys.old]):
        issuer.publish(*published_keys)
        verifier.refresh()

    assert verifier.cached(token) is None
    assert "u1" == verifier.verify(token).subject


def test_a_new_key_of_the_same_name(verifier, issuer, site, keys):
    """The kid is the same, the key is not (RULES 17)."""
    token = issuer.token()
    verifier.verify(token)
    jwk = {**_jose.public_jwk(keys.other), "kid": keys.old.kid}
    site[issuer.jwks_uri] = {"keys": [jwk]}
    verifier.refresh()

    assert "bad_signature" == refused(verifier, token)


def test_a_due_set_is_looked_at_although_every_token_is_cached(verifier, issuer, clock, keys):
    """Hits alone must not keep a withdrawn key alive."""
    token = issuer.token()
    for _ in range(84):
        verifier.verify(token)
        clock.advance(10)
    assert 1 == issuer.fetches
    issuer.publish(keys.new)

    assert "unknown_key" == refused(verifier, token)


def test_a_server_that_says_when(verifier, issuer, site, clock, keys):
    """max-age ends what is cached too (RULES 16)."""
    site[issuer.jwks_uri] = published(keys.old, cache_control="max-age=100")
    token = issuer.token()
    verifier.verify(token)
    clock.advance(39)
    verifier.verify(token)
    assert 1 == issuer.fetches
    clock.advance(1)
    verifier.verify(token)

    assert 2 == issuer.fetches


def test_a_verification_with_keys_that_were_replaced_meanwhile(make, issuer, keys):
    """It began with the old keys and ended after the new ones came: it is not served again."""
    gate, begun = threading.Event(), threading.Event()

    def check(claims):
        if claims["sub"] == "slow":
            begun.set()
            assert gate.wait(PATIENCE)

    verifier = make(check=check)
    token = issuer.token(sub="slow")
    verifier.warm_up()
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(verifier.verify, token)
        assert begun.wait(PATIENCE)
        issuer.publish(keys.new)
        verifier.refresh()
        gate.set()
        # It was good at the moment at which it was asked about.
        assert "slow" == slow.result(PATIENCE).subject

    assert verifier.cached(token) is None
    assert "unknown_key" == refused(verifier, token)


def test_a_slow_verification_does_not_replace_a_later_one(make, issuer, keys):
    """Nor does what it found out come after what was found out later."""
    gates = [threading.Event(), threading.Event()]
    begun = threading.Semaphore(0)

    def check(_claims):
        gate = gates.pop(0)
        begun.release()
        assert gate.wait(PATIENCE)

    first, second = gates
    verifier = make(check=check)
    token = issuer.token()
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(verifier.verify, token)
        begun.acquire(timeout=PATIENCE)
        issuer.publish(keys.old, keys.new)
        verifier.refresh()
        quick = threads.submit(verifier.verify, token)
        begun.acquire(timeout=PATIENCE)
        second.set()
        assert "u1" == quick.result(PATIENCE).subject
        first.set()
        assert "u1" == slow.result(PATIENCE).subject

    assert verifier.cached(token) is quick.result()


# --- bounds


def test_without_a_cache_every_signature_is_checked(make, issuer):
    """And nothing is kept."""
    asked = []
    verifier = make(cache_entries=0, check=asked.append)
    token = issuer.token()
    for _ in range(3):
        verifier.verify(token)

    assert (3, (0, 0, 0), 1) == (len(asked), figures(verifier), issuer.fetches)
    assert verifier.cached(token) is None


def test_the_cache_is_bounded(make, issuer):
    """Those in use stay; what had to go is checked again."""
    verifier = make(cache_entries=3)
    tokens = [issuer.token(sub=f"u{n}") for n in range(10)]
    kept = tokens[0]
    for token in tokens:
        verifier.verify(token)
        verifier.verify(kept)

    assert (3, 7) == (verifier.stats().entries, verifier.stats().evictions)
    assert "u0" == verifier.cached(kept).subject
    assert verifier.cached(tokens[1]) is None
    assert "u1" == verifier.verify(tokens[1]).subject


def test_refused_tokens_leave_no_trace(verifier, issuer, keys):
    """A flood of them pushes nothing out and holds no memory."""
    token = issuer.token()
    verifier.verify(token)
    for n in range(50):
        refused(verifier, issuer.token(keys.other, sub=f"u{n}"))

    assert 1 == verifier.stats().entries
    assert "u1" == verifier.cached(token).subject


def test_a_forgery_of_a_cached_token_is_another(verifier, issuer):
    """One character more or less is another digest."""
    token = issuer.token()
    verifier.verify(token)
    for other in (token + "A", token[:-1], token[:-4] + "AAAA", token.upper()):
        assert verifier.cached(other) is None
        refused(verifier, other)


# --- cached


@pytest.mark.parametrize("token", ["", "abc", "a.b.c", "é", "a b"], ids=ascii)
def test_cached_knows_nothing_of_what_it_never_saw(verifier, site, token):
    """It neither asks nor raises."""
    assert verifier.cached(token) is None
    assert [] == site.asked


@pytest.mark.parametrize("token", [None, 7, b"x", "\udc00"], ids=ascii)
def test_cached_refuses_what_is_no_string(verifier, token):
    """As `verify` does."""
    with pytest.raises(InvalidToken):
        verifier.cached(token)


def test_cached_asks_nobody(verifier, issuer, site, clock):
    """Where the keys would have to be looked at it says that it does not know (RULES 14)."""
    token = issuer.token()
    assert verifier.cached(token) is None
    verifier.verify(token)
    assert "u1" == verifier.cached(token).subject
    asked = len(site.asked)
    for seconds in (840, 60, 3_600):
        clock.advance(seconds)
        assert verifier.cached(token) is None

    assert asked == len(site.asked)


# --- an outage


def test_before_the_first_fetch_nobody_knows(verifier, issuer, clock):
    """503, one fetch a cooldown, and right again without a restart (RULES 16, 50)."""
    issuer.fail(down())
    token = issuer.token()
    for _ in range(3):
        with pytest.raises(AuthServiceUnavailable) as caught:
            verifier.verify(token)
        assert "connect_failed" == caught.value.reason
    assert (1, False) == (len(issuer.site.asked), verifier.warm_up())
    issuer.come_back(_jose.generate_key("ES256"))
    clock.advance(30)
    assert "unknown_key" == refused(verifier, token)


@pytest.mark.parametrize("cache_entries", [0, 100])
def test_an_outage_from_its_beginning_to_its_end(make, issuer, clock, cache_entries, keys):
    """Within the ttl nobody notices; until stale_for all are served; then 503; then it is over."""
    verifier = make(cache_entries=cache_entries, required=())
    token = issuer.token(exp=None)
    verifier.verify(token)
    issuer.fail(down())
    clock.advance(839)
    assert ("u1", 1) == (verifier.verify(token).subject, issuer.fetches)

    # Due: one asks, and then nobody for a while.
    clock.advance(1)
    for _ in range(20):
        assert "u1" == verifier.verify(token).subject
        assert "u2" == verifier.verify(issuer.token(sub="u2", exp=None)).subject
    assert 2 == issuer.fetches
    with pytest.raises(AuthServiceUnavailable):
        verifier.verify(issuer.token(keys.other))

    # Stale: the same, with longer and longer pauses.
    clock.advance(60)
    before = issuer.fetches
    for _ in range(100):
        assert "u1" == verifier.verify(token).subject
        clock.advance(30)
    assert 90 <= issuer.fetches - before <= 100

    # Gone: cached or not.
    clock.advance(600)
    for _ in range(3):
        assert verifier.cached(token) is None
        with pytest.raises(AuthServiceUnavailable):
            verifier.verify(token)
    assert verifier.keys_age() is None

    issuer.come_back(keys.old)
    clock.advance(30)
    assert ("u1", 0) == (verifier.verify(token).subject, verifier.keys_age())


def test_cached_tokens_are_hits_in_an_outage(make, issuer, clock):
    """A signature that was checked is not checked again because a server is down."""
    asked = []
    verifier = make(check=asked.append, required=())
    token = issuer.token(exp=None)
    verifier.verify(token)
    issuer.fail(down())
    for _ in range(10):
        clock.advance(400)
        assert "u1" == verifier.verify(token).subject

    assert (1, (10, 1, 1)) == (len(asked), figures(verifier))


def test_a_cached_token_is_not_served_beyond_the_hard_limit(verifier, issuer, clock):
    """However often somebody tries meanwhile (RULES 16)."""
    token = issuer.token(exp=int(clock()) + 10**6)
    verifier.verify(token)
    issuer.fail(down())
    clock.advance(4_500)
    for _ in range(50):
        with pytest.raises(AuthServiceUnavailable):
            verifier.verify(token)
        clock.advance(0.7)

    assert (0, 51) == (verifier.stats().hits, verifier.stats().misses)


def test_fetches_are_counted(verifier, issuer, clock):
    """Calls and errors, one for discovery and keys together."""
    issuer.fail(down())
    assert verifier.warm_up() is False
    issuer.come_back(_jose.generate_key("ES256"))
    clock.advance(30)
    assert verifier.warm_up() is True
    assert verifier.warm_up() is True
    verifier.refresh()

    stats = verifier.stats()
    assert (3, 1) == (stats.upstream_calls, stats.upstream_errors)


def test_keys_and_their_age(verifier, issuer, clock, keys):
    """For whoever watches or publishes them."""
    assert verifier.keys_age() is None
    assert {"keys": [_jose.public_jwk(keys.old)]} == verifier.jwks()
    clock.advance(12)
    assert 12 == verifier.keys_age()
    verifier.jwks()["keys"].clear()

    assert 1 == len(verifier.jwks()["keys"])
    issuer.fail(down())
    with pytest.raises(AuthServiceUnavailable):
        verifier.refresh()
    assert 12 == verifier.keys_age()


def test_a_closed_verifier_starts_anew(verifier, issuer, site):
    """It holds no thread and no connection, and does its work all the same."""
    token = issuer.token()
    verifier.verify(token)
    verifier.close()
    assert 1 == site.closed

    assert "u1" == verifier.verify(token).subject


def test_a_clock_that_ran_ahead_does_not_hide_a_withdrawn_key(make, issuer, clock, keys):
    """RULES 17: while it was ahead, the keys looked fresh for longer than they are."""
    verifier = make()
    token = issuer.token(exp=int(clock()) + 100_000)
    verifier.verify(token)
    clock.advance(4_000)
    verifier.verify(token)
    clock.advance(-3_940)
    issuer.publish(keys.new)
    clock.advance(900)

    with pytest.raises(InvalidToken):
        verifier.verify(token)
