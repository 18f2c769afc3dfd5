"""app.py: the plain functions over a default service and authenticator."""

import inspect
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest

import tokenward
from tokenward import app
from tokenward.authenticator import Authenticator, Credential, authorization, cookie, header
from tokenward.by_issuer import ByIssuer
from tokenward.client_auth import ClientSecretBasic
from tokenward.config import Settings, build_service
from tokenward.config.build import initialize_store
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidCredentials,
    InvalidGrant,
    InvalidToken,
    RegistrationClosed,
    TokenExpired,
    TokenRevoked,
    UserAlreadyExists,
    UserNotFound,
)
from tokenward.introspection import IntrospectionClient, IntrospectionVerifier
from tokenward.principal import Principal
from tokenward.repositories import MemoryUserRepository
from tokenward.schemas import (
    IntrospectResponse,
    LoginRequest,
    LoginResponse,
    LogoutResponse,
    PublicUser,
    RegisterRequest,
    TokenPayload,
)
from tokenward.testing import (
    FakeAuthorizationServer,
    FakeClock,
    StubVerifier,
    override_authenticator,
)

ADA = RegisterRequest(username="ada", email="ada@example.org", password="quiet-harbour")
LOGIN = LoginRequest(username="ada", password="quiet-harbour")


def mapping(store="memory://", **service):
    """Return a configuration with a service and nothing else."""
    known = {
        "issuer": "https://auth.example",
        "audience": "orders",
        "store": store,
        "registration": "open",
        "password": {"bcrypt_cost": 4},
    }
    return {"service": known | service}


@pytest.fixture(autouse=True)
def _unconfigured(monkeypatch):
    """Start and leave each test with nothing configured."""
    monkeypatch.delenv("TOKENWARD_CONFIG", raising=False)
    app.configure()
    yield
    app.configure()


@pytest.fixture(params=["memory", "sqlite"])
def configured(request, tmp_path):
    """Configure a service over a store of either kind; return its mapping."""
    if request.param == "memory":
        settings = mapping()
    else:
        settings = mapping(f"sqlite:///{tmp_path}/tokenward.db")
        initialize_store(Settings.model_validate(settings))
    app.configure(settings)
    return settings


@pytest.fixture
def token(configured):
    """Register and log in; return the access token."""
    app.register_user(ADA)
    return app.login_user(LOGIN).access_token


def skipped(_method, _path):
    """Skip nothing."""
    return False


def ask(token, *, skip=skipped, method="GET", path="/orders"):
    """Authenticate a request."""
    return app.authenticate_request(skip, method=method, path=path, authorization_token=token)


def stub(outcome, *, source=None):
    """Return an authenticator that knows one token."""
    verifier = StubVerifier({"t": outcome})
    return Authenticator(Credential(source or authorization(), verifier))


# --- the default service


def test_from_registration_to_logout(configured):
    """The seed's functions, one after the other."""
    user = app.register_user(ADA)
    response = app.login_user(LOGIN)
    token = response.access_token
    answer = app.introspect_token(token)

    assert (PublicUser, LoginResponse, IntrospectResponse) == tuple(
        map(type, (user, response, answer))
    )
    assert ("ada", user) == (user.username, response.user)
    assert user == app.get_logged_in_user(token) == app.get_current_user(token)
    assert (True, user.id, "https://auth.example") == (answer.active, answer.sub, answer.iss)
    assert user == ask(token)
    assert isinstance(app.logout_user(token), LogoutResponse)
    assert not app.introspect_token(token).active
    for use in (app.get_logged_in_user, app.get_validated_token_payload, ask, app.logout_user):
        with pytest.raises(TokenRevoked):
            use(token)


def test_from_login_to_logout_by_refresh_tokens(configured):
    """A session goes on by `app.refresh`, and a refresh token alone ends it."""
    app.register_user(ADA)
    first = app.login_user(LOGIN)
    second = app.refresh(first.refresh_token)

    assert first.user == second.user == app.get_logged_in_user(second.access_token)
    assert isinstance(app.logout_user(refresh_token=second.refresh_token), LogoutResponse)
    for token in (first.access_token, second.access_token):
        with pytest.raises(TokenRevoked):
            app.get_validated_token_payload(token)
    with pytest.raises(InvalidGrant):
        app.refresh(second.refresh_token)


