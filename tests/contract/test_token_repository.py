from __future__ import annotations

import hashlib
import itertools
import threading
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenward.errors import InvalidRequest
from tokenward.repositories import MAX_ROTATIONS, Family, MongoTokenRepository, Rotation

NOW = 1_700_000_000


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(repositories):
    """An empty repository of each kind."""
    return repositories.tokens


def digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def login(tokens, name="family", **changes) -> Family:
    """Start a family whose first refresh token is called like it."""
    family = Family(
        id=name,
        subject="alice's id",
        client_id="tokenward",
        scopes=("read", "write"),
        version=3,
        created_at=NOW,
        used_at=NOW,
        expires_at=NOW + 1_000,
    )
    family = replace(family, **changes)
    tokens.start_family(family, digest(name))
    return family


def in_threads(number: int, function) -> None:
    """Call the function in so many threads at once, each with its number."""
    start = threading.Barrier(number)

    def run(n: int) -> None:
        start.wait(120)
        function(n)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()


# --- revocations ---------------------------------------------------------------------------------


def test_a_token_is_not_revoked_until_it_is(tokens):
    """Revoking one token leaves the others alone."""
    assert tokens.is_revoked("a") is False
    tokens.revoke("a", NOW)
    assert tokens.is_revoked("a") is True
    assert tokens.is_revoked("b") is False


def test_an_id_is_compared_exactly(tokens):
    """A jti is no name: case and white space count."""
    tokens.revoke("Abc", NOW)
    assert [tokens.is_revoked(jti) for jti in ("Abc", "abc", "ABC", "Abc ")] == [True] + [False] * 3


def test_revoking_twice_is_no_error(tokens):
    """Logging out twice is as good as once."""
    tokens.revoke("a", NOW)
    tokens.revoke("a", NOW)
    assert tokens.is_revoked("a")


@pytest.mark.parametrize("ends", [(NOW, NOW + 60), (NOW + 60, NOW)])
def test_the_later_end_stands(tokens, ends):
    """A second revocation never lets a token live again earlier."""
    for end in ends:
        tokens.revoke("a", end)
    assert tokens.purge_expired(NOW + 59) == 0
    assert tokens.is_revoked("a")
    assert tokens.purge_expired(NOW + 60) == 1


def test_purging_forgets_what_has_ended_and_nothing_else(tokens):
    """The end itself has ended; one second later has not."""
    for jti, end in [("past", NOW - 1), ("now", NOW), ("soon", NOW + 1)]:
        tokens.revoke(jti, end)
    assert tokens.purge_expired(NOW) == 2
    assert [tokens.is_revoked(jti) for jti in ("past", "now", "soon")] == [False, False, True]
    assert tokens.purge_expired(NOW) == 0


def test_parts_of_a_second_are_rounded_in_favour_of_the_revocation(tokens):
    """No token gets a part of a second back."""
    tokens.revoke("a", NOW + 0.25)
    assert tokens.purge_expired(NOW + 0.75) == 0
    assert tokens.purge_expired(NOW + 1.0) == 1


def test_a_revocation_stays_until_it_is_purged(tokens):
    """The store itself does not look at the clock."""
    tokens.revoke("a", 0)
    assert tokens.is_revoked("a")


@pytest.mark.parametrize("jti", ["", "x" * 256, "a\n", "\ud800", None, 5, b"a", {"$ne": None}, []])
def test_what_is_no_id_is_refused_when_revoking_and_unknown_when_asking(tokens, jti):
    """A wrong argument revokes nothing and breaks nothing."""
    tokens.revoke("other", NOW)
    with pytest.raises(InvalidRequest) as caught:
        tokens.revoke(jti, NOW)
    assert caught.value.fields.keys() == {"jti"}
    assert tokens.is_revoked(jti) is False
    assert tokens.purge_expired(NOW) == 1


def test_an_id_of_255_characters_is_an_id(tokens):
    """The bound is part of what is accepted."""
    tokens.revoke("x" * 255, NOW)
    assert tokens.is_revoked("x" * 255)


