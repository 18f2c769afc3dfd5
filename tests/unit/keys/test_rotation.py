"""One rotation after the other, by an operator and by schedule (RULES 18)."""

import copy
import json
import logging
import math
import pickle
from dataclasses import replace

import pytest
from key_stores import NOW, OLD_SECRET, SECRET, Clock, Store, stored

from tokenward import _jose
from tokenward._seal import Sealer
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    Forbidden,
    InvalidToken,
)
from tokenward.keys import REREAD_SECONDS, SET_MAX_AGE, KeyRing
from tokenward.keys.unkept import UnkeptKeys
from tokenward.repositories import MemoryKeyRepository

LEAD = 360
LIFETIME = 1_000
TRAIL = 420
DAY = 86_400


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store():
    """A store whose next key has been published for a day."""
    return Store([stored("current", created_at=NOW - DAY), stored("next", created_at=NOW - DAY)])


@pytest.fixture
def ring(store, clock):
    return KeyRing.load(store, longest_lifetime=LIFETIME, clock=clock)


@pytest.fixture
def trail(caplog):
    """Return what was audited."""
    caplog.set_level(logging.INFO, "tokenward.audit")
    return lambda: [
        json.loads(record.getMessage())
        for record in caplog.records
        if record.name == "tokenward.audit"
    ]


def sign(ring):
    """Return a token by the key that signs now."""
    return _jose.sign({"sub": "a"}, ring.current, typ="at+jwt")


def verifies(ring, token):
    """Tell whether a token is good here."""
    try:
        _jose.verify(_jose.parse(token), ring.key_set, algorithms=_jose.ASYMMETRIC)
    except InvalidToken:
        return False
    return True


# --- by an operator ------------------------------------------------------------------------------


def test_next_signs_current_retires_and_a_new_next_is_published(ring, store, trail):
    """All of it at once, and each key keeps what it was."""
    current, following = store.keys
    before = sign(ring)
    said = ring.rotate()
    assert said == following.kid == ring.current.kid
    assert [(key.state, key.kid) for key in store.keys[::2]] == [
        ("current", following.kid),
        ("retired", current.kid),
    ]
    made = store.keys[1]
    assert (made.state, made.algorithm, made.created_at) == ("next", "ES256", int(NOW))
    assert ring.kids() == (following.kid, made.kid, current.kid)
    assert verifies(ring, before)
    assert verifies(ring, sign(ring))
    assert trail() == [
        {
            "event": "key_rotated",
            "time": int(NOW),
            "kid": following.kid,
            "previous": current.kid,
            "how": "ordinary",
        }
    ]


def test_a_retired_key_outlives_its_last_token_everywhere(ring, store, clock):
    """Its lifetime, a verifier's leeway, a minute until others follow, and clocks that differ."""
    retiring = store.keys[0].kid
    ring.rotate()
    assert store.keys[2].published_until == math.ceil(NOW) + LIFETIME + TRAIL
    clock.now = store.keys[2].published_until - 1
    assert retiring in ring.kids()
    clock.now += REREAD_SECONDS
    assert retiring not in ring.kids()


def test_a_next_key_that_others_may_not_know_yet_does_not_sign(ring, store, clock):
    """Refused, saying for how long, until each set fetched before it was made is too old."""
    ring.rotate()
    before = (store.version, list(store.keys))
    assert LEAD == SET_MAX_AGE + REREAD_SECONDS
    for passed, wait in ((0, LEAD), (100, 260), (LEAD - 1.5, 1)):
        clock.now = NOW + passed
        with pytest.raises(Forbidden, match="rotation_too_early") as caught:
            ring.rotate()
        assert f"wait {wait} seconds" in caught.value.hint
        assert caught.value.reason == "rotation_too_early"
    assert (store.version, store.keys) == before
    clock.now = NOW + LEAD
    following = store.keys[1].kid
    assert ring.rotate() == following


def test_by_force_a_next_key_signs_at_once(ring, store, trail):
    """Twice in a row, and all that were ever signed with still verify."""
    tokens = []
    for _ in range(3):
        tokens.append(sign(ring))
        following = store.keys[1].kid
        assert ring.rotate(force=True) == following
    assert [key.state for key in store.keys] == ["current", "next", *["retired"] * 3]
    assert all(verifies(ring, token) for token in tokens)
    assert {line["how"] for line in trail()} == {"forced"}


