"""The auth service, called as a program calls it."""

import hashlib
import json
import logging
import threading

import bcrypt
import pytest

from tokenward import _fork
from tokenward._log import OncePerMinute
from tokenward._spellings import spellings
from tokenward.clients import Client
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidCredentials,
    InvalidRequest,
    InvalidToken,
    RegistrationClosed,
    TokenExpired,
    TokenRevoked,
    UserAlreadyExists,
    UserNotFound,
)
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.schemas import LoginRequest, RegisterRequest
from tokenward.service import FIRST_PARTY_CLIENT_ID, AuthService
from tokenward.shared_cache import Revocations
from tokenward.tokens import create_access_token, get_jwt_payload

ISSUER = "https://auth.example"
PASSWORD = "correct horse battery"
SECRET = "9f8a-77e1-quartz-lantern"
START = 1_800_000_000


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(clock):
    """Return a function that builds a service over new, empty stores in memory."""

    def build(**options):
        stores = open_repositories("memory://", bcrypt_cost=4)
        options = {
            "keys": KeyRing.generate(clock=clock),
            "tokens": stores.tokens,
            "issuer": ISSUER,
            "audience": "orders",
            "registration": "open",
            "clock": clock,
        } | options
        return AuthService(options.pop("users", stores.users), **options)

    return build


@pytest.fixture
def service(make):
    service = make()
    service.create_user("alice", email="alice@example.com", password=PASSWORD, roles=["editor"])
    return service


def login(service, username="alice", password=PASSWORD):
    return service.login_user(LoginRequest(username=username, password=password)).access_token


def registration(username="bob", password=PASSWORD):
    return RegisterRequest(username=username, email=f"{username}@example.com", password=password)


class Down:
    """A store that cannot be asked."""

    def __getattr__(self, name):
        def refuse(*args, **kwargs):
            raise AuthServiceUnavailable("the store is down", reason="store")

        return refuse


class TestConstruction:
    @pytest.mark.parametrize(
        "issuer",
        [
            "http://auth.example",
            "https://auth.example/?a=b",
            "https://auth.example?",
            "https://auth.example/#f",
            "https://auth.example#",
            "https://user@auth.example",
            "https://auth.example//x",
            "https://auth.example/a/../b",
            "https://auth.example/a%2fb",
            "https://auth.example ",
            "https://auth.example\n",
            "http://127.0.0.1.evil.example",
            "ftp://auth.example",
            "auth.example",
            "",
            None,
        ],
    )
    def test_issuer_that_is_no_issuer_stops_start_up(self, make, issuer):
        """RFC 8414, section 2: https, no query, no fragment; http only for this machine."""
        with pytest.raises(ConfigurationError):
            make(issuer=issuer)

    @pytest.mark.parametrize(
        "issuer",
        [
            "https://auth.example",
            "https://auth.example/",
            "https://example.com/auth/one",
            "https://auth.example:8443",
            "http://127.0.0.1:8000",
            "http://[::1]:8000",
        ],
    )
    def test_issuer_is_kept_as_it_stands(self, make, issuer):
        """Tokens are compared with it code point by code point."""
        assert make(issuer=issuer).issuer == issuer

    @pytest.mark.parametrize(
        "options",
        [
            {"audience": ""},
            {"audience": None},
            {"audience": []},
            {"access_token_lifetime": 0},
            {"access_token_lifetime": True},
            {"access_token_lifetime": 1.5},
            {"password_min_length": 5},
            {"registration": "sometimes"},
            {"clients": [Client(FIRST_PARTY_CLIENT_ID, SECRET)]},
            {"clients": [Client("orders", SECRET)] * 2},
        ],
    )
    def test_option_that_cannot_be_meant_stops_start_up(self, make, options):
        """Nothing is found out at the first request that could be found out before."""
        with pytest.raises(ConfigurationError):
            make(**options)

    def test_registration_is_closed_by_default(self, make):
        """Who opens it says so."""
        stores = open_repositories("memory://", bcrypt_cost=4)
        service = AuthService(
            stores.users,
            keys=KeyRing.generate(),
            tokens=stores.tokens,
            issuer=ISSUER,
            audience="orders",
        )
        with pytest.raises(RegistrationClosed):
            service.register_user(registration())
        assert service.users.count() == 0


