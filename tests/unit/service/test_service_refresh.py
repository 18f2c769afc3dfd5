"""Refresh families: what one login leads to (RFC 9700, section 4.14.2; RULES 37)."""

from dataclasses import replace

import pytest
from auth_services import (
    ISSUER,
    PASSWORD,
    SECRET,
    START,
    Stumbling,
    audit_lines,
    audited,
    log_in,
    login,
    unknown_token,
)

from tokenward._secrets import digest_of_random_token
from tokenward.clients import Client
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidGrant,
    InvalidScope,
    TokenExpired,
    TokenRevoked,
    UnauthorizedClient,
)
from tokenward.tokens import get_jwt_payload

SHOP = Client("shop", SECRET, grants=["refresh_token"])
DESK = Client("desk", SECRET, grants=["refresh_token"], access_token_lifetime=3_600)
PLAIN = Client("plain", SECRET, grants=["client_credentials"])

pytestmark = pytest.mark.parametrize("stores", ["memory", "sqlite"], indirect=True)


class Scopes:
    """A claims hook whose scope may change."""

    scope = "read write admin"

    def __call__(self, user):
        return {"scope": self.scope} if self.scope else {}


@pytest.fixture
def scopes():
    return Scopes()


@pytest.fixture
def build(make, stores, scopes):
    """Return a function that builds a service over the stores of this test."""

    def build(**options):
        known = {
            "users": stores.users,
            "tokens": stores.tokens,
            "clients": [SHOP, DESK, PLAIN],
            "claims": scopes,
        }
        return make(**(known | options))

    return build


@pytest.fixture
def service(build):
    service = build()
    service.create_user("alice", email="alice@example.com", password=PASSWORD, roles=["editor"])
    return service


@pytest.fixture
def subject(service):
    return service.users.get_by_username("alice").id


def payload(service, token):
    return get_jwt_payload(
        token, keys=service.keys, issuer=ISSUER, audience="orders", clock=service.clock
    )


def refused(service, token, **options):
    """Have a refresh token refused; return all that the caller is told."""
    with pytest.raises(InvalidGrant) as caught:
        service.refresh(token, **options)
    error = caught.value
    return (error.status_code, error.error, error.description, error.reason)


class TestExchange:
    def test_gives_the_next_tokens_of_the_same_session(self, service, clock, subject):
        """RFC 6749, section 6: a new access token, another refresh token, the user as of now."""
        first = log_in(service)
        clock.now += 600
        second = service.refresh(first.refresh_token)
        old, new = (payload(service, given.access_token) for given in (first, second))

        assert (old.sid, old.sub, old.client_id) == (new.sid, new.sub, new.client_id)
        assert START + 600 == new.iat
        assert old.jti != new.jti
        assert first.refresh_token != second.refresh_token
        assert (900, "read write admin", "alice") == (
            second.expires_in,
            second.scope,
            second.user.username,
        )
        assert service.get_logged_in_user(second.access_token) == second.user
        assert service.get_logged_in_user(first.access_token) == first.user

    def test_goes_on_as_long_as_it_is_used(self, service, clock, subject):
        """Each refresh token is good for its own lifetime, counted from its refresh."""
        given = log_in(service)
        for _ in range(5):
            clock.now += 2_592_000 - 1
            given = service.refresh(given.refresh_token)
        (session,) = service.tokens.families(subject)
        assert (START, clock.now, clock.now + 2_592_000) == (
            session.created_at,
            session.used_at,
            session.expires_at,
        )
        clock.now += 2_592_000
        refused(service, given.refresh_token)

    def test_stores_a_digest_and_never_a_token(self, service, stores):
        """Whoever reads the store can exchange nothing (RULES 37)."""
        given = log_in(service)
        family, is_current = stores.tokens.find_family(digest_of_random_token(given.refresh_token))
        kept = repr(stores.store.records("families"))

        assert is_current is True
        assert family.id in kept
        assert given.refresh_token not in kept
        assert 43 == len(given.refresh_token)
        assert not set(given.refresh_token) & set(".=+/")

    def test_roles_and_claims_are_those_of_now(self, service, scopes, clock):
        """What the hook does not say any more is not granted; what is new needs a login."""
        given = log_in(service)
        scopes.scope = "write extra"
        second = service.refresh(given.refresh_token)
        assert "write" == second.scope == payload(service, second.access_token).scope
        scopes.scope = ""
        third = service.refresh(second.refresh_token)
        assert None is third.scope is payload(service, third.access_token).scope
        scopes.scope = "read write admin"
        assert "read write admin" == service.refresh(third.refresh_token).scope

    def test_token_that_was_lost_before_it_was_exchanged_stays_good(self, build, service, stores):
        """A store or a key that is down in between costs nobody their session."""
        given = log_in(service)
        tokens = Stumbling(stores.tokens)
        other = build(tokens=tokens, keys=service.keys)
        tokens.failing = {"rotate"}
        with pytest.raises(AuthServiceUnavailable):
            other.refresh(given.refresh_token)

        def fail(user):
            raise RuntimeError("mistake")

        with pytest.raises(RuntimeError):
            build(claims=fail, keys=service.keys).refresh(given.refresh_token)
        assert service.refresh(given.refresh_token).refresh_token

    def test_nothing_is_handed_out_unless_it_was_rotated(self, build, service, stores):
        """Ended by somebody else at the last moment: nothing leaves."""
        given = log_in(service)
        tokens = Stumbling(stores.tokens)
        other = build(tokens=tokens, keys=service.keys)
        real = tokens._store

        class Ending:
            def __getattr__(self, name):
                return getattr(real, name)

            def rotate(self, digest, new_digest, expires_at):
                family, _ = real.find_family(digest)
                real.end_family(family.id)
                return real.rotate(digest, new_digest, expires_at)

        tokens._store = Ending()
        refused(other, given.refresh_token)
        refused(service, given.refresh_token)