def test_by_force_without_a_next_key(clock):
    """One is made and signs."""
    current = stored(algorithm="EdDSA")
    store = Store([current])
    said = KeyRing.load(store, clock=clock).rotate(force=True)
    assert [key.state for key in store.keys] == ["current", "next", "retired"]
    assert store.keys[0].kid == said != current.kid
    assert {key.algorithm for key in store.keys} == {"EdDSA"}


def test_without_a_next_key_it_is_said_how_to_make_one(clock):
    """And `prune` makes it."""
    store = Store([stored()])
    ring = KeyRing.load(store, clock=clock)
    with pytest.raises(ConfigurationError, match="keys prune"):
        ring.rotate()
    assert ring.prune() == 0
    assert [key.state for key in store.keys] == ["current", "next"]
    assert ring.kids() == tuple(key.kid for key in store.keys)
    clock.now += LEAD
    assert ring.rotate() == store.keys[0].kid


def test_a_compromised_key_verifies_nothing_any_more(ring, store, trail):
    """Nor does any other that has signed; the next one signs at once, however new it is."""
    oldest = sign(ring)
    ring.rotate()
    tokens = [oldest, sign(ring)]
    following = store.keys[1].kid
    assert ring.rotate(compromised=True) == following
    assert store.states() == {"current": [following], "next": [store.keys[1].kid]}
    assert ring.kids() == (following, store.keys[1].kid)
    assert not any(verifies(ring, token) for token in tokens)
    assert verifies(ring, sign(ring))
    assert [line["how"] for line in trail()] == ["ordinary", "compromised"]


def test_compromised_twice_gives_up_the_next_key_too(ring, store):
    """For when the whole store was read by somebody: no key from before is left."""
    before = {key.kid for key in store.keys}
    ring.rotate(compromised=True)
    ring.rotate(compromised=True)
    assert before.isdisjoint(ring.kids())


def test_a_ring_in_memory_rotates(clock):
    """As one with a store does."""
    ring = KeyRing.generate("EdDSA", clock=clock)
    token = sign(ring)
    following = ring.kids()[1]
    with pytest.raises(Forbidden):
        ring.rotate()
    clock.now += LEAD
    assert ring.rotate() == following == ring.current.kid
    assert verifies(ring, token)
    clock.now += 900 + TRAIL + REREAD_SECONDS
    assert not verifies(ring, token)
    assert ring.prune() == 1


# --- what a rotation makes -----------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "PS256", "EdDSA"])
def test_the_next_key_is_of_the_algorithm_before_it(algorithm, clock):
    """Unless another is asked for; each kid is the thumbprint of its key (RFC 7638)."""
    store = MemoryKeyRepository()
    KeyRing.create(store, algorithm, clock=clock)
    ring = KeyRing.load(store, clock=clock)
    ring.rotate(force=True)
    assert [key["alg"] for key in ring.public_jwks()["keys"]] == [algorithm] * 3
    assert [_jose.thumbprint(key) for key in ring.public_jwks()["keys"]] == list(ring.kids())
    assert verifies(ring, sign(ring))


def test_another_algorithm_is_moved_to_in_two_rotations(store, clock):
    """The next key that is made is the first of it, and both verify meanwhile."""
    ring = KeyRing.load(store, algorithm="EdDSA", clock=clock)
    token = sign(ring)
    signs = [ring.current.algorithm]
    for _ in range(3):
        ring.rotate(force=True)
        signs.append(ring.current.algorithm)
        assert store.keys[1].algorithm == "EdDSA"
    assert signs == ["ES256", "ES256", "EdDSA", "EdDSA"]
    assert verifies(ring, token)


def test_unless_one_is_named_a_move_that_has_begun_goes_on(clock):
    """The next key after one of another algorithm is of that one, too."""
    store = Store([stored("current"), stored("next", algorithm="EdDSA")])
    KeyRing.load(store, clock=clock).rotate(force=True)
    assert [key.algorithm for key in store.keys] == ["EdDSA", "EdDSA", "ES256"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"algorithm": "HS256"}, "ES256"),
        ({"algorithm": ["ES256"]}, "ES256"),
        ({"longest_lifetime": 0}, "longest_lifetime"),
        ({"longest_lifetime": 900.0}, "longest_lifetime"),
        ({"rotate_every": -1}, "rotate_every"),
        ({"rotate_every": True}, "rotate_every"),
        ({"rotate_every": LEAD - 1}, f"at least {LEAD} seconds"),
        # 98 retired keys at a time are published, and no more of a set is read.
        ({"rotate_every": 30_615, "longest_lifetime": 3_000_000}, "at least 30617 seconds"),
    ],
)
def test_terms_that_cannot_be_meant_stop_start_up(store, option, message):
    """Before the store is asked."""
    makes = [KeyRing.load] if "rotate_every" in option else [KeyRing.load, KeyRing.salvage]
    for make in makes:
        with pytest.raises(ConfigurationError, match=message):
            make(store, **option)
    assert store.loads == 0