@pytest.mark.parametrize(
    "end", [None, "1700000000", float("nan"), float("inf"), 2**63, -(2**63), True]
)
def test_an_end_that_is_no_time_is_refused(tokens, end):
    """A revocation that could not be kept is not acknowledged."""
    with pytest.raises(InvalidRequest) as caught:
        tokens.revoke("a", end)
    assert caught.value.fields.keys() == {"expires_at"}
    assert tokens.is_revoked("a") is False


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_can_be_asked_about(tokens, text):
    """Nothing in a token breaks the look-up."""
    assert tokens.is_revoked(text) is False


def test_threads_revoke_beside_each_other(tokens):
    """Every acknowledged revocation is there, from whichever thread it came."""

    def revoke(thread: int) -> None:
        for n in range(10):
            tokens.revoke(f"{thread}-{n}", NOW)
            tokens.revoke("the same", NOW + n)

    in_threads(8, revoke)
    assert all(tokens.is_revoked(f"{t}-{n}") for t in range(8) for n in range(10))
    assert tokens.purge_expired(NOW) == 80
    assert tokens.is_revoked("the same")


# --- refresh families ----------------------------------------------------------------------------


def test_a_family_comes_back_as_it_was_started(tokens):
    """Every field survives the store, and the first token is the current one."""
    family = login(tokens, scopes=("write", "read", "a"), client_id="shop", version=7)
    assert tokens.find_family(digest("family")) == (family, True)
    assert tokens.family_active("family") is True


def test_a_family_without_scopes_has_none(tokens):
    """Nothing granted is not the empty scope."""
    login(tokens, scopes=())
    family, _current = tokens.find_family(digest("family"))
    assert family.scopes == ()


def test_no_family_has_a_token_that_was_never_issued(tokens):
    """Looking for it finds nothing, and exchanging it does nothing."""
    login(tokens)
    assert tokens.find_family(digest("other")) is None
    assert tokens.rotate(digest("other"), digest("new"), NOW + 1) is Rotation.UNKNOWN
    assert tokens.find_family(digest("new")) is None
    assert tokens.family_active("family")


def test_a_rotation_exchanges_the_token(tokens, clock):
    """The new one is current, the old one is known as used, and the family has moved on."""
    family = login(tokens)
    clock.now = NOW + 60.9
    assert tokens.rotate(digest("family"), digest("second"), NOW + 5_000) is Rotation.ROTATED
    moved = replace(family, used_at=NOW + 60, expires_at=NOW + 5_000)
    assert tokens.find_family(digest("second")) == (moved, True)
    assert tokens.find_family(digest("family")) == (moved, False)
    assert tokens.families("alice's id") == [moved]


def test_a_rotation_touches_no_other_family(tokens):
    """Another session of the same user goes on as before."""
    login(tokens)
    other = login(tokens, "other")
    tokens.rotate(digest("family"), digest("second"), NOW + 5_000)
    tokens.rotate(digest("family"), digest("third"), NOW + 5_000)
    assert tokens.find_family(digest("other")) == (other, True)
    assert tokens.family_active("other")


def rotate_often(tokens, times: int) -> list[bytes]:
    """Start a family and exchange its token so often; return the digests in their order."""
    login(tokens)
    digests = [digest("family"), *(digest(f"{n}") for n in range(times))]
    for old, new in itertools.pairwise(digests):
        assert tokens.rotate(old, new, NOW + 1_000) is Rotation.ROTATED
    return digests


@pytest.mark.parametrize("which", [0, 1, 3])
def test_using_a_token_again_ends_the_family(tokens, which):
    """Whichever of the used ones it is: somebody else has it, so nobody gets anything more."""
    digests = rotate_often(tokens, 4)
    assert tokens.rotate(digests[which], digest("stolen"), NOW + 1) is Rotation.REUSED
    assert tokens.family_active("family") is False
    assert tokens.families("alice's id") == []
    assert tokens.rotate(digests[-1], digest("next"), NOW + 1) is Rotation.UNKNOWN
    for new in ("stolen", "next"):
        assert tokens.find_family(digest(new)) is None