class TestRegisterUser:
    def test_new_user_can_log_in(self, service):
        """Registering is all it takes."""
        registered = service.register_user(registration())
        assert service.get_logged_in_user(login(service, "bob")) == registered

    def test_taken_name_and_taken_address_are_one_refusal(self, service):
        """Whoever tries names out does not learn which of the two was taken."""
        taken = [
            RegisterRequest(username="ALICE", email="other@example.com", password=PASSWORD),
            RegisterRequest(username="other", email="Alice@example.com", password=PASSWORD),
        ]
        refusals = []
        for request in taken:
            with pytest.raises(UserAlreadyExists) as refused:
                service.register_user(request)
            refusals.append((refused.value.error, refused.value.reason, str(refused.value)))
        assert refusals[0] == refusals[1]

    def test_service_may_want_longer_passwords(self, make):
        """The schema's six characters are the least that a service can ask for."""
        service = make(password_min_length=12)
        with pytest.raises(InvalidRequest) as refused:
            service.register_user(registration(password="elevenchars"))
        assert refused.value.fields == {"password": "must have at least 12 characters"}
        assert service.register_user(registration(password="twelve-chars")).username == "bob"


class TestCreateUser:
    def test_works_while_registration_is_closed(self, make):
        """Closed means closed to people from outside."""
        service = make(registration="closed")
        user = service.create_user(
            "alice", email="a@example.com", password=PASSWORD, roles=["admin"], email_verified=True
        )
        assert (user.roles, user.email_verified) == (("admin",), True)

    @pytest.mark.parametrize(
        ("arguments", "field"),
        [
            ({"username": "a b"}, "username"),
            ({"email": "nobody"}, "email"),
            ({"password": "short"}, "password"),
            ({"password": "short-elev"}, "password"),
            ({"roles": "admin"}, "roles"),
        ],
    )
    def test_bad_argument_is_an_invalid_request(self, make, arguments, field):
        """No foreign exception: the caller learns the field, and nothing of the value."""
        service = make(password_min_length=11)
        given = {"username": "alice", "email": "a@example.com", "password": PASSWORD} | arguments
        with pytest.raises(InvalidRequest) as refused:
            service.create_user(given.pop("username"), **given)
        assert list(refused.value.fields) == [field]
        assert refused.value.__context__ is None