def test_refusals_are_the_services(configured):
    """What the service refuses, the functions refuse."""
    app.register_user(ADA)
    with pytest.raises(UserAlreadyExists):
        app.register_user(ADA)
    with pytest.raises(InvalidCredentials):
        app.login_user(LoginRequest(username="ada", password="wrong"))
    with pytest.raises(InvalidToken):
        app.get_logged_in_user("rubbish")
    with pytest.raises(InvalidToken):
        app.logout_user()
    assert IntrospectResponse(active=False) == app.introspect_token("rubbish")


def test_registration_is_closed_by_default():
    """Configuring a service opens nothing."""
    app.configure(mapping(registration="closed"))

    with pytest.raises(RegistrationClosed):
        app.register_user(ADA)


def test_another_repository_for_one_call(configured):
    """``repo=`` stands in for the default users, in every function that takes it."""
    repo = MemoryUserRepository(bcrypt_cost=4)
    user = app.register_user(ADA, repo)
    token = app.refresh(app.login_user(LOGIN, repo).refresh_token, repo).access_token

    assert 0 == app.get_user_repository().count()
    assert user == app.get_logged_in_user(token, repo) == app.get_current_user(token, repo)
    assert app.introspect_token(token, repo).active
    assert not app.introspect_token(token).active
    with pytest.raises(UserNotFound):
        app.get_logged_in_user(token)
    with pytest.raises(InvalidCredentials):
        app.login_user(LOGIN)


def test_another_repository_by_name(configured):
    """The seed's callers may write ``repo=``."""
    repo = MemoryUserRepository(bcrypt_cost=4)
    for function in ("register_user", "login_user", "get_logged_in_user", "introspect_token"):
        assert "repo" in inspect.signature(getattr(tokenward, function)).parameters
    user = app.register_user(ADA, repo=repo)

    assert user.id == repo.get_by_username("ada").id


def test_tokens_of_the_default_key(token):
    """Signed and read with the service's key, issuer and audience."""
    user = app.get_logged_in_user(token)
    made = app.create_access_token({"sub": user.id, "scope": "a"}, timedelta(seconds=60))
    payload = app.get_jwt_payload(made)

    assert TokenPayload is type(payload)
    assert (user.id, "https://auth.example", "orders", "a", 60) == (
        payload.sub,
        payload.iss,
        payload.aud,
        payload.scope,
        payload.exp - payload.iat,
    )
    assert payload == app.get_validated_token_payload(made)


def test_payload_and_validated_payload(token):
    """One checks the signature, the other what became of the token and its user too."""
    user = app.get_logged_in_user(token)
    app.get_user_repository().set_active(user.username, active=False)

    assert user.id == app.get_jwt_payload(token).sub
    with pytest.raises(UserNotFound):
        app.get_validated_token_payload(token)
    for use in (app.get_jwt_payload, app.get_validated_token_payload):
        with pytest.raises(InvalidToken):
            use(token[:-2])


def test_expired_tokens(configured):
    """An expired token is refused by each function, whatever its leeway."""
    clock = FakeClock(int(time.time()))  # what the store goes by, too
    default = app._defaults.service()
    service = type(default)(
        default.users,
        keys=default.keys,
        tokens=default.tokens,
        issuer="https://auth.example",
        audience="orders",
        registration="open",
        clock=clock,
    )
    app.configure(service=service)
    app.register_user(ADA)
    token = app.login_user(LOGIN).access_token
    assert ask(token)
    clock.advance(900 + 30)

    for use in (app.get_logged_in_user, app.get_validated_token_payload, ask):
        with pytest.raises(TokenExpired):
            use(token)
    assert not app.introspect_token(token).active


def test_the_repository_is_the_services(configured):
    """What it holds is what the functions made."""
    app.register_user(ADA)

    assert "ada" == app.get_user_repository().get_by_email("ada@example.org").username