def test_a_family_that_has_ended_knows_its_tokens_still(tokens):
    """Who shows one is told apart from who shows rubbish; none of them does anything."""
    digests = rotate_often(tokens, 2)
    tokens.end_family("family")
    found = [tokens.find_family(d) for d in digests]
    assert [(family.ended, current) for family, current in found] == [
        (True, False),
        (True, False),
        (True, True),
    ]
    assert {tokens.rotate(d, digest("next"), NOW + 1) for d in digests} == {Rotation.UNKNOWN}


def test_a_reuse_is_told_once(tokens):
    """The first ends the family; after that there is nothing to end."""
    digests = rotate_often(tokens, 1)
    told = [tokens.rotate(digests[0], digest("next"), NOW + 1) for _ in range(3)]
    assert told == [Rotation.REUSED, Rotation.UNKNOWN, Rotation.UNKNOWN]


@pytest.mark.parametrize(
    ("seconds", "goes_on"), [(999, True), (999.9, True), (1_000, False), (1_001, False)]
)
def test_a_family_that_has_expired_is_not_there(tokens, clock, seconds, goes_on):
    """From its end on nothing finds it, whether it was purged or not."""
    family = login(tokens)
    clock.now = NOW + seconds
    assert tokens.find_family(digest("family")) == ((family, True) if goes_on else None)
    assert tokens.family_active("family") is goes_on
    assert tokens.families("alice's id") == [family] * goes_on
    assert tokens.is_over("a", "family") is not goes_on
    rotated = tokens.rotate(digest("family"), digest("second"), NOW + 5_000)
    assert rotated is (Rotation.ROTATED if goes_on else Rotation.UNKNOWN)


def test_a_used_token_of_an_expired_family_is_unknown(tokens, clock):
    """There is nothing left that its use could end."""
    rotate_often(tokens, 1)
    clock.now = NOW + 1_000
    assert tokens.find_family(digest("family")) is None
    assert tokens.rotate(digest("family"), digest("next"), NOW + 9_000) is Rotation.UNKNOWN


@pytest.mark.parametrize("end", [NOW + 0.25, NOW + 1])
def test_the_end_of_a_rotation_is_rounded_up(tokens, end):
    """Nobody is told of seconds that a token does not have."""
    login(tokens)
    tokens.rotate(digest("family"), digest("second"), end)
    family, _current = tokens.find_family(digest("second"))
    assert family.expires_at == NOW + 1


def test_a_rotation_may_shorten_a_family(tokens):
    """The end is the one that was given last."""
    login(tokens)
    tokens.rotate(digest("family"), digest("second"), NOW + 10)
    assert tokens.purge_expired(NOW + 10) == 1


def test_a_family_ends_after_so_many_rotations(repositories):
    """What it has to remember has a bound: the login after some months is a new one."""
    tokens = repositories.tokens
    in_mongo = isinstance(tokens, MongoTokenRepository)
    used = [digest(f"{n}").hex() for n in range(3 if in_mongo else MAX_ROTATIONS - 1)]
    family = {
        "id": "family",
        "subject": "s",
        "client_id": "c",
        "scopes": [],
        "version": 0,
        "created_at": NOW,
        "used_at": NOW,
        "expires_at": NOW + 1_000,
        "ended": False,
        "current": digest("last but one").hex(),
        "used": used,
    }
    repositories.store.put("families", [family])
    if in_mongo:
        # The server of the tests takes long over an index of so many digests.
        count = {"$set": {"rotations": MAX_ROTATIONS - 1}}
        repositories.store.call(lambda db: db["tokenward_families"].update_one({}, count))
    last = digest("last")
    assert tokens.rotate(digest("last but one"), last, NOW + 1_000) is Rotation.ROTATED
    assert tokens.rotate(last, digest("too many"), NOW + 1_000) is Rotation.UNKNOWN
    assert tokens.family_active("family") is False
    assert tokens.find_family(digest("too many")) is None