class TestNarrowing:
    @pytest.mark.parametrize("asked", [{"read"}, ["write", "read"], "read write", ("admin",)])
    def test_less_is_granted(self, service, asked):
        """RFC 6749, section 6; in the order in which the login granted it."""
        wanted = asked.split() if isinstance(asked, str) else asked
        given = service.refresh(log_in(service).refresh_token, scopes=asked)
        expected = [s for s in ("read", "write", "admin") if s in wanted]

        assert " ".join(expected) == given.scope == payload(service, given.access_token).scope

    @pytest.mark.parametrize("asked", [None, (), frozenset()])
    def test_nothing_asked_is_all_that_was_granted(self, service, asked):
        """RFC 6749, section 6: omitted, it is what the login granted."""
        given = service.refresh(log_in(service).refresh_token, scopes=asked)
        assert "read write admin" == given.scope

    @pytest.mark.parametrize("asked", [{"read", "root"}, {"READ"}, {"rea"}, {"read write"}])
    def test_more_is_refused_and_ends_nothing(self, service, asked):
        """RFC 6749, section 5.2: invalid_scope; the refresh token is as good as before."""
        given = log_in(service)
        with pytest.raises(InvalidScope):
            service.refresh(given.refresh_token, scopes=asked)
        assert service.refresh(given.refresh_token).scope == "read write admin"

    def test_narrowing_is_for_the_one_access_token(self, service):
        """RFC 6749, section 6: the next refresh token has the scope of the one before."""
        given = service.refresh(log_in(service).refresh_token, scopes={"read"})
        assert "read write admin" == service.refresh(given.refresh_token).scope