@pytest.mark.parametrize("said", [(5_000,), (5_000, 60), (60, 5_000)])
def test_a_retired_key_outlasts_the_longest_lifetime_that_was_said(store, ring, said):
    """In whatever order: less than before changes nothing."""
    for lifetime in said:
        ring.outlast(lifetime)
    ring.rotate()
    assert store.keys[2].published_until == math.ceil(NOW) + 5_000 + TRAIL


@pytest.mark.parametrize("lifetime", [0, 900.5, True, None])
def test_a_lifetime_that_is_none_is_not_outlasted(ring, lifetime):
    """Whole seconds, 1 or more."""
    with pytest.raises(ConfigurationError, match="longest_lifetime"):
        ring.outlast(lifetime)


# --- sealed --------------------------------------------------------------------------------------


def opens(keys, *secrets):
    """Return how many of the keys are sealed and open with the secrets."""
    sealer = Sealer(secrets, "keys")
    return sum(key.is_sealed and sealer.open(key.material).startswith(b"-----") for key in keys)


def ring_of_three(clock, *secrets):
    """Return a store of a current, a next and a retired key, sealed if there are secrets."""
    sealer = Sealer(secrets, "keys") if secrets else None
    states = {"current": None, "next": None, "retired": int(NOW) + 10_000}
    return Store(
        [
            stored(state, sealer=sealer, created_at=NOW - DAY, published_until=until)
            for state, until in states.items()
        ]
    )


@pytest.mark.parametrize("before", [(), (OLD_SECRET,), (SECRET,)])
@pytest.mark.parametrize("change", ["rotate", "prune"])
def test_every_key_is_sealed_under_the_newest_secret(clock, before, change):
    """Whether an older secret sealed it or none did, when keys are replaced."""
    store = ring_of_three(clock, *before)
    ring = KeyRing.load(store, sealer=Sealer([SECRET, OLD_SECRET], "keys"), clock=clock)
    kids = set(ring.kids())
    getattr(ring, change)()
    assert opens(store.keys, SECRET) == len(store.keys) == (4 if change == "rotate" else 3)
    assert kids <= set(KeyRing.load(store, sealer=Sealer([SECRET], "keys"), clock=clock).kids())


def test_what_another_process_sealed_under_a_newer_secret_is_kept(clock):
    """A process that was not told of it yet rotates and loses nothing."""
    store = ring_of_three(clock, OLD_SECRET)
    ring = KeyRing.load(store, sealer=Sealer([OLD_SECRET], "keys"), clock=clock)
    newer = stored(
        "retired", sealer=Sealer([SECRET], "keys"), created_at=NOW, published_until=int(NOW) + 99
    )
    store.keys.append(newer)
    ring.rotate()
    assert newer in store.keys


def test_a_next_key_that_does_not_open_is_not_rotated_to(store, clock):
    """Nothing changes, and it is said which secret is missing."""
    ring = KeyRing.load(store, clock=clock)
    foreign = stored("next", sealer=Sealer([SECRET], "keys"), created_at=NOW - DAY)
    store.keys[1] = foreign
    before = list(store.keys)
    for force in (False, True):
        with pytest.raises(ConfigurationError, match=r"service\.keys\.secrets"):
            ring.rotate(force=force)
    assert store.keys == before


def test_keys_whose_secret_is_lost_are_given_up_on_an_operators_word(clock, caplog):
    """`load` stops, `salvage` does not, and what it rotates to is new and opens."""
    store = ring_of_three(clock, OLD_SECRET)
    sealer = Sealer([SECRET], "keys")
    lost = {key.kid for key in store.keys}
    with pytest.raises(ConfigurationError):
        KeyRing.load(store, sealer=sealer, clock=clock)
    with caplog.at_level(logging.ERROR):
        ring = KeyRing.salvage(store, sealer=sealer, algorithm="EdDSA", clock=clock)
    with pytest.raises(AuthServiceUnavailable):
        _ = ring.current
    said = ring.rotate(compromised=True)
    assert lost.isdisjoint(ring.kids())
    assert KeyRing.load(store, sealer=sealer).current.kid == said
    assert [(key.state, key.algorithm) for key in store.keys] == [
        ("current", "EdDSA"),
        ("next", "EdDSA"),
    ]