class TestLoginUser:
    def test_answers_with_token_and_user(self, service):
        """RFC 6749, section 5.1, and the user."""
        answer = service.login_user(LoginRequest(username="Alice", password=PASSWORD))
        assert (answer.token_type, answer.expires_in, answer.refresh_token) == ("Bearer", 900, None)
        assert answer.user == service.get_logged_in_user(answer.access_token)

    def test_token_is_an_rfc_9068_token(self, service, clock):
        """RFC 9068, section 2.2: every required claim, and the user's immutable id as sub."""
        user = service.users.get_by_username("alice")
        payload = get_jwt_payload(
            login(service), keys=service.keys, issuer=ISSUER, audience="orders", clock=clock
        )
        assert payload.model_dump(exclude={"jti"}) == {
            "sub": user.id,
            "iss": ISSUER,
            "aud": "orders",
            "iat": START,
            "exp": START + 900,
            "client_id": FIRST_PARTY_CLIENT_ID,
            "roles": ("editor",),
            "ver": user.token_version,
            "scope": None,
            "sid": None,
        }

    def test_token_of_a_client_names_the_client(self, service, clock):
        """Who authenticated itself at the login is who the token was issued to."""
        request = LoginRequest(username="alice", password=PASSWORD)
        token = service.login_user(request, client=Client("shop", SECRET)).access_token
        payload = get_jwt_payload(
            token, keys=service.keys, issuer=ISSUER, audience="orders", clock=clock
        )
        assert payload.client_id == "shop"

    @pytest.mark.parametrize(("own", "seconds"), [(None, 900), (60, 60), (28_800, 28_800)], ids=str)
    def test_token_of_a_client_lives_as_long_as_that_clients_tokens(
        self, service, clock, own, seconds
    ):
        """RFC 6749, section 5.1: ``expires_in`` says what ``exp`` says, shorter or longer."""
        client = Client("desk", SECRET, access_token_lifetime=own)
        request = LoginRequest(username="alice", password=PASSWORD)
        granted = service.login_user(request, client=client)
        clock.now += seconds - 1
        assert service.get_logged_in_user(granted.access_token) == granted.user
        assert service.introspect_token(granted.access_token).exp == START + seconds
        clock.now += 1
        with pytest.raises(TokenExpired):
            service.get_logged_in_user(granted.access_token)
        assert granted.expires_in == seconds

    def test_lifetime_of_a_client_is_nobody_elses(self, make, clock):
        """Who does not authenticate as that client gets the service's lifetime."""
        service = make(clients=[Client("desk", SECRET, access_token_lifetime=28_800)])
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        request = LoginRequest(username="alice", password=PASSWORD)
        assert service.login_user(request).expires_in == 900
        user = service.users.get_by_username("alice")
        assert service.introspect_token(service.issue(user)).exp == START + 900

    def test_long_lived_token_is_revoked_for_as_long_as_it_lives(self, make, clock):
        """A logout lasts as long as the token would have."""
        desk = Client("desk", SECRET, access_token_lifetime=28_800)
        service = make(clients=[desk])
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        request = LoginRequest(username="alice", password=PASSWORD)
        token = service.login_user(request, client=desk).access_token
        service.logout_user(token)
        clock.now += 28_799
        service.tokens.purge_expired(clock.now)
        with pytest.raises(TokenRevoked):
            service.get_logged_in_user(token)

    def test_every_failure_is_the_same_error_after_the_same_work(self, service, monkeypatch):
        """Unknown, inactive, without a password, unthinkable name, wrong: one hash each."""
        service.create_user("idle", email="idle@example.com", password=PASSWORD)
        service.users.set_active("idle", active=False)
        service.create_user("keyless", email="keyless@example.com", password=PASSWORD)
        service.users.set_password("keyless", None)
        hashes = []
        for name in ("hashpw", "checkpw"):
            real = getattr(bcrypt, name)
            monkeypatch.setattr(bcrypt, name, lambda *a, real=real: hashes.append(1) or real(*a))
        attempts = [
            ("alice", "wrong"),
            ("nobody", PASSWORD),
            ("idle", PASSWORD),
            ("keyless", PASSWORD),
            ("a\0b", PASSWORD),
            ("", PASSWORD),
        ]
        seen = set()
        for username, password in attempts:
            with pytest.raises(InvalidCredentials) as refused:
                login(service, username, password)
            error = refused.value
            seen.add((len(hashes), str(error), error.hint, error.reason))
            hashes.clear()
        assert {hashed for hashed, *_ in seen} == {1}
        assert len(seen) == 1

    def test_short_password_of_old_times_still_logs_in(self, make):
        """Login never applies the registration policy."""
        service = make(password_min_length=20)
        service.users.create(registration(password="sixsix"))
        assert service.get_logged_in_user(login(service, "bob", "sixsix")).username == "bob"

    def test_claims_hook_adds_to_the_token(self, make, clock):
        """A scope, for instance; it sees the user."""
        service = make(claims=lambda user: {"scope": "read write", "team": user.username + "s"})
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        answer = service.introspect_token(login(service))
        assert (answer.active, answer.scope) == (True, "read write")

    @pytest.mark.parametrize("claim", ["sub", "exp", "aud", "ver", "roles", "client_id", "cnf"])
    def test_claims_hook_cannot_say_what_is_ours(self, make, claim):
        """A hook that replaced sub or ver would make somebody somebody else."""
        service = make(claims=lambda _user: {claim: "x"})
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        with pytest.raises(ConfigurationError, match=claim):
            login(service)

    def test_repository_issues_tokens_of_the_service(self, service):
        """`UserRepository.authenticate_user` works once a service owns the repository."""
        request = LoginRequest(username="alice", password=PASSWORD)
        answer = service.users.authenticate_user(request)
        assert service.get_logged_in_user(answer["access_token"]) == answer["user"]

    def test_store_that_is_down_is_no_wrong_password(self, make):
        """An outage is never taken for a refusal."""
        with pytest.raises(AuthServiceUnavailable):
            login(make(users=_with_issue(Down())))


