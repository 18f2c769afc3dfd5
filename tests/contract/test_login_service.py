"""A login service, in this process and over HTTP: one suite for both.

`AuthService` answers as it is; `AuthServiceClient` asks that same service, served by waitress on a
loopback port. Beyond what both share come the faults that only a network has.
"""

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import pytest
import waitress.server
from benchmarks.ports import free_port
from waitress import wasyncore

from tokenward.client_auth import ClientSecretBasic
from tokenward.clients import Client
from tokenward.endpoints import ENDPOINTS
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    InvalidCredentials,
    InvalidGrant,
    InvalidRequest,
    InvalidToken,
    TokenExpired,
    TokenRevoked,
    TooManyAttempts,
)
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.schemas import LoginRequest, LogoutResponse
from tokenward.service import FIRST_PARTY_CLIENT_ID, AuthService
from tokenward.service_client import LOGIN_PATH, LOGOUT_PATH, ME_PATH, AuthServiceClient
from tokenward.testing import FakeAuthorizationServer, FakeClock
from tokenward.tokens import create_access_token, get_jwt_payload
from tokenward.wsgi import auth_service_app

NOW = 1_700_000_000
PASSWORD = "correct horse battery"
SHOP = Client("shop", "9f8a+77e1/quartz:100%25 =&é")
DESK = Client("desk", "another-0quartz-77e1-lamp", access_token_lifetime=28_800)
LOGIN = LoginRequest(username="alice", password=PASSWORD)
JSON = {"Content-Type": "application/json"}


class Served:
    """An application on a loopback port, behind waitress."""

    def __init__(self, listener, app):
        self._channels = {}
        self._listener = listener
        self._server = waitress.server.create_server(
            app, map=self._channels, sockets=[listener], threads=2
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stopping.is_set():
            wasyncore.loop(timeout=0.02, map=self._channels, count=1)

    def stop(self):
        """Stop serving; connections and threads end."""
        self._stopping.set()
        self._thread.join()
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._channels)
        self._listener.close()


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture(params=["", "/auth"], ids=["root", "below-a-path"])
def service(request, clock):
    """The service whose word counts, and where it may be found."""
    listener = socket.create_server(("127.0.0.1", 0))
    stores = open_repositories("memory://", bcrypt_cost=4, clock=clock)
    service = AuthService(
        stores.users,
        keys=KeyRing.generate(clock=clock),
        tokens=stores.tokens,
        issuer=f"http://127.0.0.1:{listener.getsockname()[1]}{request.param}",
        audience="orders",
        clients=[SHOP, DESK],
        clock=clock,
    )
    service.create_user("alice", email="a@example.com", password=PASSWORD, roles=["editor"])
    served = Served(listener, auth_service_app(service))
    yield service
    served.stop()


@dataclass
class Near:
    """The service in this process, used by one of its clients."""

    service: AuthService
    client: Client | None = None

    def __post_init__(self):
        self.get_logged_in_user = self.service.get_logged_in_user
        self.logout_user = self.service.logout_user

    def login_user(self, request):
        return self.service.login_user(request, client=self.client)


@pytest.fixture
def reach(service):
    """Return a function that asks the service from afar; what it made is closed at the end."""
    made = []

    def reach(client=None, **options):
        auth = client and ClientSecretBasic(client.client_id, client.client_secret)
        known = {"client_auth": auth, "timeout": 120}
        made.append(AuthServiceClient(service.issuer, **known | options))
        return made[-1]

    yield reach
    for client in made:
        client.close()


@pytest.fixture(params=["near", "far"])
def use(request, service, reach):
    """Return a function that gives one of the service's clients its way to the service."""
    return reach if request.param == "far" else partial(Near, service)


@pytest.fixture
def asked(use):
    """The service as `SHOP` uses it."""
    return use(SHOP)


def refused(kind, call, *args, **options):
    """Return the error of a call, which is of `kind` and nothing else an outage could be."""
    with pytest.raises(kind) as caught:
        call(*args, **options)
    assert not isinstance(caught.value, AuthServiceUnavailable)
    return caught.value