@pytest.mark.parametrize("states", [["next"], ["retired"], ["current", "current", "next"]])
def test_a_store_without_one_current_key_is_mended_by_giving_up_what_signed(states, clock):
    """The next key signs if there is one; an ordinary rotation changes nothing."""
    store = Store([stored(state) for state in states])
    with pytest.raises(ConfigurationError, match="--compromised"):
        KeyRing.load(store, clock=clock)
    following = store.states().get("next")
    ring = KeyRing.salvage(store, clock=clock)
    with pytest.raises(ConfigurationError, match="exactly one current"):
        ring.rotate(force=True)
    said = ring.rotate(compromised=True)
    assert store.states() == {"current": [said], "next": [store.keys[1].kid]}
    assert following in (None, [said])


def test_a_store_that_was_emptied_is_not_filled_anew(ring, store):
    """Neither rotating nor pruning makes keys out of nothing."""
    store.keys = []
    for change in (ring.prune, ring.rotate, lambda: ring.rotate(compromised=True)):
        with pytest.raises(ConfigurationError, match="store init"):
            change()
    with pytest.raises(ConfigurationError, match="store init"):
        KeyRing.salvage(store)
    assert store.keys == []


# --- pruned --------------------------------------------------------------------------------------


def test_pruning_takes_out_what_is_over(clock, trail):
    """At the second it is over, and nothing else; nothing is audited, since nothing changed."""
    over, soon, endless = (
        stored("retired", published_until=until) for until in (int(NOW), int(NOW) + 1, None)
    )
    store = Store([over, stored(), soon, stored("next"), endless])
    ring = KeyRing.load(store, clock=clock)
    assert ring.prune() == 1
    assert store.states()["retired"] == [soon.kid, endless.kid]
    assert (ring.prune(), store.replaced) == (0, 1)
    clock.now += 1
    assert (ring.prune(), trail()) == (1, [])


def test_a_rotation_takes_out_what_is_over(ring, store, clock):
    """Keys do not pile up in a store that nobody prunes."""
    for _ in range(5):
        ring.rotate()
        clock.now += 10_000
    assert [key.state for key in store.keys] == ["current", "next", "retired"]


# --- more than one at once -----------------------------------------------------------------------


def test_of_two_who_rotate_at_once_one_does(ring, store, clock, trail):
    """The other learns which key signs now."""
    other = KeyRing.load(store, clock=clock)
    store.replacing = other.rotate
    following = store.keys[1].kid
    assert ring.rotate() == following
    assert (store.replaced, ring.current.kid, len(trail())) == (1, following, 1)
    assert ring.kids() == other.kids()


def test_who_did_not_know_of_a_rotation_yet_does_not_do_another(ring, store, clock):
    """Whatever was asked for: what was to be replaced has been."""
    other = KeyRing.load(store, clock=clock)
    said = other.rotate()
    before = list(store.keys)
    assert ring.rotate(force=True) == said
    assert (store.keys, ring.kids()) == (before, other.kids())


def test_a_ring_that_was_idle_knows_what_it_replaces(ring, store, clock):
    """A rotation of yesterday is not taken for the one that is asked for now."""
    KeyRing.load(store, clock=clock).rotate()
    clock.now += DAY
    following = store.keys[1].kid
    assert ring.rotate() == following
    assert store.replaced == 2


def test_a_change_that_is_no_rotation_does_not_stop_one(ring, store, clock):
    """Somebody pruned at that moment: it is tried again, on what is there now."""
    store.keys.append(stored("retired", published_until=int(NOW)))
    other = KeyRing.load(store, clock=clock)
    store.replacing = other.prune
    following = store.keys[1].kid
    assert ring.rotate() == following
    assert store.replaced == 2


def test_pruning_while_others_rotate_undoes_nothing(ring, store, clock):
    """It is done again, on the keys of the rotation."""
    over = stored("retired", published_until=int(NOW))
    store.keys.append(over)
    other = KeyRing.load(store, clock=clock)
    store.replacing = other.rotate
    assert ring.prune() == 0
    assert [key.state for key in store.keys] == ["current", "next", "retired"]