# --- configuring

NEED_A_SERVICE = {
    "register_user": lambda: app.register_user(ADA),
    "login_user": lambda: app.login_user(LOGIN),
    "logout_user": lambda: app.logout_user("t"),
    "refresh": lambda: app.refresh("t"),
    "get_logged_in_user": lambda: app.get_logged_in_user("t"),
    "get_current_user": lambda: app.get_current_user("t"),
    "introspect_token": lambda: app.introspect_token("t"),
    "create_access_token": lambda: app.create_access_token({"sub": "u"}),
    "get_jwt_payload": lambda: app.get_jwt_payload("t"),
    "get_validated_token_payload": lambda: app.get_validated_token_payload("t"),
    "get_user_repository": app.get_user_repository,
}
NEED_AN_AUTHENTICATOR = {
    "authenticate_request": lambda: ask("t"),
    "introspect_configured": lambda: app.introspect_configured("t"),
}


@pytest.mark.parametrize("name", NEED_A_SERVICE | NEED_AN_AUTHENTICATOR)
def test_nothing_configured_says_so(name):
    """Each function says how to configure it, and no refusal of a token is made of it."""
    with pytest.raises(ConfigurationError) as caught:
        (NEED_A_SERVICE | NEED_AN_AUTHENTICATOR)[name]()

    assert "tokenward.configure(" in str(caught.value)
    assert "TOKENWARD_CONFIG" in str(caught.value)


@pytest.mark.parametrize("name", NEED_A_SERVICE)
def test_configured_without_a_service_says_so(name):
    """A configuration that only verifies has no service to register anybody with."""
    app.configure({"credentials": []})

    with pytest.raises(ConfigurationError, match="no section 'service'"):
        NEED_A_SERVICE[name]()


def test_the_file_of_the_environment(tmp_path, monkeypatch):
    """Without a call, the file that TOKENWARD_CONFIG names is read, on first use and once."""
    store = f"sqlite:///{tmp_path}/tokenward.db"
    initialize_store(Settings.model_validate(mapping(store)))
    file = tmp_path / "tokenward.toml"
    file.write_text(
        f"""
        [service]
        issuer = "https://auth.example"
        audience = "orders"
        store = "{store}"
        registration = "open"
        password = {{ bcrypt_cost = 4 }}
        """,
        "utf-8",
    )
    monkeypatch.setenv("TOKENWARD_CONFIG", str(file))
    user = app.register_user(ADA)
    token = app.login_user(LOGIN).access_token
    assert user == ask(token)
    file.unlink()

    assert user == app.get_logged_in_user(token) == ask(token)


@pytest.mark.parametrize("parse", [lambda m: m, Settings.model_validate], ids=["mapping", "parsed"])
def test_configure_takes_either(parse):
    """A mapping, or settings that were parsed before."""
    app.configure(parse(mapping()))

    assert "ada" == app.register_user(ADA).username


def test_configure_replaces_everything():
    """What was made from the configuration before is gone."""
    app.configure(mapping())
    app.register_user(ADA)
    first = app.get_user_repository()
    app.configure(mapping())

    assert first is not app.get_user_repository()
    assert 0 == app.get_user_repository().count()


def test_a_wrong_configuration_leaves_the_old_one():
    """It is refused when it is handed in, and what stood before stands."""
    app.configure(mapping())
    repository = app.get_user_repository()
    with pytest.raises(ConfigurationError, match="did you mean 'realm'"):
        app.configure({"relm": "x"})

    assert repository is app.get_user_repository()


def test_a_service_of_your_own():
    """A service that the application made serves the functions, and verifies requests."""
    service = build_service(Settings.model_validate(mapping()))
    app.configure(service=service)
    user = app.register_user(ADA)
    token = app.login_user(LOGIN).access_token

    assert service.users is app.get_user_repository()
    assert user == ask(token) == app.get_logged_in_user(token)


def test_an_authenticator_of_your_own():
    """It decides about requests; the service is the configuration's all the same."""
    app.configure(mapping(), authenticator=stub(Principal("u1", username="eve")))

    assert "eve" == ask("t").username
    assert "ada" == app.register_user(ADA).username