class TestReuse:
    def test_second_use_ends_the_session_and_is_audited(self, service, caplog, subject):
        """One of the two who had it is not its owner (RFC 9700, section 4.14.2)."""
        audited(caplog)
        first = log_in(service, peer="192.0.2.1")
        second = service.refresh(first.refresh_token)
        sid = payload(service, first.access_token).sid
        refused(service, first.refresh_token, peer="192.0.2.66")

        refused(service, second.refresh_token)
        for given in (first, second):
            with pytest.raises(TokenRevoked):
                service.get_logged_in_user(given.access_token)
            assert service.introspect_token(given.access_token).active is False
        assert [] == service.tokens.families(subject)
        assert {
            "event": "refresh_reuse",
            "time": START,
            "subject": subject,
            "client_id": "tokenward",
            "sid": sid,
            "peer": "192.0.2.66",
        } == audit_lines(caplog)[-1]

    def test_every_earlier_token_of_the_session_counts(self, service):
        """Not the last one only."""
        first = log_in(service)
        given = first
        for _ in range(4):
            given = service.refresh(given.refresh_token)
        refused(service, first.refresh_token)
        refused(service, given.refresh_token)

    def test_no_other_session_is_touched(self, service):
        """The phone goes on when the notebook was robbed."""
        robbed, other = log_in(service), log_in(service)
        service.refresh(robbed.refresh_token)
        refused(service, robbed.refresh_token)

        assert service.get_logged_in_user(other.access_token).username == "alice"
        assert service.refresh(other.refresh_token).refresh_token

    def test_a_race_that_is_lost_in_the_store_is_a_reuse_too(self, build, service, stores, caplog):
        """Both had looked at it before either exchanged it: one wins, and the session ends."""
        audited(caplog)
        given = log_in(service)
        tokens = Stumbling(stores.tokens)
        late = build(tokens=tokens, keys=service.keys)
        seen = stores.tokens.find_family(digest_of_random_token(given.refresh_token))
        winner = service.refresh(given.refresh_token)
        tokens.find_family = lambda digest: seen
        refused(late, given.refresh_token)

        refused(service, winner.refresh_token)
        assert 1 == [line["event"] for line in audit_lines(caplog)].count("refresh_reuse")


class TestRefusals:
    def test_every_refusal_is_one_body(self, service, clock, make, stores):
        """RULES 37: whoever tries tokens out learns nothing of them."""
        seen = set()
        for token in ("", "a", "\0", None, 7, b"x", unknown_token(), "é" * 43, "a.b.c"):
            seen.add(refused(service, token))
        expired, ended, others, used, idle = (log_in(service) for _ in range(5))
        seen.add(refused(service, expired.access_token))
        service.logout_user(ended.access_token)
        seen.add(refused(service, ended.refresh_token))
        seen.add(refused(service, others.refresh_token, client=SHOP))
        service.refresh(used.refresh_token)
        seen.add(refused(service, used.refresh_token))
        service.users.set_active("alice", active=False)
        seen.add(refused(service, idle.refresh_token))
        service.users.delete("alice")
        seen.add(refused(service, idle.refresh_token))
        clock.now += 2_592_000
        seen.add(refused(service, expired.refresh_token))

        assert 1 == len(seen)
        assert (400, "invalid_grant") == seen.pop()[:2]

    @pytest.mark.parametrize(
        "change",
        [
            lambda users: users.set_password("alice", "another password"),
            lambda users: users.set_roles("alice", ["admin"]),
            lambda users: users.set_active("alice", active=False),
            lambda users: users.set_active("alice", active=True),
            lambda users: users.delete("alice"),
        ],
        ids=["password", "roles", "inactive", "active-again", "gone"],
    )
    def test_a_change_of_the_account_ends_it(self, service, change):
        """Whoever made the change, and whether or not they ended the sessions (RULES 37)."""
        given = log_in(service)
        change(service.users)
        refused(service, given.refresh_token)

    def test_a_store_that_closes_an_account_without_counting_is_believed(
        self, build, service, stores, subject
    ):
        """RULES 38: whether somebody is active is looked at by itself."""
        given = log_in(service)
        users = Stumbling(stores.users)
        closed = replace_user(service, subject, is_active=False)
        users.get_by_id = lambda user_id: closed
        refused(build(users=users, keys=service.keys), given.refresh_token)

    def test_a_verified_address_ends_nothing(self, service):
        """It gives nobody more or less than they had."""
        given = log_in(service)
        service.users.set_email_verified("alice", verified=True)
        assert service.refresh(given.refresh_token).user.email_verified is True