class TestLogin:
    def test_right(self, asked, service):
        """A token, for how long it is good, and whose it is."""
        granted = asked.login_user(LOGIN)

        assert service.users.get_by_username("alice").public() == granted.user
        assert ("Bearer", 900, None) == (
            granted.token_type,
            granted.expires_in,
            granted.refresh_token,
        )
        assert granted.user == service.get_logged_in_user(granted.access_token)

    @pytest.mark.parametrize(
        "password", ["wrong", PASSWORD.upper(), PASSWORD + " ", "ünï☃\0", "x" * 1_024], ids=repr
    )
    def test_wrong(self, asked, password):
        """InvalidCredentials, which says no more than that."""
        error = refused(
            InvalidCredentials, asked.login_user, LoginRequest(username="alice", password=password)
        )

        assert (InvalidCredentials, "") == (type(error), error.hint)

    @pytest.mark.parametrize("username", ["nobody", "", "a b", "a\0b", "ünï☃", "x" * 300], ids=repr)
    def test_unknown(self, asked, username):
        """The same error as for a wrong password (RULES 33)."""
        request = LoginRequest(username=username, password=PASSWORD)

        assert InvalidCredentials is type(refused(InvalidCredentials, asked.login_user, request))

    def test_inactive(self, asked, service):
        """The same again."""
        service.users.set_active("alice", active=False)

        assert InvalidCredentials is type(refused(InvalidCredentials, asked.login_user, LOGIN))

    def test_without_a_password(self, asked, service):
        """The same again."""
        service.users.set_password("alice", None)

        assert InvalidCredentials is type(refused(InvalidCredentials, asked.login_user, LOGIN))

    @pytest.mark.parametrize("password", ["x" * 1_025, "é" * 513, "x" * 20_000, ""], ids=len)
    def test_over_long(self, asked, password):
        """InvalidRequest that names the field, before anybody is looked up (RULES 33)."""
        request = LoginRequest.model_construct(username="alice", password=password)
        error = refused(InvalidRequest, asked.login_user, request)

        assert (InvalidRequest, ["password"]) == (type(error), list(error.fields))

    @pytest.mark.parametrize(
        "username", ["Alice", " alice ", "\N{FULLWIDTH LATIN SMALL LETTER A}lice"]
    )
    def test_every_writing_of_a_name(self, asked, username):
        """What the service takes for the same name arrives as it was written."""
        request = LoginRequest(username=username, password=PASSWORD)

        assert "alice" == asked.login_user(request).user.username

    @pytest.mark.parametrize("password", ['"\\/\b\f\n\r\t\0', "päß☃𝄞 wörd", "'; --<script>"])
    def test_odd_passwords(self, asked, service, password):
        """Every character arrives."""
        service.users.set_password("alice", password)
        granted = asked.login_user(LoginRequest(username="alice", password=password))

        assert "alice" == granted.user.username

    @pytest.mark.parametrize(
        ("client", "seconds"),
        [(None, 900), (SHOP, 900), (DESK, 28_800)],
        ids=["nobody", "shop", "desk"],
    )
    def test_of_a_client(self, use, service, clock, client, seconds):
        """The token names its client, and is good for as long as that client's tokens are."""
        named = FIRST_PARTY_CLIENT_ID if client is None else client.client_id
        granted = use(client).login_user(LOGIN)
        payload = get_jwt_payload(
            granted.access_token,
            keys=service.keys,
            issuer=service.issuer,
            audience="orders",
            clock=clock,
        )

        assert (named, NOW + seconds) == (payload.client_id, payload.exp)
        assert seconds == granted.expires_in