def test_ending_a_family_tells_whether_it_went_on(tokens, clock):
    """Only the first who ends it did so."""
    login(tokens)
    login(tokens, "expired", expires_at=NOW + 1)
    clock.now = NOW + 1
    assert [tokens.end_family(f) for f in ("family", "family", "none", "expired")] == [
        True,
        False,
        False,
        False,
    ]
    assert tokens.family_active("family") is False


def test_what_was_ended_stays_so_when_the_clock_goes_back(tokens, clock):
    """A machine that corrects its time opens no session again."""
    for name in ("one", "two"):
        login(tokens, name, expires_at=NOW + 10)
    clock.now = NOW + 20
    tokens.end_family("one")
    tokens.end_all("alice's id")
    clock.now = NOW
    assert tokens.families("alice's id") == []
    assert not tokens.family_active("one")


def test_ending_all_of_a_user_ends_theirs_alone(tokens, clock):
    """Those that went on are counted; other people's go on."""
    for n in range(3):
        login(tokens, f"{n}")
    login(tokens, "expired", expires_at=NOW + 1)
    other = login(tokens, "other", subject="bob's id")
    tokens.end_family("0")
    clock.now = NOW + 1
    assert tokens.end_all("alice's id") == 2
    assert tokens.end_all("alice's id") == 0
    assert tokens.end_all("nobody") == 0
    assert [tokens.family_active(f"{n}") for n in range(3)] == [False] * 3
    assert tokens.families("bob's id") == [other]


def test_the_families_of_a_user_come_in_the_order_of_their_logins(tokens):
    """Neither rotations nor the ends of others change it."""
    names = ["d", "a", "c", "b"]
    for name in names:
        login(tokens, name)
        login(tokens, f"bob's {name}", subject="bob's id")
    tokens.rotate(digest("d"), digest("d again"), NOW + 5)
    tokens.end_family("a")
    assert [family.id for family in tokens.families("alice's id")] == ["d", "c", "b"]


def test_a_subject_is_compared_exactly(tokens):
    """Nobody sees or ends the sessions of another whose id resembles theirs."""
    login(tokens)
    for name in ("alice", "ALICE's ID", "alice's id ", "", "alice%", "\ud800", None, {"$ne": None}):
        assert tokens.families(name) == []
        assert tokens.end_all(name) == 0
    assert tokens.family_active("family")


def test_a_family_is_found_by_its_exact_id(tokens):
    """Whatever comes as a sid, it is no error and no other's."""
    login(tokens)
    for name in ("Family", "family ", "", "\ud800", None, 5, {"$ne": None}, []):
        assert tokens.family_active(name) is False
        assert tokens.end_family(name) is False
        assert tokens.is_over("a", name) is (name is not None)
    assert tokens.family_active("family")


def test_what_no_store_could_be_asked_for_is_nothing(tokens):
    """Longer than a message to a database may be: nobody's name, and no outage."""
    name = "x" * 20_000_000
    assert tokens.family_active(name) is False
    assert tokens.is_over("a", name) is True
    assert tokens.end_family(name) is False
    assert tokens.families(name) == []
    assert tokens.end_all(name) == 0
    assert tokens.take_one_time(digest("a"), name) is None


def test_an_access_token_is_over_when_it_or_its_family_is(tokens):
    """Both are asked in one go; a family that nobody knows does not go on."""
    login(tokens, "active")
    login(tokens, "ended")
    tokens.end_family("ended")
    tokens.revoke("revoked", NOW)
    over = {
        (jti, sid): tokens.is_over(jti, sid)
        for jti in ("good", "revoked", "", "\ud800")
        for sid in ("active", "ended", "unknown", "\ud800", None)
    }
    assert {case for case, is_over in over.items() if not is_over} == {
        (jti, sid) for jti in ("good", "", "\ud800") for sid in ("active", None)
    }