class TestClients:
    def test_a_clients_token_is_refreshed_by_that_client_alone(self, service):
        """RFC 6749, section 6: bound to the client that it was issued to."""
        given = log_in(service, client=SHOP)
        for other in (None, DESK):
            refused(service, given.refresh_token, client=other)
        refreshed = service.refresh(given.refresh_token, client=SHOP)

        assert "shop" == payload(service, refreshed.access_token).client_id

    def test_a_used_token_from_another_client_ends_the_session_too(self, service):
        """Whoever has it has stolen it."""
        given = log_in(service, client=SHOP)
        refreshed = service.refresh(given.refresh_token, client=SHOP)
        refused(service, given.refresh_token, client=DESK)
        refused(service, refreshed.refresh_token, client=SHOP)

    def test_a_client_without_the_grant_gets_none_and_no_session(self, service, subject):
        """It holds an access token and nothing that outlives it."""
        given = log_in(service, client=PLAIN)

        assert (None, None) == (given.refresh_token, payload(service, given.access_token).sid)
        assert [] == service.tokens.families(subject)
        assert service.get_logged_in_user(given.access_token).username == "alice"
        with pytest.raises(UnauthorizedClient):
            service.refresh(unknown_token(), client=PLAIN)

    def test_a_clients_own_lifetime_counts_for_refreshed_tokens_too(self, service):
        """RFC 6749, section 5.1: expires_in says what exp says."""
        given = service.refresh(log_in(service, client=DESK).refresh_token, client=DESK)
        assert (3_600, START + 3_600) == (
            given.expires_in,
            payload(service, given.access_token).exp,
        )


class TestLifetimes:
    @pytest.mark.parametrize("lifetime", [None, 0])
    def test_a_service_may_hand_out_none(self, build, service, lifetime, subject):
        """Nor does it take those that it handed out before."""
        given = log_in(service)
        without = build(refresh_token_lifetime=lifetime, keys=service.keys)

        assert None is log_in(without).refresh_token
        assert None is log_in(without, client=SHOP).refresh_token
        refused(without, given.refresh_token)
        refused(without, log_in(service, client=SHOP).refresh_token, client=SHOP)

    def test_a_session_ends_however_often_it_was_refreshed(self, build, service, clock):
        """Its last access token ends with it, at a resource server too."""
        capped = build(session_lifetime=3_600, refresh_token_lifetime=3_000, clients=[SHOP])
        given = log_in(capped)
        clock.now += 2_999
        given = capped.refresh(given.refresh_token)
        assert (601, START + 3_600) == (
            given.expires_in,
            payload(capped, given.access_token).exp,
        )
        clock.now = START + 3_599
        assert capped.get_logged_in_user(given.access_token).username == "alice"
        assert 1 == capped.refresh(given.refresh_token).expires_in
        clock.now = START + 3_600
        with pytest.raises((TokenRevoked, TokenExpired)):
            capped.get_logged_in_user(given.access_token)
        refused(capped, given.refresh_token)

    def test_a_cap_that_came_later_counts_for_sessions_of_before(self, build, service, clock):
        """A session that is over by the settings of now is over."""
        given = log_in(service)
        clock.now += 3_600
        refused(build(session_lifetime=3_600, keys=service.keys), given.refresh_token)

    def test_a_user_whose_store_makes_ids_of_its_own_is_no_client(self, service, subject):
        """RFC 9700, section 4.15."""
        user = replace_user(service, subject, id="shop")
        with pytest.raises(ConfigurationError):
            service.issue(user, client=SHOP)


def replace_user(service, subject, **changes):
    return service.users.get_by_id(subject).model_copy(update=changes)


def test_a_family_is_over_at_the_issuer_the_moment_it_is_ended(service, stores, subject):
    """RULES 38: looked at at every use, in one question with the revocation."""
    given = log_in(service)
    (family,) = stores.tokens.families(subject)
    assert family == replace(family, scopes=("read", "write", "admin"), version=0, ended=False)
    stores.tokens.end_family(family.id)
    with pytest.raises(TokenRevoked):
        service.get_logged_in_user(given.access_token)
    assert service.get_logged_in_user(login(service)).username == "alice"