def test_a_service_beside_settings():
    """Local credentials of the settings verify the tokens of the service that was handed in."""
    service = build_service(Settings.model_validate(mapping()))
    app.configure(mapping() | {"credentials": [{"type": "local"}]}, service=service)
    user = app.register_user(ADA)

    assert user == ask(app.login_user(LOGIN).access_token)
    assert 1 == service.users.count()


def test_the_defaults_are_made_once(configured):
    """Threads that come first together share one service and one authenticator."""
    barrier, made = threading.Barrier(16), []

    def use():
        barrier.wait(90)
        made.append((app._defaults.service(), app._defaults.authenticator()))

    threads = [threading.Thread(target=use) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)

    assert 16 == len(made)
    assert 1 == len(set(made))


def test_a_store_that_is_missing_is_asked_for_again(tmp_path):
    """A start that failed is tried again: the operator may have mended it meanwhile."""
    settings = mapping(f"sqlite:///{tmp_path}/tokenward.db")
    app.configure(settings)
    with pytest.raises(ConfigurationError):
        app.get_user_repository()
    initialize_store(Settings.model_validate(settings))

    assert 0 == app.get_user_repository().count()


def test_a_forked_child_makes_its_own_lock():
    """A lock held by another thread at the fork is not waited for in the child."""
    defaults = app._Defaults()
    old = defaults._lock
    defaults.after_fork()

    assert old is not defaults._lock


# --- authenticate_request


@pytest.mark.parametrize("skip", [True, lambda method, path: (method, path) == ("GET", "/health")])
@pytest.mark.parametrize("token", [None, "", "t", "bad"])
def test_none_only_when_skipped(skip, token):
    """Skipped means that the token is not looked at, good or bad."""
    app.configure(authenticator=stub(Principal("u1")))

    assert ask(token, skip=skip, path="/health") is None


@pytest.mark.parametrize("skip", [False, lambda method, path: path == "/health"])
def test_not_skipped(skip):
    """A function gets the method and the path, and its answer counts."""
    app.configure(authenticator=stub(Principal("u1")))

    assert isinstance(ask("t", skip=skip), PublicUser)


@pytest.mark.parametrize("token", [None, ""])
def test_a_missing_token_is_refused(token):
    """Missing is InvalidToken here, as in the seed."""
    app.configure(authenticator=stub(Principal("u1")))

    with pytest.raises(InvalidToken):
        ask(token)


@pytest.mark.parametrize(
    "error", [InvalidToken("x"), TokenExpired("x"), AuthServiceUnavailable("x")]
)
def test_refusals_and_outages_stay_apart(error):
    """What the verifier says is what the caller gets."""
    app.configure(authenticator=stub(error))

    with pytest.raises(type(error)):
        ask("t")


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        (
            Principal("u1", user=PublicUser(id="u1", username="ada", roles=("r",))),
            PublicUser(id="u1", username="ada", roles=("r",)),
        ),
        (
            Principal("u1", username="eve", email="eve@example.org", roles=["admin"]),
            PublicUser(username="eve", email=None, is_active=True),
        ),
        (Principal("client:job"), PublicUser(username="client:job", email=None, is_active=True)),
    ],
    ids=["user", "username", "subject"],
)
def test_a_user_for_every_token(principal, expected):
    """The issuer's user, or one of nothing but a name: another issuer's id is none of ours."""
    app.configure(authenticator=stub(principal))

    assert expected == ask("t")


def test_the_header_decides():
    """The token came in Authorization, so what reads that place verifies it, wherever it stands."""
    app.configure(
        authenticator=Authenticator(
            Credential(cookie("session"), StubVerifier({"t": Principal("cookie")})),
            Credential(authorization(), StubVerifier({"t": Principal("header")})),
        )
    )

    assert "header" == ask("t").username