def test_purging_forgets_expired_families_whole(tokens):
    """Their tokens go with them, used ones too; those that go on keep theirs."""
    rotate_often(tokens, 3)
    login(tokens, "other", expires_at=NOW + 5_000)
    tokens.rotate(digest("other"), digest("other 2"), NOW + 5_000)
    assert tokens.purge_expired(NOW + 999) == 0
    assert tokens.purge_expired(NOW + 1_000) == 1
    assert [tokens.find_family(digest(name)) for name in ("family", "0", "1", "2")] == [None] * 4
    assert tokens.rotate(digest("other"), digest("x"), NOW + 1) is Rotation.REUSED
    again = login(tokens)
    assert tokens.find_family(digest("family")) == (again, True)
    assert tokens.rotate(digest("family"), digest("0"), NOW + 5_000) is Rotation.ROTATED
    assert tokens.rotate(digest("0"), digest("1"), NOW + 5_000) is Rotation.ROTATED


def test_purging_forgets_what_has_ended_only_when_it_expires(tokens):
    """Until then a token of it is told apart from rubbish."""
    login(tokens)
    tokens.end_family("family")
    assert tokens.purge_expired(NOW + 999) == 0
    assert tokens.find_family(digest("family")) is not None
    assert tokens.purge_expired(NOW + 1_000) == 1


@pytest.mark.parametrize(("name", "first"), [("family", "another"), ("another", "family")])
def test_an_id_and_a_token_are_new(tokens, name, first):
    """Both are random; one that is there already is a mistake that must not pass."""
    family = login(tokens)
    with pytest.raises(InvalidRequest):
        tokens.start_family(replace(family, id=name, subject="bob's id"), digest(first))
    assert tokens.find_family(digest("family")) == (family, True)
    assert tokens.families("bob's id") == []


@pytest.mark.parametrize("new", ["family", "other", b"short", b"x" * 65, "x" * 32, None])
def test_a_new_token_is_a_new_digest(tokens, new):
    """Neither the old one again, nor another family's, nor something of another kind."""
    family = login(tokens)
    login(tokens, "other")
    new = digest(new) if new in {"family", "other"} else new
    with pytest.raises(InvalidRequest) as caught:
        tokens.rotate(digest("family"), new, NOW + 1)
    assert caught.value.fields.keys() == {"new_digest"}
    assert tokens.find_family(digest("family")) == (family, True)


@pytest.mark.parametrize("end", [None, "1700000000", float("nan"), float("inf"), True, 2**63])
def test_a_rotation_to_an_end_that_is_no_time_is_refused(tokens, end):
    """The token is not used up by it."""
    family = login(tokens)
    with pytest.raises(InvalidRequest) as caught:
        tokens.rotate(digest("family"), digest("second"), end)
    assert caught.value.fields.keys() == {"expires_at"}
    assert tokens.find_family(digest("family")) == (family, True)


def test_what_is_no_digest_is_no_token(tokens):
    """Looking for it finds nothing; storing it is refused."""
    family = login(tokens)
    for wrong in (b"", b"short", b"x" * 65, "x" * 32, None, 5, {"$ne": None}, []):
        assert tokens.find_family(wrong) is None
        assert tokens.rotate(wrong, digest("second"), NOW + 1) is Rotation.UNKNOWN
        assert tokens.take_one_time(wrong, "reset") is None
        with pytest.raises(InvalidRequest):
            tokens.start_family(replace(family, id="another"), wrong)
        with pytest.raises(InvalidRequest):
            tokens.put_one_time(wrong, "reset", "alice's id", NOW + 1)


@pytest.mark.parametrize("size", [16, 64])
def test_a_digest_has_16_to_64_bytes(tokens, size):
    """The bounds are part of what is accepted."""
    family = login(tokens)
    started = replace(family, id="another")
    tokens.start_family(started, b"\0" * size)
    assert tokens.find_family(b"\0" * size) == (started, True)
    assert tokens.rotate(b"\0" * size, b"\xff" * size, NOW + 1_000) is Rotation.ROTATED


