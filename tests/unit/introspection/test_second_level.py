"""The verifier over a shared cache and a revocation bus (RULES 45, 48)."""

import logging

import pytest

from tokenward import _jose
from tokenward._spellings import spellings
from tokenward.client_auth import BearerAuth
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier

# --- sharing answers


def test_processes_ask_once_together(make, upstream, shared):
    """What one verifier was told, another one need not ask."""
    upstream.accept("t")
    one, two = make(shared_cache=shared), make(shared_cache=shared)

    assert one.verify("t") == two.verify("t")
    assert 1 == len(upstream.asked)
    assert (1, 0) == (two.stats().shared_hits, two.stats().upstream_calls)


def test_a_hit_in_the_process_does_not_look_further(make, upstream, shared):
    """The shared level is for what the process does not know."""
    upstream.accept("t")
    verifier = make(shared_cache=shared)
    verifier.verify("t")
    shared.calls.clear()
    verifier.verify("t")

    assert [] == shared.calls


def test_one_round_trip_to_look_and_one_to_keep(make, upstream, shared):
    """A token that nobody knows costs the shared level two calls."""
    upstream.accept("t")
    make(shared_cache=shared).verify("t")

    assert ["get", "set"] == shared.calls


def test_refusals_are_not_shared(make, shared):
    """A flood of made-up tokens fills nothing but the bounded cache of the process."""
    verifier = make(shared_cache=shared)
    for number in range(50):
        with pytest.raises(InvalidToken):
            verifier.verify(f"made-up-{number}")

    assert {} == shared.kept
    assert {"get", "delete"} == set(shared.calls)


def test_each_reader_applies_its_own_policy(make, upstream, shared):
    """An answer that one accepts may be refused by another."""
    upstream.accept("t")
    make(shared_cache=shared).verify("t")
    with pytest.raises(InvalidToken) as caught:
        make(shared_cache=shared, audience="billing").verify("t")

    assert "audience_mismatch" == caught.value.reason
    assert 1 == len(upstream.asked)


def test_each_reader_applies_its_own_ttl(make, upstream, shared, clock):
    """The life of a shared answer counts from when it was asked for, by the reader's ttl."""
    upstream.accept("t")
    make(shared_cache=shared).verify("t")
    clock.advance(10)
    verifier = make(shared_cache=shared, ttl=20)
    verifier.verify("t")
    assert 1 == len(upstream.asked)
    clock.advance(10)
    verifier.verify("t")
    assert 2 == len(upstream.asked)


def test_live_asks_and_shares_what_it_heard(make, upstream, shared, clock):
    """A live question goes to the server, and its answer to everybody."""
    upstream.accept("t")
    one, two = make(shared_cache=shared), make(shared_cache=shared)
    one.verify("t")
    two.verify("t", live=True)
    assert 2 == len(upstream.asked)
    upstream.good.clear()
    with pytest.raises(InvalidToken):
        two.verify("t", live=True)

    with pytest.raises(InvalidToken):
        make(shared_cache=shared).verify("t")


def test_an_answer_that_may_not_be_stored_is_not_shared(make, upstream, shared):
    """``no-store`` holds for the shared level too, and ends what stands there."""
    upstream.accept("t")
    verifier = make(shared_cache=shared)
    verifier.verify("t")
    upstream.headers["cache-control"] = "no-store"
    verifier.verify("t", live=True)

    assert {} == shared.kept


def test_a_refresh_serves_the_fleet(make, upstream, shared, clock):
    """In the last tenth one process asks; the others find its answer."""
    upstream.accept("t")
    fleet = [make(shared_cache=shared) for _ in range(4)]
    for verifier in fleet * 2:
        verifier.verify("t")
    clock.advance(55)
    for verifier in fleet:
        verifier.verify("t")

    assert 2 == len(upstream.asked)


def test_a_shared_answer_stands_in_for_a_server_that_is_down(make, upstream, shared, clock):
    """A process that knows nothing serves what another one knew, until its end and no longer."""
    upstream.accept("t")
    make(shared_cache=shared, stale_if_error=300).verify("t")
    clock.advance(57)
    upstream.go_down()
    verifier = make(shared_cache=shared)
    assert "user of t" == verifier.verify("t").subject
    assert 1 == verifier.stats().upstream_calls

    clock.advance(3)
    for options in ({}, {"stale_if_error": 300}):
        with pytest.raises(AuthServiceUnavailable):
            make(shared_cache=shared, **options).verify("t")


