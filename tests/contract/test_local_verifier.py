from __future__ import annotations

import pickle
import threading
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward import _jose
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidClaim,
    InvalidToken,
    TokenExpired,
    TokenRevoked,
    UserNotFound,
)
from tokenward.keys import REREAD_SECONDS, KeyRing
from tokenward.protocols import CachingVerifier, TokenVerifier
from tokenward.repositories import Family, MemoryKeyRepository
from tokenward.schemas import PublicUser, RegisterRequest
from tokenward.tokens import LocalVerifier, create_access_token

ISSUER, AUDIENCE = "https://auth.example", "orders"
KEYS = KeyRing.generate()


class Clock:
    now = 1_700_000_000.0

    def __call__(self):
        return self.now


class Asked:
    """Counts what is asked of a repository, and fails at will."""

    def __init__(self, repository):
        self.repository, self.questions, self.error = repository, [], None

    def __getattr__(self, name):
        def ask(*about):
            self.questions.append((name, *about))
            if self.error is not None:
                raise self.error
            return getattr(self.repository, name)(*about)

        return ask


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stores(repositories):
    """Each kind of store, which every case runs against."""
    return repositories


@pytest.fixture
def user(stores):
    request = RegisterRequest(username="alice", email="alice@example.com", password="wonderland")
    return stores.users.create(request, roles=["editor"])


@pytest.fixture
def users(stores):
    return Asked(stores.users)


@pytest.fixture
def tokens(stores):
    return Asked(stores.tokens)


@pytest.fixture
def verifier(users, tokens, clock):
    return LocalVerifier(
        KEYS, issuer=ISSUER, audience=AUDIENCE, users=users, tokens=tokens, clock=clock
    )


@pytest.fixture
def make(clock):
    def make(subject, *, keys=KEYS, life=900, **claims):
        return create_access_token(
            {"sub": subject, "ver": 0, **claims},
            timedelta(seconds=life),
            keys=keys,
            issuer=ISSUER,
            audience=AUDIENCE,
            clock=clock,
        )

    return make


# --- accepted ------------------------------------------------------------------------------------


def test_a_good_token_gives_the_user_as_the_store_has_them(verifier, user, make):
    """Name, address and roles are the row's, scopes and client the token's."""
    principal = verifier.verify(
        make(user.id, scope="read", client_id="web", roles=["admin"], username="mallory")
    )
    assert (principal.kind, principal.subject, principal.issuer) == ("user", user.id, ISSUER)
    assert (principal.username, principal.email) == ("alice", "alice@example.com")
    assert principal.email_verified is False
    assert (principal.roles, principal.scopes) == ({"editor"}, {"read"})
    assert principal.client_id == "web"
    assert type(principal.user) is PublicUser
    assert principal.user == user


def test_each_store_is_asked_one_question_each_time(verifier, users, tokens, user, make):
    """Whether this is the first look at the token or the third."""
    token = make(user.id)
    jti = _jose.parse(token).claims["jti"]
    for _ in range(3):
        verifier.verify(token)
    assert users.questions == [("get_by_id", user.id)] * 3
    assert tokens.questions == [("is_over", jti, None)] * 3


def test_live_makes_no_difference(verifier, users, user, make):
    """It is always live."""
    token = make(user.id)
    assert verifier.verify(token, live=True) == verifier.verify(token)
    assert len(users.questions) == 2


def test_nothing_is_decided_without_the_stores(verifier, user, make):
    """Nobody gets an answer from memory alone."""
    token = make(user.id)
    verifier.verify(token)
    assert verifier.cached(token) is None
    assert isinstance(verifier, TokenVerifier)
    assert isinstance(verifier, CachingVerifier)


def test_without_stores_the_token_alone_decides(make, clock):
    """None written out: no user and no revocation, and the token's own roles."""
    verifier = LocalVerifier(
        KEYS, issuer=ISSUER, audience=AUDIENCE, users=None, tokens=None, clock=clock
    )
    principal = verifier.verify(make("u1", roles=["admin"]))
    assert (principal.user, principal.roles) == (None, {"admin"})


def test_roles_may_be_elsewhere_where_there_is_no_row(make, clock):
    """``roles_claim`` is looked up in tokens without a user."""
    verifier = LocalVerifier(
        KEYS,
        issuer=ISSUER,
        audience=AUDIENCE,
        users=None,
        tokens=None,
        roles_claim="realm.roles",
        clock=clock,
    )
    assert verifier.verify(make("u1", realm={"roles": ["admin"]})).roles == {"admin"}