@pytest.mark.parametrize(
    "authenticator", [Authenticator(), stub(Principal("u1"), source=header("X-Token"))]
)
def test_nothing_reads_the_header(authenticator):
    """Without a verifier for that place there is nobody to ask: a misconfiguration, not a user."""
    app.configure(authenticator=authenticator)

    with pytest.raises(ConfigurationError, match="Authorization"):
        ask("t")


def test_only_the_seeds_positions():
    """The signature is the contract's."""
    parameters = inspect.signature(app.authenticate_request).parameters.values()

    assert [
        ("should_skip_authentication", inspect.Parameter.POSITIONAL_OR_KEYWORD),
        ("method", inspect.Parameter.KEYWORD_ONLY),
        ("path", inspect.Parameter.KEYWORD_ONLY),
        ("authorization_token", inspect.Parameter.KEYWORD_ONLY),
    ] == [(p.name, p.kind) for p in parameters]


# --- the seed's remote introspection


@pytest.fixture
def remote():
    """Run an authorization server; return it and a verifier of it."""
    with FakeAuthorizationServer() as server:
        client = IntrospectionClient(
            server.introspection_endpoint,
            client_auth=ClientSecretBasic(server.client_id, server.client_secret),
        )
        verifier = IntrospectionVerifier(client, audience=server.audience)
        yield server, verifier
        verifier.close()


@pytest.mark.parametrize("joined", [False, True])
def test_the_configured_endpoint_is_asked(remote, joined):
    """`tokenward.introspection.introspect_token` returns its payload as plain JSON, uncached."""
    from tokenward.introspection import introspect_token

    server, verifier = remote
    if joined:
        verifier = ByIssuer({"https://a.example": StubVerifier({})}, otherwise=verifier)
    app.configure(authenticator=Authenticator(Credential(authorization(), verifier)))
    token = server.token(opaque=True, roles=["a"])
    said = introspect_token(token)
    said["roles"].append("mine")

    assert (dict, True, ["a"]) == (type(said), said["active"], introspect_token(token)["roles"])
    server.revoke(token)
    assert {"active": False} == introspect_token(token)
    with pytest.raises(InvalidToken):
        introspect_token("not a token")


def test_no_endpoint_is_configured():
    """Without one there is nothing to ask, and the message says so."""
    app.configure(authenticator=stub(Principal("u1")))

    with pytest.raises(ConfigurationError, match="type 'introspection'"):
        app.introspect_configured("t")


def test_an_endpoint_that_is_down(remote):
    """An outage is an outage, never an inactive token."""
    server, verifier = remote
    server.fail(server.introspection_endpoint, status=500)
    app.configure(authenticator=Authenticator(Credential(authorization(), verifier)))

    with pytest.raises(AuthServiceUnavailable):
        app.introspect_configured("t")


def test_other_names_of_the_module():
    """Nothing but the one name is resolved there."""
    from tokenward import introspection

    assert introspection.introspect_token is app.introspect_configured
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = introspection.nothing


def test_the_root_has_the_same_functions():
    """The root's names are these functions."""
    for name in (
        *("configure", "register_user", "login_user", "logout_user", "get_logged_in_user"),
        *("introspect_token", "authenticate_request"),
    ):
        assert getattr(app, name) is getattr(tokenward, name)


def test_importing_makes_nothing():
    """No file is read and no store is opened before something is used."""
    script = "import tokenward.app; print(tokenward.app._defaults._service)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"TOKENWARD_CONFIG": "/no/such/file"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "None\n", "") == (done.returncode, done.stdout, done.stderr)


def test_a_payload_of_odd_claims_is_an_invalid_token(configured):
    """Claims that our own tokens never have; no foreign exception, nothing of them repeated."""
    user = app.register_user(ADA)
    token = app.create_access_token({"sub": user.id, "scope": ["a", "b"]})
    with pytest.raises(InvalidToken) as caught:
        app.get_validated_token_payload(token)
    assert "malformed" == caught.value.reason


def test_an_override_needs_no_configuration():
    """A test that puts an authenticator in force has said all there is to say."""
    verifier = StubVerifier({"t": Principal("u1", username="ada")})
    with override_authenticator(Authenticator(Credential(authorization(), verifier))):
        assert "ada" == ask("t").username