UNSTORABLE = [
    {"id": ""},
    {"id": "x" * 513},
    {"id": "a\nb"},
    {"id": 5},
    {"subject": ""},
    {"subject": {"$ne": None}},
    {"client_id": None},
    {"client_id": "\ud800"},
    {"scopes": "read"},
    {"scopes": ["read"]},
    {"scopes": ("a b",)},
    {"scopes": ("",)},
    {"scopes": (None,)},
    {"scopes": ("a",) * 1_001},
    {"version": "1"},
    {"version": True},
    {"created_at": 1.5},
    {"used_at": None},
    {"expires_at": 2**54},
    {"ended": 0},
]


def test_a_family_that_no_store_can_hold_is_refused(tokens):
    """The message names the field; nothing is stored."""
    for changes in UNSTORABLE:
        with pytest.raises(InvalidRequest) as caught:
            login(tokens, **changes)
        assert caught.value.fields.keys() == changes.keys()
        assert tokens.find_family(digest("family")) is None
    assert tokens.families("alice's id") == []


def test_a_family_may_have_long_names(tokens):
    """The bounds are part of what is accepted, and nothing is folded or cut."""
    long = "Ünï" + "x" * 509
    family = login(
        tokens, long, subject=long, client_id=long, scopes=("\u017f", "S", "s", "x" * 512)
    )
    assert tokens.find_family(digest(long)) == (family, True)
    assert tokens.families(long) == [family]


# --- what is good for one use --------------------------------------------------------------------


def test_a_key_is_good_once(tokens):
    """The second to come is told so, also with another end."""
    assert tokens.use_once("a", NOW + 60) is True
    assert tokens.use_once("a", NOW + 60) is False
    assert tokens.use_once("a", NOW + 600) is False
    assert [tokens.use_once(key, NOW + 60) for key in ("A", "a ", "b")] == [True] * 3


@pytest.mark.parametrize("purged", [True, False])
def test_a_key_is_new_again_after_its_end(tokens, clock, purged):
    """By then nobody takes what it stood for; whether it was purged makes no difference."""
    tokens.use_once("a", NOW + 60)
    clock.now = NOW + 59.9
    assert tokens.use_once("a", NOW + 60) is False
    clock.now = NOW + 60
    if purged:
        assert tokens.purge_expired(clock.now) == 1
    assert tokens.use_once("a", NOW + 600) is True
    assert tokens.use_once("a", NOW + 600) is False


def test_what_is_no_key_cannot_be_used(tokens):
    """It is refused, and never "unused"."""
    for key in ("", "x" * 513, "a\n", "\ud800", None, 5, {"$ne": None}):
        with pytest.raises(InvalidRequest) as caught:
            tokens.use_once(key, NOW + 60)
        assert caught.value.fields.keys() == {"key"}


def test_a_long_key_is_a_key(tokens):
    """Its end counts: nothing is cut off."""
    assert tokens.use_once("x" * 511 + "a", NOW + 60)
    assert tokens.use_once("x" * 511 + "b", NOW + 60)


def test_of_many_who_use_a_key_one_does(tokens):
    """An assertion that is replayed at the same moment counts once."""
    told = []
    in_threads(16, lambda _n: told.append(tokens.use_once("a", NOW + 60)))
    assert sorted(told) == [False] * 15 + [True]


def test_a_one_time_token_opens_once(tokens):
    """Its subject comes back to the first who brings it."""
    tokens.put_one_time(digest("a"), "reset", "alice's id", NOW + 60)
    assert tokens.take_one_time(digest("a"), "reset") == "alice's id"
    assert tokens.take_one_time(digest("a"), "reset") is None
    assert tokens.take_one_time(digest("b"), "reset") is None


@pytest.mark.parametrize("purpose", ["verify", "Reset", "reset ", "", None, {"$ne": None}])
def test_a_one_time_token_is_for_one_purpose(tokens, purpose):
    """Brought for another it opens nothing, and is not used up by that."""
    tokens.put_one_time(digest("a"), "reset", "alice's id", NOW + 60)
    assert tokens.take_one_time(digest("a"), purpose) is None
    assert tokens.take_one_time(digest("a"), "reset") == "alice's id"