@pytest.mark.parametrize("theirs", ["ordinary", "compromised"])
def test_a_compromised_key_goes_whoever_rotates_at_that_moment(ring, store, clock, theirs):
    """Somebody's rotation made it a retired one, or gave it up already; it goes, and only once."""
    compromised, following = (key.kid for key in store.keys)
    other = KeyRing.load(store, clock=clock)
    store.replacing = lambda: other.rotate(compromised=theirs == "compromised")
    assert ring.rotate(compromised=True) == following
    assert store.states() == {"current": [following], "next": [store.keys[1].kid]}
    assert compromised not in ring.kids()
    assert store.replaced == (1 if theirs == "compromised" else 2)


def test_a_store_that_never_comes_to_rest_is_an_outage(ring, store):
    """It ends, and says what to do."""

    def again():
        store.version += 1
        store.replacing = again

    for change in (ring.rotate, ring.prune):
        store.keys.append(stored("retired", published_until=int(NOW)))
        store.replacing = again
        with pytest.raises(AuthServiceUnavailable, match="store_unavailable"):
            change()


def test_a_slow_answer_brings_no_key_back(ring, store, clock):
    """Read before a key was given up, and come after it: what was learnt later counts."""
    compromised = store.keys[0].kid
    clock.now += REREAD_SECONDS

    def give_up():
        store.loaded = None
        ring.rotate(compromised=True)

    store.loaded = give_up
    assert compromised not in ring.kids()
    assert ring.current.kid != compromised


def test_keys_in_memory_are_replaced_by_who_knows_them():
    """As in every other store: a version that is not the present one changes nothing."""
    keys = UnkeptKeys()
    first, second = [stored()], [stored()]
    assert (keys.replace(0, first), keys.replace(0, second)) == (True, False)
    assert keys.load() == (1, first)


# --- a store that is down ------------------------------------------------------------------------


def test_a_rotation_that_the_store_refuses_changes_nothing(ring, store, trail):
    """An outage is said, and nothing is audited."""
    before, kids = list(store.keys), ring.kids()
    store.write_error = AuthServiceUnavailable("disk full", reason="store_unavailable")
    for change in (ring.rotate, lambda: ring.rotate(compromised=True)):
        with pytest.raises(AuthServiceUnavailable):
            change()
    assert (store.keys, ring.kids(), trail()) == (before, kids, [])


def test_a_rotation_counts_when_the_store_goes_down_right_after(ring, store):
    """What was written is learnt without reading it."""
    following = store.keys[1].kid

    def down():
        store.loading = lambda: setattr(store, "error", AuthServiceUnavailable("down"))

    store.replacing = down
    assert ring.rotate() == following == ring.current.kid


# --- by schedule ---------------------------------------------------------------------------------


@pytest.fixture
def scheduled(clock):
    """A ring of fresh keys that rotates once a day."""
    store = Store([stored("current"), stored("next")])
    return KeyRing.load(store, rotate_every=DAY, longest_lifetime=LIFETIME, clock=clock), store


def test_a_schedule_counts_from_when_the_current_key_began_to_sign(scheduled, clock, trail):
    """Not from when it was made: that was a rotation earlier."""
    ring, store = scheduled
    first = [key.kid for key in store.keys]
    clock.now = NOW + DAY - 1
    assert ring.current.kid == first[0]
    clock.now = NOW + DAY - 1 + REREAD_SECONDS
    assert ring.current.kid == first[1]
    began, second = clock.now, store.keys[1].kid
    clock.now = began + DAY - 1
    assert ring.current.kid == first[1]
    clock.now += REREAD_SECONDS
    assert ring.current.kid == second
    assert [(line["how"], line["kid"], line["previous"]) for line in trail()] == [
        ("scheduled", first[1], first[0]),
        ("scheduled", second, first[1]),
    ]


def test_a_rotation_by_hand_starts_the_schedule_anew(scheduled, clock, trail):
    """The key that signs then has its whole time before it."""
    ring, _store = scheduled
    clock.now = NOW + DAY / 2
    said = ring.rotate()
    clock.now = NOW + DAY + REREAD_SECONDS
    assert ring.current.kid == said
    assert [line["how"] for line in trail()] == ["ordinary"]