def test_a_client_has_no_row(verifier, users, tokens, make):
    """A token whose subject is its client speaks for a program; no user is looked up."""
    principal = verifier.verify(make("batch", client_id="batch", roles=["job"]))
    assert (principal.kind, principal.user, principal.roles) == ("client", None, {"job"})
    assert users.questions == []
    assert len(tokens.questions) == 1


def test_nothing_but_its_client_id_makes_a_token_a_programs_own(verifier, users, user, make):
    """What a user may have chosen, such as a name, keeps nobody from being looked up."""
    claims = {"client_id": "web", "preferred_username": "service-account-web", "idtyp": "app"}
    principal = verifier.verify(make(user.id, gty="client-credentials", **claims))
    assert (principal.kind, principal.user) == ("user", user)
    assert users.questions == [("get_by_id", user.id)]


@pytest.fixture
def family(stores, user, clock):
    """A session of the user's."""
    now = int(clock.now)
    family = Family("f1", user.id, "web", (), 0, now, now, now + 3_600)
    stores.tokens.start_family(family, b"d" * 32)
    return family


def test_a_token_of_a_session_is_asked_about_with_it(verifier, tokens, user, family, make):
    """Both in one question, which a store can answer with one query."""
    token = make(user.id, sid=family.id)
    verifier.verify(token)
    assert tokens.questions == [("is_over", _jose.parse(token).claims["jti"], "f1")]


def test_a_sid_of_null_is_no_session(verifier, tokens, user, make):
    """As one that is not there."""
    verifier.verify(make(user.id, sid=None))
    assert [None] == [question[2] for question in tokens.questions]


# --- refused -------------------------------------------------------------------------------------


def test_a_revoked_token_is_refused_at_once(verifier, stores, user, make, clock):
    """The very next use, and only this token."""
    token, other = make(user.id), make(user.id)
    verifier.verify(token)
    stores.tokens.revoke(_jose.parse(token).claims["jti"], clock.now + 930)
    with pytest.raises(TokenRevoked):
        verifier.verify(token)
    assert verifier.verify(other).subject == user.id


@pytest.mark.parametrize(
    "end",
    [
        lambda stores, clock, family: stores.tokens.end_family(family.id),
        lambda stores, clock, family: stores.tokens.end_all(family.subject),
        lambda stores, clock, family: setattr(clock, "now", family.expires_at),
    ],
    ids=["ended", "all-ended", "expired"],
)
def test_a_token_ends_with_its_session(*, verifier, stores, user, make, clock, family, end):
    """The very next use; a token without a session, or of another, goes on (RULES 37)."""
    token, other = make(user.id, sid=family.id, life=7_200), make(user.id, life=7_200)
    verifier.verify(token)
    end(stores, clock, family)
    with pytest.raises(TokenRevoked):
        verifier.verify(token)
    assert verifier.verify(other).subject == user.id


def test_a_session_that_was_never_there_is_none_that_goes_on(verifier, user, make):
    """RULES 38: not found is not fine."""
    with pytest.raises(TokenRevoked):
        verifier.verify(make(user.id, sid="unknown"))


def test_a_revoked_token_is_not_a_users_affair(*, verifier, stores, users, user, make, clock):
    """A revoked token asks nothing about the user."""
    token = make(user.id)
    stores.tokens.revoke(_jose.parse(token).claims["jti"], clock.now + 930)
    with pytest.raises(TokenRevoked):
        verifier.verify(token)
    assert users.questions == []


def test_a_user_who_was_deactivated_is_refused_at_once(verifier, stores, user, make):
    """And is accepted again with a new token when active again."""
    token = make(user.id)
    verifier.verify(token)
    stores.users.set_active("alice", active=False)
    with pytest.raises(UserNotFound) as caught:
        verifier.verify(token)
    assert caught.value.reason == "user_inactive"
    stores.users.set_active("alice", active=True)
    with pytest.raises(TokenRevoked):
        verifier.verify(token)
    version = stores.users.get_by_id(user.id).token_version
    assert verifier.verify(make(user.id, ver=version)).subject == user.id


def test_a_user_who_is_gone_is_refused_at_once(verifier, stores, user, make):
    """A deleted user's token ends with the user."""
    token = make(user.id)
    verifier.verify(token)
    stores.users.delete("alice")
    with pytest.raises(UserNotFound):
        verifier.verify(token)