def _with_issue(store):
    store.issue = None
    return store


class TestGetLoggedInUser:
    def test_token_ends_at_its_exp(self, service, clock):
        """The issuer allows itself no leeway: of its own clock it is sure."""
        token = login(service)
        clock.now = START + 899
        assert service.get_logged_in_user(token).username == "alice"
        clock.now = START + 900
        with pytest.raises(TokenExpired):
            service.get_logged_in_user(token)

    def test_token_of_another_machine_a_little_ahead_is_good(self, service, clock):
        """Two machines of one issuer never agree on the second."""
        token = login(service)
        clock.now = START - 2
        assert service.get_logged_in_user(token).username == "alice"

    def test_deactivation_counts_at_once(self, service):
        """RULES 38: checked at use."""
        token = login(service)
        service.users.set_active("alice", active=False)
        with pytest.raises(UserNotFound):
            service.get_logged_in_user(token)

    @pytest.mark.parametrize(
        ("change", "password"),
        [
            (lambda users: users.set_roles("alice", ["admin"]), PASSWORD),
            (lambda users: users.set_password("alice", "another password"), "another password"),
        ],
    )
    def test_change_of_rights_ends_older_tokens(self, service, change, password):
        """The per-user counter that tokens carry was raised; a new login is good again."""
        token = login(service)
        change(service.users)
        with pytest.raises(TokenRevoked):
            service.get_logged_in_user(token)
        new = login(service, password=password)
        assert service.get_logged_in_user(new).username == "alice"

    def test_deleted_user_is_nobody(self, service):
        """A token outlives its user by not a moment."""
        token = login(service)
        service.users.delete("alice")
        with pytest.raises(UserNotFound):
            service.get_logged_in_user(token)

    def test_tokens_for_others_are_refused(self, service, clock):
        """Signed by our key, but for another audience or by another name."""
        user = service.users.get_by_username("alice")
        for issuer, audience in [(ISSUER, "stock"), ("https://other.example", "orders")]:
            token = create_access_token(
                {"sub": user.id}, keys=service.keys, issuer=issuer, audience=audience, clock=clock
            )
            with pytest.raises(InvalidToken):
                service.get_logged_in_user(token)

    def test_token_of_a_client_speaks_for_no_user(self, service, clock):
        """A program's own token is good, but /me has nobody to show."""
        token = create_access_token(
            {"sub": "shop", "client_id": "shop"},
            keys=service.keys,
            issuer=ISSUER,
            audience="orders",
            clock=clock,
        )
        with pytest.raises(UserNotFound):
            service.get_logged_in_user(token)

    @pytest.mark.parametrize("token", ["", "a", "a.b.c", "\0", "é" * 20_000, None, b"x", 7])
    def test_what_is_no_token_is_an_invalid_token(self, service, token):
        """Whatever comes, no foreign exception leaves."""
        with pytest.raises(InvalidToken):
            service.get_logged_in_user(token)