class TestTokens:
    @pytest.fixture
    def token(self, asked):
        return asked.login_user(LOGIN).access_token

    def test_good(self, asked, service, token):
        """The user as the service has them now, not as they were."""
        before = asked.get_logged_in_user(token)
        service.users.set_email_verified("alice", verified=True)
        after = asked.get_logged_in_user(token)

        assert (("editor",), False, True) == (
            before.roles,
            before.email_verified,
            after.email_verified,
        )
        assert service.users.get_by_username("alice").public() == after

    def test_logged_out(self, asked, token):
        """Ended at once; logging out a second time is refused as well."""
        assert LogoutResponse() == asked.logout_user(token)

        for call in (asked.get_logged_in_user, asked.logout_user):
            assert "revoked" == refused(TokenRevoked, call, token).reason

    def test_only_the_one_token_is_logged_out(self, asked, token):
        """Another of the same user goes on."""
        other = asked.login_user(LOGIN).access_token
        asked.logout_user(token)

        assert "alice" == asked.get_logged_in_user(other).username

    @pytest.mark.parametrize(("client", "seconds"), [(SHOP, 900), (DESK, 28_800)])
    def test_expired(self, use, clock, client, seconds):
        """From the second on that ``expires_in`` names, with no leeway at the issuer."""
        asked = use(client)
        token = asked.login_user(LOGIN).access_token
        clock.advance(seconds - 1)
        assert "alice" == asked.get_logged_in_user(token).username
        clock.advance(1)

        for call in (asked.get_logged_in_user, asked.logout_user):
            assert "expired" == refused(TokenExpired, call, token).reason

    def test_of_nobody(self, asked, service, token):
        """A user who is gone, or may not come in, has no good token."""
        service.users.set_active("alice", active=False)
        refused(InvalidToken, asked.get_logged_in_user, token)
        service.users.delete("alice")
        error = refused(InvalidToken, asked.get_logged_in_user, token)

        assert (401, "invalid_token") == (error.status_code, error.error)

    def test_older_than_a_new_password(self, asked, service, token):
        """It ends with the old one."""
        service.users.set_password("alice", "another password")

        refused(InvalidToken, asked.get_logged_in_user, token)

    @pytest.mark.parametrize(
        "change",
        [
            lambda token: token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"),
            lambda token: token.rpartition(".")[0] + ".",
            lambda token: "abc",
            lambda token: "a.b.c",
            lambda token: "",
            lambda token: "Bearer " + token,
            lambda token: token + "\n",
            lambda token: token + ",abc",
            lambda token: token + "é",
            lambda token: token + "a" * 16_384,
            lambda token: "a" * 16_385,
            lambda token: None,
        ],
    )
    def test_bad(self, asked, token, change):
        """Whatever it is that comes as a token, it is refused as one."""
        error = refused(InvalidToken, asked.logout_user, change(token))
        assert (401, "invalid_token") == (error.status_code, error.error)

        assert "alice" == asked.get_logged_in_user(token).username

    def test_of_another_issuer(self, asked, service, clock):
        """Another service's token is refused, and so is one of ours for another audience."""
        user = service.users.get_by_username("alice")
        make = partial(create_access_token, {"sub": user.id}, clock=clock)
        ours = {"keys": service.keys, "issuer": service.issuer, "audience": "orders"}
        assert "alice" == asked.get_logged_in_user(make(**ours)).username

        others = ({"keys": KeyRing.generate(clock=clock)}, {"issuer": "x"}, {"audience": "x"})
        for other in others:
            refused(InvalidToken, asked.get_logged_in_user, make(**ours | other))

    def test_logging_out_with_a_refresh_token_beside(self, asked, token):
        """One that is not known ends nothing and keeps nothing from ending."""
        assert LogoutResponse() == asked.logout_user(token, refresh_token="unknown")

        refused(TokenRevoked, asked.get_logged_in_user, token)

    def test_a_login_of_nobodys_begins_a_session_that_a_logout_ends(self, use, service):
        """With its refresh token, and with another session of the same user beside."""
        asked = use(None)
        given, beside, other = (asked.login_user(LOGIN) for _ in range(3))
        assert 3 == len({g.refresh_token for g in (given, beside, other)} - {None})
        asked.logout_user(given.access_token, refresh_token=beside.refresh_token)

        for ended in (given, beside):
            refused(TokenRevoked, asked.get_logged_in_user, ended.access_token)
            refused(InvalidGrant, service.refresh, ended.refresh_token)
        assert "alice" == service.refresh(other.refresh_token).user.username

    @pytest.mark.parametrize("options", [{}, {"refresh_token": "unknown"}])
    def test_logging_out_without_an_access_token(self, asked, options):
        """There is nothing to end."""
        refused(InvalidToken, asked.logout_user, **options)


class TestOutages:
    @pytest.mark.parametrize("verb", ["login_user", "get_logged_in_user", "logout_user"])
    def test_a_store_that_is_down_refuses_nobody(self, use, service, monkeypatch, verb):
        """The service cannot decide, near or far (RULES 49)."""
        asked = use(None)
        token = asked.login_user(LOGIN).access_token

        def down(*args):
            raise AuthServiceUnavailable("the store is down", reason="store")

        for name in ("get_by_username", "get_by_id"):
            monkeypatch.setattr(service.users, name, down)

        with pytest.raises(AuthServiceUnavailable):
            getattr(asked, verb)(LOGIN if verb == "login_user" else token)