def test_after_a_long_silence_one_rotation_is_made_up_for(scheduled, clock):
    """Not each that was missed."""
    ring, store = scheduled
    following = store.keys[1].kid
    clock.now = NOW + 10 * DAY
    for _ in range(3):
        assert ring.current.kid == following
        clock.now += REREAD_SECONDS
    assert store.replaced == 1


def test_of_two_whose_schedule_is_due_one_rotates(scheduled, clock, trail):
    """The other goes by what that one did, at once."""
    ring, store = scheduled
    other = KeyRing.load(store, rotate_every=DAY, clock=clock)
    following = store.keys[1].kid
    clock.now = NOW + DAY
    store.replacing = other.kids
    assert ring.current.kid == following == other.current.kid
    assert (store.replaced, len(trail())) == (1, 1)
    assert ring.kids() == other.kids()


def test_a_schedule_prunes(scheduled, clock):
    """A key that is over leaves the store at the next look, and makes a missing next one."""
    ring, store = scheduled
    ring.rotate(force=True)
    clock.now = store.keys[2].published_until
    ring.kids()
    assert [key.state for key in store.keys] == ["current", "next"]
    ring.kids()
    clock.now += REREAD_SECONDS
    ring.kids()
    assert store.replaced == 2
    store.keys.pop()
    clock.now += REREAD_SECONDS
    assert len(ring.kids()) == 2


def test_without_a_schedule_nothing_is_written(ring, store, clock):
    """However old the keys are."""
    store.keys.append(stored("retired", published_until=int(NOW)))
    clock.now += 100 * DAY
    ring.kids()
    assert store.replaced == 0


@pytest.mark.parametrize("error", [AuthServiceUnavailable("down"), OSError("disk"), KeyError("x")])
def test_a_store_that_cannot_be_written_changes_nothing(scheduled, clock, caplog, error):
    """The loaded keys serve on, the log says so, and a minute later it is tried again."""
    ring, store = scheduled
    before = ring.kids()
    store.write_error = error
    clock.now = NOW + DAY
    with caplog.at_level(logging.WARNING, "tokenward.keys"):
        assert ring.kids() == before
    store.write_error = None
    clock.now += REREAD_SECONDS
    assert ring.current.kid == before[1]


def test_a_schedule_does_not_rotate_to_a_key_that_does_not_open(scheduled, clock, caplog):
    """The current key signs on, and the log says what is missing."""
    ring, store = scheduled
    before = ring.current.kid
    store.keys[1] = stored("next", sealer=Sealer([SECRET], "keys"))
    foreign = store.keys[1].kid
    clock.now = NOW + DAY
    with caplog.at_level(logging.ERROR, "tokenward.keys"):
        assert ring.current.kid == before
    assert f"cannot be rotated as scheduled: The signing key {foreign}" in caplog.text
    assert store.replaced == 0


@pytest.mark.parametrize("keys", [[], [stored(), stored(), stored("next")], [stored("next")]])
def test_a_broken_store_is_not_written_by_schedule(scheduled, clock, keys):
    """There is nothing to go on from."""
    ring, store = scheduled
    store.keys = keys
    clock.now = NOW + DAY
    ring.kids()
    assert store.replaced == 0


# --- what is said --------------------------------------------------------------------------------


def test_nothing_secret_is_said(clock, caplog):
    """Not at DEBUG, in no error, repr or pickle, whatever fails."""
    caplog.set_level(logging.DEBUG)
    store = ring_of_three(clock)
    sealer = Sealer([SECRET, OLD_SECRET], "keys")
    ring = KeyRing.load(store, sealer=sealer, clock=clock)
    said = [repr(ring), str(store.keys)]
    ring.rotate()
    with pytest.raises(Forbidden) as caught:
        ring.rotate()
    said += [caught.value.hint, repr(caught.value), caplog.text]
    for take in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError) as refused:
            take(ring)
        said.append(str(refused.value))
    material = sealer.open(store.keys[0].material).decode().split("\n")[1]
    for secret in (SECRET, OLD_SECRET, "BEGIN", material, store.keys[0].material.decode()):
        assert secret not in "".join(said)


def test_a_rotation_replaces_no_key_by_another_of_its_name(ring, store):
    """What a kid named before, it names after."""
    before = {key.kid: key.material for key in store.keys}
    ring.rotate()
    after = {key.kid: key.material for key in store.keys}
    assert {kid: after[kid] for kid in before} == before
    assert replace(store.keys[0], state="next").created_at == int(NOW - DAY)