def test_what_was_refused_is_not_found_again(make, upstream, shared, clock):
    """An older yes that somebody writes after the no is not taken by who was told no."""
    upstream.accept("t")
    verifier = make(shared_cache=shared)
    make(shared_cache=shared).verify("t")
    older = dict(shared.kept)
    clock.advance(1)
    upstream.refuse("t")
    for _ in range(2):
        with pytest.raises(InvalidToken):
            verifier.verify("t", live=True)
        shared.kept.update(older)
        clock.advance(16)
        with pytest.raises(InvalidToken):
            verifier.verify("t")
        shared.kept.update(older)


def test_a_full_cache_undoes_no_invalidation(make, upstream, shared, bus):
    """Where no tombstone can be written, whoever hears of it remembers by itself."""
    upstream.accept("t")
    verifiers = [make(shared_cache=shared, revocation_bus=bus) for _ in range(2)]
    for verifier in verifiers:
        verifier.verify("t")
    older = dict(shared.kept)
    upstream.refuse("t")
    verifiers[0].invalidate("t")
    shared.kept.clear()
    shared.kept.update(older)
    for verifier in verifiers:
        with pytest.raises(InvalidToken):
            verifier.verify("t")


def test_clients_that_nothing_tells_apart_share_nothing(upstream, shared):
    """A server may tell one client more than another."""
    client = IntrospectionClient(
        upstream.endpoint, client_auth=BearerAuth(lambda: "t"), transport=upstream
    )
    with pytest.raises(ConfigurationError, match="an attribute client_id"):
        IntrospectionVerifier(client, audience="orders", shared_cache=shared)


def test_clients_by_token_of_their_own_share_nothing(upstream, shared):
    """Two bearer tokens are two clients."""
    upstream.accept("t")
    for token in ("mine", "yours"):
        client = IntrospectionClient(
            upstream.endpoint, client_auth=BearerAuth(token), transport=upstream
        )
        IntrospectionVerifier(client, audience="orders", shared_cache=shared).verify("t")

    assert 2 == len(upstream.asked)


def test_a_token_signed_by_ecdsa_is_invalidated_with_its_twin(make, upstream):
    """The same signature can be written in two ways, and says the same."""
    token, twin = spellings(_jose.sign({"sub": "u"}, _jose.generate_key("ES256")))
    upstream.accept(token, twin)
    verifier = make()
    verifier.verify(twin)
    upstream.refuse(twin)
    verifier.invalidate(token)

    with pytest.raises(InvalidToken):
        verifier.verify(twin)


def test_a_refusal_ends_the_shared_answer(make, upstream, shared, clock):
    """What one process was refused is served stale by no other, when the server goes down."""
    upstream.accept("t")
    make(shared_cache=shared, stale_if_error=300).verify("t")
    clock.advance(55)
    upstream.good.clear()
    with pytest.raises(InvalidToken):
        make(shared_cache=shared).verify("t")
    upstream.go_down()

    with pytest.raises(AuthServiceUnavailable):
        make(shared_cache=shared, stale_if_error=300).verify("t")


@pytest.mark.parametrize("failure", [ConnectionError("gone"), TimeoutError(), ValueError("odd")])
def test_a_shared_level_that_fails_is_a_miss(make, upstream, shared, caplog, failure):
    """Down, slow or odd: the server is asked, the failure counted, and logged once."""
    upstream.accept("t", "u", "v")
    shared.failure = failure
    verifier = make(shared_cache=shared)
    with caplog.at_level(logging.WARNING):
        for token in "tuv":
            assert f"user of {token}" == verifier.verify(token).subject

    assert 3 == len(upstream.asked)
    assert verifier.stats().shared_errors >= 1
    assert 1 == len(caplog.records)


# --- revocations


def test_invalidation_reaches_every_process(make, upstream, shared, bus):
    """A token invalidated anywhere is asked about everywhere."""
    upstream.accept("t")
    one, two = (make(shared_cache=shared, revocation_bus=bus) for _ in range(2))
    one.verify("t")
    two.verify("t")
    upstream.good.clear()
    one.invalidate("t")

    for verifier in (one, two):
        with pytest.raises(InvalidToken):
            verifier.verify("t")


def test_a_request_during_an_invalidation_brings_nothing_back(make, upstream, shared):
    """What it still finds in the shared cache is not kept beyond the invalidation."""
    upstream.accept("t")
    verifier = make(shared_cache=shared)
    verifier.verify("t")
    upstream.good.clear()
    keep = shared.set

    def verified_in_between(key, value, *, ttl):
        verifier.verify("t")
        keep(key, value, ttl=ttl)

    shared.set = verified_in_between
    verifier.invalidate("t")
    shared.set = keep

    with pytest.raises(InvalidToken):
        verifier.verify("t")


