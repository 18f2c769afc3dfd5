"""Logins, and what their access tokens are good for."""

import bcrypt
import pytest
from auth_services import ISSUER, PASSWORD, SECRET, START, Down, log_in, login, registration

from tokenward.clients import Client
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidCredentials,
    InvalidToken,
    TokenExpired,
    TokenRevoked,
    UserNotFound,
)
from tokenward.schemas import LoginRequest
from tokenward.service import FIRST_PARTY_CLIENT_ID
from tokenward.service.families import MAX_SESSIONS
from tokenward.tokens import create_access_token, get_jwt_payload


class TestLoginUser:
    def test_answers_with_token_and_user(self, service):
        """RFC 6749, section 5.1, and the user."""
        answer = log_in(service, "Alice")
        assert (answer.token_type, answer.expires_in, answer.scope) == ("Bearer", 900, None)
        assert len(answer.refresh_token) == 43
        assert answer.user == service.get_logged_in_user(answer.access_token)

    def test_token_is_an_rfc_9068_token(self, service, clock):
        """RFC 9068, section 2.2: every required claim, and the user's immutable id as sub."""
        user = service.users.get_by_username("alice")
        payload = get_jwt_payload(
            login(service), keys=service.keys, issuer=ISSUER, audience="orders", clock=clock
        )
        (session,) = service.tokens.families(user.id)
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
            "sid": session.id,
        }

    def test_without_a_session_it_is_an_access_token_alone(self, service):
        """It is good and can be ended; no refresh token, and nothing to list, evict or end."""
        held = log_in(service)
        for _ in range(MAX_SESSIONS):
            answer = log_in(service, session=False)
        assert answer.refresh_token is None
        assert service.introspect_token(answer.access_token).sid is None
        assert len(service.sessions(held.access_token).sessions) == 1
        service.logout_user(answer.access_token)
        with pytest.raises(TokenRevoked):
            service.get_logged_in_user(answer.access_token)
        assert service.refresh(held.refresh_token).user == held.user

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
        self, make, clock, own, seconds
    ):
        """RFC 6749, section 5.1: ``expires_in`` says what ``exp`` says, shorter or longer."""
        client = Client("desk", SECRET, access_token_lifetime=own)
        service = make(clients=[client])
        service.create_user("alice", email="a@example.com", password=PASSWORD)
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

    @pytest.mark.parametrize("scope", [["a"], 7, 'a"b', "a\\b", "é", "a\tb"])
    def test_claims_hook_cannot_say_a_scope_that_is_none(self, make, scope):
        """RFC 6749, section 3.3: found out at the issuer, not at a resource server."""
        service = make(claims=lambda _user: {"scope": scope})
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        with pytest.raises(ConfigurationError, match="scope"):
            login(service)

    def test_a_user_is_never_taken_for_a_client(self, make):
        """RFC 9700, section 4.15: a sub that is the client_id speaks for the program."""
        service = make(claims=lambda user: {"preferred_username": user.username})
        service.create_user(
            f"service-account-{FIRST_PARTY_CLIENT_ID}", email="a@example.com", password=PASSWORD
        )
        token = login(service, f"service-account-{FIRST_PARTY_CLIENT_ID}")
        service.users.set_active(f"service-account-{FIRST_PARTY_CLIENT_ID}", active=False)
        with pytest.raises(UserNotFound):
            service.get_logged_in_user(token)

        user = service.users.get_by_email("a@example.com")
        with pytest.raises(ConfigurationError, match="client"):
            service.issue(user, client=Client(user.id, SECRET))

    def test_claims_hook_adds_to_the_token(self, make, clock):
        """A scope, for instance; it sees the user."""
        service = make(claims=lambda user: {"scope": "read write", "team": user.username + "s"})
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        answer = service.introspect_token(login(service))
        assert (answer.active, answer.scope) == (True, "read write")

    @pytest.mark.parametrize(
        "claim", [*("sub", "exp", "aud", "ver", "roles", "client_id", "cnf", "scp", "sid")]
    )
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
            login(make(users=Down()))


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

    def test_token_of_a_client_speaks_for_no_user(self, make, clock):
        """A program's own token is good, but /me has nobody to show."""
        service = make(clients=[Client("shop", SECRET)])
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