class TestLogoutUser:
    def test_token_is_refused_from_then_on(self, service):
        """At the issuer, at once; and no other token is."""
        token, other = login(service), login(service)
        assert service.logout_user(token).message == "Logged out."
        with pytest.raises(TokenRevoked):
            service.get_logged_in_user(token)
        with pytest.raises(TokenRevoked):
            service.logout_user(token)
        assert service.introspect_token(token).active is False
        assert service.get_logged_in_user(other).username == "alice"

    def test_revocation_outlives_the_token_and_every_leeway(self, service, clock):
        """Purging at exp would revive the token for a verifier that allows some leeway."""
        token = login(service)
        service.logout_user(token)
        jti = get_jwt_payload(
            token, keys=service.keys, issuer=ISSUER, audience="orders", clock=clock
        ).jti
        assert service.tokens.purge_expired(START + 900 + 60) == 0
        assert service.tokens.is_revoked(jti)
        assert service.tokens.purge_expired(START + 900 + 300) == 1

    @pytest.mark.parametrize("arguments", [{}, {"refresh_token": "unknown"}])
    def test_without_an_access_token_nothing_is_ended(self, service, arguments):
        """Nobody is logged out by saying nothing, or by a token that is not known here."""
        with pytest.raises(InvalidToken):
            service.logout_user(**arguments)

    def test_unknown_refresh_token_beside_changes_nothing(self, service):
        """The access token ends all the same."""
        token = login(service)
        service.logout_user(token, refresh_token="unknown")
        with pytest.raises(TokenRevoked):
            service.get_logged_in_user(token)

    def test_two_threads_that_log_out_end_one_token(self, service):
        """Whoever loses the race gets the refusal of a second logout, or the same answer."""
        token = login(service)
        barrier = threading.Barrier(4)
        outcomes = []

        def log_out():
            barrier.wait()
            try:
                outcomes.append(service.logout_user(token).message)
            except TokenRevoked:
                outcomes.append("Logged out.")

        threads = [threading.Thread(target=log_out) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes == ["Logged out."] * 4
        assert service.introspect_token(token).active is False


class TestIntrospectToken:
    def test_good_token(self, service):
        """RFC 7662, section 2.2: what the token says, who the user is."""
        user = service.users.get_by_username("alice")
        answer = service.introspect_token(login(service)).model_dump(mode="json")
        assert len(answer.pop("jti")) >= 16
        assert answer == {
            "active": True,
            "token_type": "Bearer",
            "sub": user.id,
            "username": "alice",
            "client_id": FIRST_PARTY_CLIENT_ID,
            "roles": ["editor"],
            "iss": ISSUER,
            "aud": "orders",
            "iat": START,
            "exp": START + 900,
            "email": "alice@example.com",
            "email_verified": False,
            "user": user.public().model_dump(mode="json"),
        }

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda service, clock, token: token[:-4] + "AAAA",
            lambda service, clock, token: setattr(clock, "now", START + 900) or token,
            lambda service, clock, token: service.users.set_active("alice", active=False) or token,
            lambda service, clock, token: service.users.delete("alice") or token,
            lambda service, clock, token: service.users.set_roles("alice", ()) or token,
            lambda service, clock, token: "x" * 20_000,
            lambda service, clock, token: "\ud800",
            lambda service, clock, token: None,
        ],
    )
    def test_whatever_is_wrong_the_answer_is_inactive_and_no_more(self, service, clock, spoil):
        """RFC 7662, section 2.2: the reason is nobody's business."""
        token = spoil(service, clock, login(service))
        assert service.introspect_token(token).model_dump() == {"active": False}

    def test_client_learns_nothing_of_tokens_for_others(self, make, clock):
        """RULES 39: its audiences, by default the service's own, bound what it may ask about."""
        own = Client("own", SECRET)
        stock = Client("stock", SECRET, audiences=["stock"])
        both = Client("both", SECRET, audiences=["stock", "orders"])
        none = Client("none", SECRET, audiences=[])
        unlisted = Client("unlisted", SECRET, audiences=["stock", "else"])
        service = make(clients=[own, stock, both, none])
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        for_orders = login(service)
        for_stock = create_access_token(
            {"sub": service.users.get_by_username("alice").id},
            keys=service.keys,
            issuer=ISSUER,
            audience="stock",
            clock=clock,
        )
        seen = {
            client.client_id if client else None: (
                service.introspect_token(for_orders, client=client).active,
                service.introspect_token(for_stock, client=client).active,
            )
            for client in (None, own, stock, both, none, unlisted)
        }
        assert seen == {
            None: (True, False),
            "own": (True, False),
            "stock": (False, True),
            "both": (True, True),
            "none": (False, False),
            "unlisted": (False, True),
        }

    def test_several_audiences_are_all_named(self, make):
        """A token may be for several resource servers; each may ask."""
        stock = Client("stock", SECRET, audiences=["stock"])
        service = make(audience=["orders", "stock"], clients=[stock])
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        token = login(service)
        assert service.introspect_token(token, client=stock).aud == ["orders", "stock"]

    def test_odd_claims_do_not_raise(self, service, clock):
        """A token that a program of ours signed may carry anything; it is described anyway."""
        user = service.users.get_by_username("alice")
        odd = {"scope": ["b", "a"], "roles": "x", "username": 7, "sid": 3, "ver": 0}
        token = create_access_token(
            {"sub": user.id, "client_id": ["x"], **odd},
            keys=service.keys,
            issuer=ISSUER,
            audience="orders",
            clock=clock,
        )
        answer = service.introspect_token(token)
        assert (answer.active, answer.scope, answer.username) == (True, "a b", "alice")

    def test_store_that_is_down_is_not_inactive(self, make):
        """The one thing that is raised: nobody could decide."""
        service = make()
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        token = login(service)
        down = make(keys=service.keys, users=service.users, tokens=Down())
        with pytest.raises(AuthServiceUnavailable):
            down.introspect_token(token)