@pytest.mark.parametrize(
    "change",
    [
        lambda users: users.set_password("alice", "another password"),
        lambda users: users.set_roles("alice", ["reader"]),
    ],
    ids=["password", "roles"],
)
def test_a_change_of_password_or_roles_ends_older_tokens(verifier, stores, user, make, change):
    """A token from before the change is refused, one from after it is good."""
    token = make(user.id)
    verifier.verify(token)
    change(stores.users)
    with pytest.raises(TokenRevoked):
        verifier.verify(token)
    row = stores.users.get_by_id(user.id)
    assert verifier.verify(make(user.id, ver=row.token_version)).roles == set(row.roles)


@pytest.mark.parametrize("ver", [1, -1, "0", 0.0, False, None, [], {}])
def test_the_counter_is_compared_exactly(verifier, user, make, ver):
    """Another number, and what only looks like the number, is refused."""
    with pytest.raises(TokenRevoked):
        verifier.verify(make(user.id, ver=ver))


def test_a_token_without_the_counter_is_one_from_before_any_change(verifier, stores, user, clock):
    """It is good until the user's tokens are ended for the first time."""
    token = create_access_token(
        {"sub": user.id}, keys=KEYS, issuer=ISSUER, audience=AUDIENCE, clock=clock
    )
    assert verifier.verify(token).subject == user.id
    stores.users.set_password("alice", "another password")
    with pytest.raises(TokenRevoked):
        verifier.verify(token)


def test_the_times_are_looked_at_every_time(verifier, user, make, clock):
    """A token that was good is refused past its ``exp`` and the leeway."""
    token = make(user.id, life=60)
    verifier.verify(token)
    clock.now += 89
    verifier.verify(token)
    clock.now += 1
    with pytest.raises(TokenExpired):
        verifier.verify(token)


def test_a_clock_that_jumps_back_is_noticed(verifier, user, make, clock):
    """A token that was good is not from the future."""
    token = make(user.id)
    verifier.verify(token)
    clock.now -= 3_600
    with pytest.raises(InvalidClaim) as caught:
        verifier.verify(token)
    assert caught.value.reason == "issued_in_future"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://other.example"}, "unknown_issuer"),
        ({"iss": None}, "unknown_issuer"),
        ({"aud": "stock"}, "audience_mismatch"),
        ({"aud": None}, "audience_mismatch"),
        ({"jti": None}, "claim_missing"),
        ({"jti": 7}, "malformed"),
        ({"sid": 7}, "malformed"),
        ({"sid": ["f1"]}, "malformed"),
        ({"sid": {}}, "malformed"),
        ({"exp": None}, "claim_missing"),
        ({"exp": "1"}, "invalid_time"),
        ({"sub": None}, "claim_missing"),
        ({"cnf": {"jkt": "x"}}, "sender_constrained"),
    ],
)
def test_a_token_with_other_claims_is_refused_every_time(
    *, verifier, users, tokens, user, make, claims, reason
):
    """A good signature is not enough, the second time neither, and no store is asked."""
    token = _jose.sign({**_jose.parse(make(user.id)).claims, **claims}, KEYS.current, typ="at+jwt")
    for _ in range(2):
        with pytest.raises(InvalidToken) as caught:
            verifier.verify(token)
        assert caught.value.reason == reason
    assert users.questions + tokens.questions == []


def test_a_subject_that_is_nobodys_is_refused(verifier, make):
    """Our signature over an unknown user is no user."""
    with pytest.raises(UserNotFound):
        verifier.verify(make("nobody"))


@pytest.mark.parametrize("typ", ["JWT", "rt+jwt"])
def test_another_type_is_refused(verifier, user, make, typ):
    """What our key signed as something else is no access token."""
    token = _jose.sign(_jose.parse(make(user.id)).claims, KEYS.current, typ=typ)
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    assert caught.value.reason == "wrong_type"


@pytest.mark.parametrize("token", ["", "a.b.c", "é", "\ud800", "x" * 20_000, None, 7, b"a.b.c"])
def test_what_is_no_token_is_refused(verifier, users, tokens, token):
    """Whatever comes, a refusal goes, and no store is asked."""
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    assert caught.value.reason in {"malformed", "too_large"}
    assert users.questions + tokens.questions == []


ALONE = LocalVerifier(KEYS, issuer=None, audience=None, users=None, tokens=None)


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_is_refused(text):
    """Only InvalidToken leaves."""
    with pytest.raises(InvalidToken):
        ALONE.verify(text)


# --- the check of one's own ----------------------------------------------------------------------


