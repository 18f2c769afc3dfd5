"""benchmarks/growth: every curve has its lines and its sizes."""

import re
import threading
from contextlib import nullcontext

import pytest

OPERATIONS = [
    "find a user by name",
    "find a user by id",
    "what a login reads",
    "start a session",
    "rotate a refresh token",
    "is a token over",
    "a page of users",
]


@pytest.fixture
def measured(benchmarks):
    """What a module of growth finds when it is only asked whether it runs."""
    effort = benchmarks("harness").Effort(0)
    return lambda name, **more: list(benchmarks(f"growth.{name}").measure(effort, **more))


def same_for(names, sizes):
    return {name: list(sizes) for name in names}


def shape(curve):
    """The sizes of each line; every value is there and above zero."""
    assert all(point.y > 0 for line in curve.lines for point in line.points)
    return {line.name: [point.x for point in line.points] for line in curve.lines}


def test_entries_are_timed_and_weighed(measured):
    """Hits of both verifiers beside the floor; an entry of both, and all of them."""
    time, memory = measured("entries")
    assert ("growth-entries", "growth-memory") == (time.name, memory.name)
    floor = "the floor: sha256, a dict, the expiry"
    assert same_for(["introspected", "signed", floor], [10, 100]) == shape(time)
    weighed = shape(memory)
    assert ["an entry", "all entries"] * 2 == [name.partition(",")[0] for name in weighed]
    each, together = memory.lines[:2]
    assert [point.x * point.y for point in each.points] == pytest.approx(
        [point.y for point in together.points]
    )
    # A digest with all that is around it, in KiB, and no token.
    assert all(0.2 < line.points[-1].y < 8 for line in memory.lines[::2])


def test_threads_are_compared_with_one(measured, nowhere):
    """One thread does what one thread does; the floor stands beside."""
    (curve,) = measured("thread_counts", made=nowhere)
    names = [
        "tokenward, introspected",
        "tokenward, signed",
        "the floor: sha256, a dict, the expiry",
    ]
    assert same_for(names, [1, 2]) == shape(curve)
    assert {1.0} == {line.points[0].y for line in curve.lines}
    assert curve.detail.endswith("The peers were not measured: no network.")


def test_as_many_threads_call_as_the_curve_says(benchmarks):
    """They share the calls that one alone makes."""
    callers = []
    (line,) = benchmarks("growth.thread_counts").over_one(
        {"somebody": lambda: callers.append(threading.get_ident())},
        threads=(1, 4),
        calls=8,
        rounds=1,
    )
    assert [1, 4] == [point.x for point in line.points]
    assert 8 + 8 == len(callers)
    assert len(set(callers)) >= 4


def test_longer_tokens_are_verified_beside_pyjwt(measured, nowhere):
    """For the first time, and cached."""
    (curve,) = measured("token_sizes", made=nowhere)
    first, cached, pyjwt = shape(curve)
    assert ("tokenward, first verify", "tokenward, cached verify") == (first, cached)
    assert pyjwt.startswith("PyJWT decode ")


@pytest.mark.parametrize("characters", [320, 800, 2_000, 16_000])
def test_a_token_is_as_long_as_it_says(benchmarks, characters):
    """To within a few characters, and what is verified is one that verifies."""
    by = benchmarks("signed").signer("HS256")
    token = benchmarks("growth.token_sizes").token_of(by, characters)
    assert abs(len(token) - characters) <= 4
    assert benchmarks("signed").pinned_verifier(by).verify(token).subject == "alice"


def test_issuers_are_verified_in_turn(measured):
    """A hit and a first verification among each number of issuers; what an issuer weighs."""
    curve, weight = measured("issuers")
    assert same_for(["cached verify", "first verify"], [1, 10]) == shape(curve)
    assert 0 < weight.figure < 100


def test_keys_are_chosen_refused_and_read(measured):
    """Of one key there is nothing to refuse, so that line begins later."""
    (curve,) = measured("keys_in_set")
    assert [[1, 10, 100], [1, 10, 100], [10, 100], [1, 10, 100]] == list(shape(curve).values())


@pytest.mark.peer
def test_users_are_kept_in_every_store(measured, mongo):
    """A line an operation; of what stands in for MongoDB the figures say that it does."""
    curves = measured("users", server=lambda: nullcontext(mongo.new_url))
    names = [f"growth-users-{store}" for store in ("sqlite", "memory", "mongodb")]
    assert names == [curve.name for curve in curves]
    assert [same_for(OPERATIONS, [10, 20])] * 3 == [shape(curve) for curve in curves]
    assert "SecantusDB stands in for MongoDB" in curves[-1].detail
    assert re.search(
        r"It stops at 20 users: storing them took \d+ s there, and '", curves[-1].detail
    )
    assert not any("It stops" in curve.detail for curve in curves[:-1])


@pytest.mark.parametrize(("scale", "most"), [(1, 100_000), (5, 1_000_000)])
def test_users_in_files_and_in_memory_are_as_many(benchmarks, monkeypatch, scale, most):
    """As many as an effort has time for."""
    users, seen = benchmarks("growth.users"), []
    monkeypatch.setattr(users, "_curve", lambda kind, *_: seen.append(kind))
    effort = benchmarks("harness").Effort(scale)
    users.in_sqlite(effort)
    users.in_memory(effort)
    assert [(1_000, most)] * 2 == [(kind.sizes[0], kind.sizes[-1]) for kind in seen]


def test_signed_entries_that_are_fewer_are_told(benchmarks):
    """The reader sees why one line ends before the others."""
    stops = benchmarks("growth.entries")._stops
    assert "" == stops((10, 100), (10, 100))
    assert stops((10, 100), (10, 100, 1_000)).startswith(" Signed tokens stop at 100: ")


def test_a_server_that_is_missing_is_told_of(benchmarks):
    """In the place of the curve stands the reason."""

    def nothing():
        raise benchmarks("mongo").Unavailable("no server")

    missing = benchmarks("growth.users").in_mongodb(benchmarks("harness").Effort(0), nothing)
    assert (None, "not measured: no server") == (missing.figure, missing.detail)


def test_a_store_is_filled_as_it_says(benchmarks):
    """So many users, each with one session that goes on, and as many revocations."""
    with benchmarks("growth.users.filling").filled("memory://", 7, batch=3) as repositories:
        filling, store = benchmarks("growth.users.filling"), repositories.store
        assert [7, 7, 7] == [store.tally(kind) for kind in ("users", "families", "revocations")]
        (session,) = repositories.tokens.families(filling.user_id(6))
        assert filling.sid(6) == session.id
        assert repositories.users.get_by_username(filling.name(6)).id == session.subject
        assert repositories.tokens.is_revoked(filling.jti(6))


def test_an_operation_that_finds_nothing_is_no_figure(benchmarks):
    """A store that was filled otherwise would be timed looking for nobody."""
    with benchmarks("growth.users.filling").filled("memory://", 1, batch=1) as repositories:
        calls = benchmarks("growth.users.operations").operations(repositories, 1_000)
        calls["find a user by id"]()
        with pytest.raises(RuntimeError, match="no such user"):
            calls["what a login reads"]()
        with pytest.raises(RuntimeError, match="the refresh token is"):
            calls["rotate a refresh token"]()