class TestReady:
    def test_stores_that_answer_are_ready(self, service):
        """The stores answered and there is a key."""
        assert service.ready() is True

    @pytest.mark.parametrize("part", ["users", "tokens"])
    def test_store_that_is_down_is_not_ready(self, make, part):
        """Either store is needed for an answer."""
        assert make(**{part: _with_issue(Down())}).ready() is False


class TestWithUsers:
    def test_the_same_service_over_other_users(self, service):
        """Other people, the same issuer, keys and revocations; the first service is unchanged."""
        others = open_repositories("memory://", bcrypt_cost=4).users
        other = service.with_users(others)
        other.create_user("zoe", email="zoe@example.com", password=PASSWORD)
        token = login(other, "zoe")
        assert other.get_logged_in_user(token).username == "zoe"
        assert service.introspect_token(token).active is False
        assert service.get_logged_in_user(login(service)).username == "alice"
        request = LoginRequest(username="zoe", password=PASSWORD)
        assert other.introspect_token(others.authenticate_user(request)["access_token"]).active
        other.logout_user(token)
        assert other.introspect_token(token).active is False


class TestAudit:
    @pytest.fixture
    def lines(self, caplog):
        caplog.set_level(logging.INFO, "tokenward.audit")

        def read():
            records = [r for r in caplog.records if r.name == "tokenward.audit"]
            return [json.loads(record.getMessage()) for record in records]

        return read

    def test_each_event_is_one_json_line(self, service, lines):
        """RULES 53: the names are contract; times are whole epoch seconds."""
        bob = service.register_user(registration(), peer="192.0.2.7")
        request = LoginRequest(username="bob", password=PASSWORD)
        token = service.login_user(request, peer="192.0.2.7").access_token
        service.logout_user(token, peer="192.0.2.7")
        seen = lines()
        assert seen.pop(-1).pop("jti")
        at = {"time": START, "peer": "192.0.2.7", "subject": bob.id}
        assert seen == [
            {"event": "user_registered", "username": "bob", **at},
            {"event": "login_ok", **at},
        ]

    def test_failed_login_shows_an_escaped_and_cut_name(self, service, lines, caplog):
        """The name is from outside: it forges no line and fills no disk; the password is absent."""
        with pytest.raises(InvalidCredentials):
            login(service, "x\n{}" + "y" * 290, "the-wrong-one")
        (line,) = lines()
        assert line["event"] == "login_failed"
        assert line["username"].startswith("x\\x0a{}y")
        assert len(line["username"]) < 250
        assert "the-wrong-one" not in caplog.text
        assert PASSWORD not in caplog.text

    def test_no_token_or_hash_is_written(self, service, caplog):
        """Not at any level, by any logger."""
        caplog.set_level(logging.DEBUG)
        token = login(service)
        service.logout_user(token)
        service.introspect_token(token)
        hashed = service.users.get_by_username("alice").hashed_password
        assert token not in caplog.text
        assert token.rpartition(".")[2] not in caplog.text
        assert hashed not in caplog.text

    def test_handler_that_fails_changes_nothing(self, service):
        """RULES 51: the login stands, whatever a handler does."""

        class Broken(logging.Handler):
            def emit(self, record):
                raise OSError("disk full")

        logger = logging.getLogger("tokenward.audit")
        handler, level = Broken(), logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            assert service.get_logged_in_user(login(service)).username == "alice"
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)