def test_a_one_time_token_that_has_expired_opens_nothing(tokens, clock):
    """Whether it was purged or not."""
    tokens.put_one_time(digest("a"), "reset", "alice's id", NOW + 60)
    tokens.put_one_time(digest("b"), "reset", "alice's id", NOW + 60)
    tokens.put_one_time(digest("c"), "reset", "alice's id", NOW + 61)
    clock.now = NOW + 60
    assert tokens.take_one_time(digest("a"), "reset") is None
    tokens.purge_expired(clock.now)
    assert tokens.take_one_time(digest("b"), "reset") is None
    assert tokens.take_one_time(digest("c"), "reset") == "alice's id"


def test_a_one_time_token_is_new(tokens):
    """It is random; one that is there already is a mistake, and the first one stands."""
    tokens.put_one_time(digest("a"), "reset", "alice's id", NOW + 60)
    with pytest.raises(InvalidRequest):
        tokens.put_one_time(digest("a"), "reset", "bob's id", NOW + 60)
    assert tokens.take_one_time(digest("a"), "reset") == "alice's id"


def test_a_one_time_token_that_no_store_can_hold_is_refused(tokens):
    """The message names the field; nothing is stored."""
    for field, value in [
        ("purpose", ""),
        ("purpose", "x" * 65),
        ("purpose", None),
        ("subject", ""),
        ("subject", "x" * 513),
        ("subject", {"$ne": None}),
        ("expires_at", float("nan")),
        ("expires_at", None),
    ]:
        given = {"purpose": "reset", "subject": "alice's id", "expires_at": NOW + 60, field: value}
        with pytest.raises(InvalidRequest) as caught:
            tokens.put_one_time(digest("a"), **given)
        assert caught.value.fields.keys() == {field}
        assert tokens.take_one_time(digest("a"), "reset") is None


def test_of_many_who_bring_a_one_time_token_one_gets_in(tokens):
    """A reset that is sent twice at the same moment sets one password."""
    tokens.put_one_time(digest("a"), "reset", "alice's id", NOW + 60)
    told = []
    in_threads(16, lambda _n: told.append(tokens.take_one_time(digest("a"), "reset")))
    assert sorted(told, key=str) == [None] * 15 + ["alice's id"]


# --- all of it -----------------------------------------------------------------------------------


def test_purging_forgets_all_kinds_and_counts_them(tokens):
    """Each thing is one, however much was remembered with it."""
    for end in (NOW, NOW + 1):
        tokens.revoke(f"{end}", end)
        tokens.use_once(f"{end}", end)
        tokens.put_one_time(digest(f"one time {end}"), "reset", "alice's id", end)
        login(tokens, f"{end}", expires_at=end)
    assert [tokens.purge_expired(NOW + n) for n in (0, 0, 1, 1)] == [4, 0, 4, 0]


def test_more_than_a_batch_is_purged(repositories):
    """All that has expired goes, however much it is."""
    records = [{"id": f"{n}", "expires_at": NOW} for n in range(2_500)]
    repositories.store.put("revocations", records)
    for n in range(120):
        login(repositories.tokens, f"{n}", expires_at=NOW)
    assert repositories.tokens.purge_expired(NOW) == 2_620


def test_threads_of_many_families_do_not_disturb_each_other(tokens):
    """Each rotates its own, and every one is where it should be."""

    def rotate(n: int) -> None:
        login(tokens, f"{n}", subject=f"{n}")
        names = [f"{n}", *(f"{n} {k}" for k in range(5))]
        for old, new in itertools.pairwise(names):
            assert tokens.rotate(digest(old), digest(new), NOW + 1_000) is Rotation.ROTATED

    in_threads(8, rotate)
    for n in range(8):
        family, current = tokens.find_family(digest(f"{n} 4"))
        assert (family.id, family.ended, current) == (f"{n}", False, True)