class TestFarAway:
    """What only `AuthServiceClient` can meet, with the service there."""

    def test_the_paths_are_the_services(self):
        """The table of the service has what the client asks for."""
        asked = {("POST", LOGIN_PATH), ("POST", LOGOUT_PATH), ("GET", ME_PATH)}

        assert asked <= {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}

    @pytest.mark.parametrize(
        "client",
        [
            SimpleNamespace(client_id="shop", client_secret="wrong"),
            SimpleNamespace(client_id="nobody", client_secret=SHOP.client_secret),
        ],
        ids=["wrong-secret", "unknown-client"],
    )
    def test_our_credentials_are_wrong(self, reach, client):
        """No user is told that their password is: 503, and a pause for logins alone."""
        token = reach(SHOP).login_user(LOGIN).access_token
        asked = reach(client)
        for request in (LOGIN, LoginRequest(username="alice", password="wrong")):
            with pytest.raises(AuthServiceUnavailable) as caught:
                asked.login_user(request)
            assert ("client_refused", 5.0) == (caught.value.reason, caught.value.retry_after)

        assert "alice" == asked.get_logged_in_user(token).username

    def test_a_mistaken_path(self, service):
        """404 says to check the issuer."""
        asked = AuthServiceClient(service.issuer + "/elsewhere", timeout=120)
        with pytest.raises(AuthServiceUnavailable, match="bad_response") as caught:
            asked.login_user(LOGIN)
        asked.close()

        assert "answered 404; check that the issuer" in caught.value.hint

    def test_many_threads_share_one_client(self, reach):
        """Each gets its own answer."""
        asked = reach(SHOP)
        right = [LOGIN, LoginRequest(username="alice", password="wrong")] * 20

        def attempt(request):
            try:
                return asked.login_user(request).user.username
            except AuthError as error:
                return type(error)

        with ThreadPoolExecutor(8) as threads:
            outcomes = list(threads.map(attempt, right))

        assert ["alice", InvalidCredentials] * 20 == outcomes

    def test_a_forked_child_asks_by_itself(self, reach):
        """Connections and locks of the parent stay the parent's (RULES 47)."""
        asked = reach(SHOP)
        token = asked.login_user(LOGIN).access_token
        asked.get_logged_in_user(token)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                user = asked.login_user(LOGIN).user
                status = 0 if user == asked.get_logged_in_user(token) else 2
            finally:
                os._exit(status)

        assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert "alice" == asked.get_logged_in_user(token).username