class Shared:
    """A shared cache and a revocation bus that keep what they are given, in order."""

    secrets = ("quartz-lantern-9f8a77e1",)

    def __init__(self, log):
        self.log = log
        self.failure = None

    def _called(self, *call):
        self.log.append(call)
        if self.failure is not None:
            raise self.failure

    def get_many(self, keys):
        raise AssertionError("the issuer looks nothing up")

    def set(self, key, value, *, ttl):
        self._called("set", key, value)

    def delete(self, key):
        raise AssertionError("a tombstone says it")

    def publish(self, message):
        self._called("publish", message)

    def subscribe(self, callback, *, missed):
        raise AssertionError("the issuer listens to nobody")


class Tokens:
    """The revocations of another store, written down in the same order."""

    def __init__(self, tokens, log):
        self.tokens, self.log = tokens, log

    def revoke(self, jti, expires_at):
        self.tokens.revoke(jti, expires_at)
        self.log.append(("revoke", jti))

    def is_revoked(self, jti):
        return self.tokens.is_revoked(jti)


class TestRevocation:
    """A logout takes the token out of the caches of others (RULES 45, 48)."""

    @pytest.fixture
    def log(self):
        return []

    @pytest.fixture
    def shared(self, log):
        return Shared(log)

    @pytest.fixture
    def bus(self, log):
        return Shared(log)

    @pytest.fixture
    def sharing(self, make, log, shared, bus):
        tokens = Tokens(open_repositories("memory://").tokens, log)
        service = make(tokens=tokens, shared_cache=shared, revocation_bus=bus)
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        return service

    def test_the_store_comes_first_then_the_cache_then_the_bus(self, sharing, log):
        """Who forgets a token asks again at once, and must not hear the old answer."""
        sharing.logout_user(login(sharing))

        # Twice: a token signed with ECDSA has a twin, which says the same.
        assert [call[0] for call in log] == ["revoke", *(["set", "publish"] * 2)]

    def test_nothing_is_published_before_a_logout(self, sharing, log):
        """Logging in, looking and failing to log out concern nobody else."""
        token = login(sharing)
        sharing.introspect_token(token)
        sharing.get_logged_in_user(token)
        with pytest.raises(InvalidToken):
            sharing.logout_user("not a token")

        assert log == []

    def test_a_store_that_is_down_is_not_announced(self, sharing, make, shared, bus, log):
        """A revocation that did not happen is told to nobody."""

        class Busy(Tokens):
            def revoke(self, jti, expires_at):
                raise AuthServiceUnavailable("busy", reason="store")

        busy = Busy(open_repositories("memory://").tokens, log)
        service = make(
            users=sharing.users,
            keys=sharing.keys,
            tokens=busy,
            shared_cache=shared,
            revocation_bus=bus,
        )
        with pytest.raises(AuthServiceUnavailable):
            service.logout_user(login(service))

        assert log == []

    def test_what_leaves_the_process_is_the_digest_of_the_token(self, sharing, shared, bus, log):
        """Verifiers know tokens by their SHA-256; whoever sees the bus learns nothing."""
        token = login(sharing)
        sharing.logout_user(token)
        digests = [hashlib.sha256(text.encode()).digest() for text in spellings(token)]
        received = []
        published = [call[1] for call in log if call[0] == "publish"]
        bus.subscribe = lambda callback, *, missed: [callback(one) for one in published]
        Revocations(shared, bus, clock=sharing.clock).subscribe(received.append, missed=list)
        everything = b"".join(part for call in log[1:] for part in call[1:])

        assert received == digests
        assert not any(digest in everything for digest in digests)
        assert token.encode() not in everything

    @pytest.mark.parametrize("part", ["shared", "bus"])
    def test_what_is_down_changes_nothing_and_is_logged_once(
        self, sharing, shared, bus, part, caplog
    ):
        """The token is ended where it counts: at the issuer."""
        _forget_what_was_logged()
        {"shared": shared, "bus": bus}[part].failure = ConnectionError("gone")
        for _ in range(3):
            token = login(sharing)
            assert sharing.logout_user(token).message
            assert sharing.introspect_token(token).active is False

        lines = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert len(lines) == 1
        assert token not in caplog.text

    @pytest.mark.parametrize("name", ["shared_cache", "revocation_bus"])
    def test_one_of_the_two_is_enough(self, make, shared, log, name):
        """Whichever there is, is told."""
        service = make(**{name: shared})
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        service.logout_user(login(service))

        assert {call[0] for call in log} == {"set" if name == "shared_cache" else "publish"}

    def test_one_without_secrets_stops_start_up(self, make, shared):
        """Nothing is shared unsealed."""
        shared.secrets = ()
        with pytest.raises(ConfigurationError):
            make(shared_cache=shared)

    def test_other_users_share_the_same(self, sharing, log):
        """A service over other users tells the same resource servers, and the same observer."""
        others = open_repositories("memory://", bcrypt_cost=4).users
        other = sharing.with_users(others)
        other.create_user("zoe", email="zoe@example.com", password=PASSWORD)
        other.logout_user(login(other, "zoe"))

        assert [call[0] for call in log] == ["revoke", *(["set", "publish"] * 2)]