def test_a_tombstone_outlives_an_answer_on_its_way(make, upstream, shared):
    """A look-up from before an invalidation may still share its answer; nobody uses it."""
    upstream.accept("t")
    one, two = make(shared_cache=shared), make(shared_cache=shared)
    one.verify("t")
    two.invalidate("t")
    late = dict(shared.kept)
    one.clear()
    upstream.good.clear()
    shared.kept |= late

    with pytest.raises(InvalidToken):
        one.verify("t")


def test_nothing_is_subscribed_before_it_is_needed(make, upstream, bus):
    """A bus is listened to from the first look-up on, and once."""
    upstream.accept("t", "u")
    verifier = make(revocation_bus=bus)
    assert {} == bus.subscribers
    for token in "tutu":
        verifier.verify(token)
    assert 1 == len(bus.subscribers)

    verifier.close()
    assert {} == bus.subscribers


def test_what_was_closed_begins_anew(make, upstream, bus):
    """After `close` nothing is served that nobody would have taken away."""
    upstream.accept("t")
    verifier = make(revocation_bus=bus)
    verifier.verify("t")
    verifier.close()
    upstream.good.clear()

    with pytest.raises(InvalidToken):
        verifier.verify("t")
    assert 1 == len(bus.subscribers)


def test_a_lost_subscription_expires_what_is_kept(make, upstream, bus, clock):
    """What may have been revoked unheard is asked about again; the server's failure bridges it."""
    upstream.accept("t", "u")
    verifier = make(revocation_bus=bus, stale_if_error=100)
    for token in "tu":
        verifier.verify(token)
    bus.lose()
    assert verifier.cached("t") is None
    verifier.verify("t")
    assert 3 == len(upstream.asked)

    upstream.go_down()
    assert "user of u" == verifier.verify("u").subject
    assert 1 == verifier.stats().stale_served


def test_a_lost_subscription_ends_a_back_off(make, upstream, bus, clock):
    """After it the server is asked before anything is served, however it failed a moment ago."""
    upstream.accept("t")
    verifier = make(revocation_bus=bus, stale_if_error=100)
    for _ in range(2):
        verifier.verify("t")
    clock.advance(55)
    upstream.go_down()
    verifier.verify("t")
    upstream.come_back()
    upstream.good.clear()
    bus.lose()

    with pytest.raises(InvalidToken):
        verifier.verify("t")


def test_a_bus_that_cannot_be_listened_to_changes_nothing(make, upstream, bus, caplog):
    """It is counted, logged once and tried again later; tokens are verified all the same."""
    upstream.accept("t", "u")
    bus.failure = ConnectionError("gone")
    verifier = make(revocation_bus=bus)
    with caplog.at_level(logging.WARNING):
        for token in "tu":
            assert f"user of {token}" == verifier.verify(token).subject

    assert 1 == verifier.stats().shared_errors
    assert [
        "cannot listen for revocations, which go unnoticed for ttl seconds: ConnectionError"
    ] == [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("part", ["shared", "bus"])
def test_invalidating_never_raises(make, upstream, shared, bus, part):
    """What cannot be reached keeps its answer; here it is forgotten."""
    upstream.accept("t")
    verifier = make(shared_cache=shared, revocation_bus=bus)
    verifier.verify("t")
    {"shared": shared, "bus": bus}[part].failure = ConnectionError("gone")
    verifier.invalidate("t")

    assert verifier.cached("t") is None
    assert {"shared": 2, "bus": 1}[part] == verifier.stats().shared_errors


@pytest.mark.parametrize("token", ["\udc00", None])
def test_invalidating_what_is_no_token(make, bus, token):
    """Nothing is known of it, and nobody is told."""
    verifier = make(revocation_bus=bus)
    bus.failure = AssertionError()
    verifier.invalidate(token)

    assert 0 == verifier.stats().shared_errors


def test_what_does_not_open_removes_nothing(make, upstream, bus):
    """Whoever can write to the bus cannot make anybody forget."""
    upstream.accept("t")
    verifier = make(revocation_bus=bus)
    verifier.verify("t")
    for callback, _ in bus.subscribers.values():
        callback(b"made up")

    assert "user of t" == verifier.cached("t").subject


class _Bare:
    secrets = ()


@pytest.mark.parametrize("name", ["shared_cache", "revocation_bus"])
def test_nothing_is_shared_unsealed(make, name):
    """A cache or a bus without secrets stops the program."""
    with pytest.raises(ConfigurationError):
        make(**{name: _Bare()})