def test_a_check_of_ones_own_runs_once_each_time(user, stores, make, clock):
    """It gets the claims, and what it refuses is refused though it was good before."""
    seen = []

    def check(claims):
        seen.append(claims["sub"])
        if len(seen) == 3:
            raise InvalidClaim("tenant", reason="tenant_closed")

    verifier = LocalVerifier(
        KEYS,
        issuer=ISSUER,
        audience=AUDIENCE,
        users=stores.users,
        tokens=stores.tokens,
        check=check,
        clock=clock,
    )
    token = make(user.id)
    verifier.verify(token)
    verifier.verify(token)
    with pytest.raises(InvalidClaim) as caught:
        verifier.verify(token)
    assert (caught.value.reason, seen) == ("tenant_closed", [user.id] * 3)


# --- keys ----------------------------------------------------------------------------------------


def test_a_key_that_leaves_the_ring_verifies_nothing_any_more(user, stores, make, clock):
    """What was remembered with it is forgotten with it."""
    store = MemoryKeyRepository()
    ring = KeyRing.create(store, clock=clock)
    verifier = LocalVerifier(
        ring, issuer=ISSUER, audience=AUDIENCE, users=stores.users, tokens=None, clock=clock
    )
    token = make(user.id, keys=ring)
    verifier.verify(token)
    version, (current, following) = store.load()
    assert store.replace(version, [following])
    clock.now += REREAD_SECONDS
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    assert caught.value.reason == "unknown_key"
    assert current.kid not in ring.kids()


def test_a_token_verifies_on_across_a_rotation(user, stores, make, clock):
    """The retired key is still in the ring, so its tokens are good."""
    from dataclasses import replace

    store = MemoryKeyRepository()
    ring = KeyRing.create(store, clock=clock)
    verifier = LocalVerifier(
        ring, issuer=ISSUER, audience=AUDIENCE, users=stores.users, tokens=None, clock=clock
    )
    token = make(user.id, keys=ring)
    verifier.verify(token)
    version, (current, following) = store.load()
    rotated = [replace(following, state="current"), replace(current, state="retired")]
    assert store.replace(version, rotated)
    clock.now += REREAD_SECONDS
    assert verifier.verify(token).subject == user.id
    assert verifier.verify(make(user.id, keys=ring)).subject == user.id


# --- outages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("down", ["users", "tokens"])
def test_a_store_that_is_down_is_no_verdict(*, verifier, users, tokens, user, make, down):
    """The outage passes through as it is, and is over when it is over."""
    token = make(user.id)
    verifier.verify(token)
    asked = {"users": users, "tokens": tokens}[down]
    asked.error = AuthServiceUnavailable("disk full", reason="store_full", retry_after=7)
    with pytest.raises(AuthServiceUnavailable) as caught:
        verifier.verify(token)
    assert caught.value is asked.error
    asked.error = None
    assert verifier.verify(token).subject == user.id


@pytest.mark.parametrize("down", ["users", "tokens"])
@pytest.mark.parametrize("error", [OSError("secret path"), KeyError("x"), RuntimeError("y")])
def test_a_store_that_raises_anything_else_is_an_outage(
    *, verifier, users, tokens, user, make, down, error, caplog
):
    """A store of somebody's own neither accepts nor escapes; its words are not repeated."""
    {"users": users, "tokens": tokens}[down].error = error
    with pytest.raises(AuthServiceUnavailable) as caught:
        verifier.verify(make(user.id))
    assert type(error).__name__ in caught.value.hint
    assert "secret path" not in caught.value.hint + caplog.text


# --- the rest ------------------------------------------------------------------------------------


def test_threads_share_a_verifier(verifier, user, make):
    """Eight threads with four tokens get what each alone would get."""
    made = [make(user.id, scope=f"s{number}") for number in range(4)]
    barrier = threading.Barrier(8)
    scopes = []

    def work(number):
        barrier.wait(120)
        for turn in range(50):
            index = (number + turn) % 4
            scopes.append((index, verifier.verify(made[index]).scopes))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(scopes) == 400
    assert all(found == {f"s{index}"} for index, found in scopes)


def test_a_verifier_is_not_pickled(verifier):
    """It holds private keys."""
    with pytest.raises(TypeError):
        pickle.dumps(verifier)


@pytest.mark.parametrize("wrong", [{"audience": ""}, {"issuer": []}, {"leeway": -1}])
def test_arguments_that_cannot_be_meant_stop_the_program(wrong):
    """As for every verifier."""
    options = {"issuer": ISSUER, "audience": AUDIENCE, "users": None, "tokens": None} | wrong
    with pytest.raises(ConfigurationError):
        LocalVerifier(KEYS, **options)