def _forget_what_was_logged():
    for thing in list(_fork._registered):
        if isinstance(thing, OncePerMinute):
            thing._last.clear()


class TestEvents:
    """Logins are told to an observer, who can change nothing (RULES 51, 53)."""

    @pytest.fixture
    def events(self):
        return []

    @pytest.fixture
    def observed(self, make, events):
        service = make(on_event=events.append)
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        return service

    def test_a_login_is_one_event(self, observed, events):
        """It is named after the issuer and says how long it took; nothing else is told."""
        observed.logout_user(login(observed))
        (event,) = events

        assert (event.kind, event.verifier, event.outcome) == ("login", ISSUER, "ok")
        assert 0 < event.seconds < 20

    @pytest.mark.parametrize("username", ["alice", "nobody"])
    def test_a_failed_login_never_says_which(self, observed, events, username):
        """A wrong password and an unknown name are one outcome."""
        with pytest.raises(InvalidCredentials):
            login(observed, username, "wrong")

        assert [event.outcome for event in events] == ["invalid_credentials"]

    def test_an_outage_is_unavailable(self, make, events):
        """A store that is down refused nobody."""
        service = make(users=_with_issue(Down()), on_event=events.append)
        with pytest.raises(AuthServiceUnavailable):
            login(service)

        assert [(event.kind, event.outcome) for event in events] == [("login", "unavailable")]

    def test_a_claims_hook_that_fails_decided_nothing(self, make, events):
        """It is the application's mistake, and neither a success nor a wrong password."""

        def fail(user):
            raise RuntimeError("mistake")

        service = make(claims=fail, on_event=events.append)
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        with pytest.raises(RuntimeError):
            login(service)

        assert [event.outcome for event in events] == ["interrupted"]

    def test_a_cache_that_fails_is_told(self, make, events):
        """Whoever watches sees that revocations do not get through."""
        shared = Shared([])
        shared.failure = ConnectionError("gone")
        service = make(shared_cache=shared, on_event=events.append)
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        service.logout_user(login(service))

        told = [(e.kind, e.outcome) for e in events]
        assert told == [("login", "ok"), *([("cache", "shared.error")] * 2)]

    def test_an_observer_that_raises_changes_nothing(self, make):
        """The login stands."""

        def fail(event):
            raise RuntimeError

        service = make(on_event=fail)
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        assert service.get_logged_in_user(login(service)).username == "alice"
        with pytest.raises(InvalidCredentials):
            login(service, password="wrong")

    def test_other_users_are_told_of_too(self, observed, events):
        """A service over other users keeps the observer."""
        others = open_repositories("memory://", bcrypt_cost=4).users
        other = observed.with_users(others)
        other.create_user("zoe", email="zoe@example.com", password=PASSWORD)
        login(other, "zoe")

        assert [(event.verifier, event.outcome) for event in events] == [(ISSUER, "ok")]