class TestFaults:
    """The same calls to servers that are not, or not quite, an auth service."""

    @pytest.fixture
    def server(self):
        with FakeAuthorizationServer() as server:
            yield server

    @pytest.fixture
    def make(self):
        made = []

        def make(server, **options):
            known = {"client_auth": ClientSecretBasic("shop", "a secret"), "timeout": 120} | options
            made.append(AuthServiceClient(server.issuer, **known))
            return made[-1]

        yield make
        for client in made:
            client.close()

    @pytest.fixture(params=["login", "me", "logout"])
    def verb(self, request):
        """Return a function that makes one kind of call, and the path it goes to."""
        calls = {
            "login": lambda client: client.login_user(LOGIN),
            "me": lambda client: client.get_logged_in_user("abc"),
            "logout": lambda client: client.logout_user("abc"),
        }
        return SimpleNamespace(call=calls[request.param], path=f"/{request.param}")

    def outage(self, verb, client, reason="bad_response"):
        with pytest.raises(AuthServiceUnavailable) as caught:
            verb.call(client)
        assert reason == caught.value.reason
        assert PASSWORD not in f"{caught.value.hint} {caught.value!r}"
        return caught.value

    def test_connection_refused(self, make, verb):
        """Nobody listens: said at once, with the URL, and tried again by the next call."""
        nowhere = SimpleNamespace(issuer=f"http://127.0.0.1:{free_port()}")
        began = time.monotonic()
        error = self.outage(verb, make(nowhere), "connect_failed")

        assert time.monotonic() - began < 60
        assert nowhere.issuer + verb.path in error.hint

    @pytest.mark.parametrize(
        ("status", "headers", "body"),
        [
            (503, {"Retry-After": "7"}, b""),
            (200, JSON, b"garbage"),
            (200, JSON, b"{}"),
            (200, {"Content-Type": "text/html"}, b"<html><form>Sign in</form></html>"),
            (200, JSON, b"<html><form>Sign in</form></html>"),
            (404, {"Content-Type": "text/html"}, b"<html>"),
            (401, {"WWW-Authenticate": 'Basic realm="proxy"'}, b""),
        ],
        ids=["503", "garbage", "empty", "html", "html-as-json", "404", "proxy"],
    )
    def test_answers_that_are_none(self, server, make, verb, status, headers, body):  # noqa: PLR0917
        """An outage, and one request only."""
        server.fail(verb.path, status, headers=headers, body=body)
        refused_client = (status, verb.path) == (401, "/login")
        self.outage(verb, make(server), "client_refused" if refused_client else "bad_response")

        assert 1 == len(server.requests())

    def test_redirect(self, server, make, verb):
        """The password goes to nobody but the configured service."""
        with FakeAuthorizationServer() as target:
            server.fail(verb.path, 307, headers={"Location": target.issuer + verb.path})
            error = self.outage(verb, make(server))

            assert [] == target.requests()
        assert "redirects are not followed" in error.hint

    def test_slow_server(self, server, make, verb):
        """The timeout is the deadline of the whole call."""
        server.fail(verb.path, None, delay=120)
        client = make(server, timeout=0.3)
        began = time.monotonic()
        self.outage(verb, client, "deadline")

        assert 0.3 <= time.monotonic() - began < 60

    def test_an_answer_that_is_too_large(self, server, make, verb):
        """It is not read to its end."""
        server.fail(verb.path, 200, headers=JSON, body=b'{"a":"' + b"x" * 100_000 + b'"}')
        self.outage(verb, make(server), "too_large")

    def test_a_lost_connection_is_not_tried_again(self, verb):
        """A password would count twice, and a logout would be refused as revoked."""
        accepted = []
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def hang_up():
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        accepted.append(connection.recv(65_536))
                    if not accepted[-1]:
                        return

            thread = threading.Thread(target=hang_up, daemon=True)
            thread.start()
            address = listener.getsockname()
            client = AuthServiceClient(f"http://127.0.0.1:{address[1]}", timeout=120)
            self.outage(verb, client, "connect_failed")
            client.close()
            socket.create_connection(address).close()
            thread.join()

        assert 2 == len(accepted)

    def test_a_server_that_keeps_failing_is_left_alone(self, server, make, verb):
        """After five failures in a row calls fail at once (RULES 25)."""
        server.fail(verb.path, 503, times=100)
        client = make(server)
        for _ in range(5):
            self.outage(verb, client)
        self.outage(verb, client, "circuit_open")

        assert 5 == len(server.requests())

    def test_failing_logins_leave_tokens_alone(self, server, make):
        """A flood of logins must not log out those who are logged in (RULES 25, 34)."""
        server.fail("/login", 503, times=100)
        server.fail("/me", 200, headers=JSON, body=b'{"id":"u1","username":"alice"}')
        client = make(server)
        for _ in range(6):
            with pytest.raises(AuthServiceUnavailable):
                client.login_user(LOGIN)

        assert "alice" == client.get_logged_in_user("abc").username

    def test_one_who_is_throttled_shuts_nobody_out(self, server, make):
        """Whoever guesses passwords is told to wait; the next person's login is sent (RULES 25)."""
        server.fail("/login", 429, times=20, headers={"Retry-After": "60"})
        client = make(server)
        for _ in range(20):
            with pytest.raises(TooManyAttempts) as caught:
                client.login_user(LOGIN)
            assert 60 == caught.value.retry_after
        server.fail("/login", 401, headers=JSON, body=b'{"error":"invalid_credentials"}')
        with pytest.raises(InvalidCredentials):
            client.login_user(LOGIN)

    def test_wrong_passwords_shut_nobody_out(self, server, make):
        """Refusals are answers, however many (RULES 25)."""
        body = b'{"error":"invalid_credentials"}'
        server.fail("/login", 401, times=20, headers=JSON, body=body)
        client = make(server)
        for _ in range(20):
            with pytest.raises(InvalidCredentials):
                client.login_user(LOGIN)

        assert 20 == len(server.requests())

    def test_a_service_that_comes_back_is_used_again(self, server, make, verb):
        """No restart is needed (RULES 50)."""
        server.fail(verb.path, 503)
        body = (
            b'{"id":"u1","username":"alice","message":"Bye.","access_token":"abc","expires_in":9,'
            b'"user":{"id":"u1","username":"alice"}}'
        )
        server.fail(verb.path, 200, headers=JSON, body=body)
        client = make(server)
        self.outage(verb, client)
        verb.call(client)

        assert 2 == len(server.requests())
