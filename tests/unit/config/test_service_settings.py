"""The section service: what is written reaches the service, and what cannot be meant stops it."""

import json
import sys

import pytest
from configurations import SECRET, parsed, refused, service
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tokenward.commands.setup import check
from tokenward.config import build_service
from tokenward.config.build import initialize_store, open_keys, service_on
from tokenward.errors import ConfigurationError, InvalidRequest
from tokenward.repositories import open_repositories
from tokenward.schemas import LoginRequest

MODULE = """
sent = []

def deliver(purpose, user, token):
    sent.append((purpose, user.username, token))

def claims(user):
    return {"scope": "orders:read"}

def nothing():
    raise AssertionError("is not called")

async def later(purpose, user, token):
    raise AssertionError("is not called")

class Deliver:
    def __init__(self, purpose, user, token):
        raise AssertionError("is not called")

    def method(self, user):
        raise AssertionError("is not called")

VALUE = 5
"""


@pytest.fixture
def functions(monkeypatch, tmp_path):
    """A module of an application's own."""
    (tmp_path / "lantern_shop.py").write_text(MODULE)
    (tmp_path / "broken_shop.py").write_text(f"raise RuntimeError('{SECRET}')")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("lantern_shop", "broken_shop"):
        sys.modules.pop(name, None)


def pem(path, key=None):
    key = ec.generate_private_key(ec.SECP256R1()) if key is None else key
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def key_set():
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    from jwt.algorithms import ECAlgorithm

    return {"keys": [json.loads(ECAlgorithm.to_jwk(numbers.public_key())) | {"kid": "a"}]}


# --- what arrives


def test_lifetimes_policy_and_proxies_arrive():
    """As they are written."""
    ours = build_service(
        parsed(
            service=service(
                refresh_token_lifetime=7_200,
                session_lifetime=86_400,
                password={"bcrypt_cost": 4, "common": True},
                trusted_proxies=["10.0.0.0/8", "::1"],
            )
        )
    )
    assert (7_200, 86_400) == (ours.refresh_token_lifetime, ours.session_lifetime)
    assert ("10.0.0.0/8", "::1") == tuple(ours.trusted_proxies)
    assert ours.create_user("ada", email="ada@example.org", password="123456").is_active


@pytest.mark.parametrize(
    ("written", "expected"),
    [("orders", "orders"), (["orders"], "orders"), (["orders", "stock"], ["orders", "stock"])],
)
def test_several_audiences_are_all_in_each_token(written, expected):
    """One is the string that it is everywhere else."""
    ours = build_service(parsed(service=service(audience=written)))
    ours.create_user("ada", email="ada@example.org", password="lantern-9")
    token = ours.login_user(LoginRequest(username="ada", password="lantern-9")).access_token
    told = ours.introspect_token(token)
    assert (True, expected) == (told.active, told.aud)


@pytest.mark.parametrize("audience", ["", [], [""], ["orders", ""], None, 5])
def test_an_audience_has_a_name(audience):
    """Nobody's tokens are for nobody."""
    assert "service.audience" in refused({"service": service(audience=audience)})


@pytest.mark.parametrize("off", [0, None, False])
def test_refresh_tokens_are_handed_out_unless_that_is_written(off):
    """None in Python, false in TOML, 0 in both."""
    ours = build_service(parsed(service=service(refresh_token_lifetime=off)))
    ours.create_user("ada", email="ada@example.org", password="lantern-9")
    assert ours.login_user(LoginRequest(username="ada", password="lantern-9")).refresh_token is None


@pytest.mark.parametrize("lifetime", [True, -1, "no", 1.5])
def test_a_lifetime_is_a_number(lifetime):
    """True is none."""
    told = refused({"service": service(refresh_token_lifetime=lifetime)})
    assert "service.refresh_token_lifetime" in told


def test_common_passwords_are_refused_unless_that_is_written():
    """The default is the careful one."""
    ours = build_service(parsed(service=service()))
    with pytest.raises(InvalidRequest):
        ours.create_user("ada", email="ada@example.org", password="123456")


def test_functions_arrive(functions):
    """They are imported when the service is built."""
    ours = build_service(
        parsed(service=service(deliver="lantern_shop:deliver", claims="lantern_shop:claims"))
    )
    shop = sys.modules["lantern_shop"]
    assert shop.deliver == ours.deliver
    ours.create_user("ada", email="ada@example.org", password="lantern-9")
    login = ours.login_user(LoginRequest(username="ada", password="lantern-9"))
    assert "orders:read" == login.scope


@pytest.mark.parametrize(
    ("setting", "written", "message"),
    [
        ("deliver", "lantern_shop", "service.deliver: 'lantern_shop' is not MODULE:NAME"),
        ("deliver", "nowhere_shop:f", "cannot be imported (ModuleNotFoundError"),
        ("deliver", "lantern_shop:missing", "cannot be imported (AttributeError)"),
        ("deliver", "broken_shop:f", "cannot be imported (RuntimeError)"),
        ("deliver", "lantern_shop:VALUE", "is no function; write MODULE:NAME of a function of"),
        ("deliver", "lantern_shop:later", "is async"),
        ("deliver", "lantern_shop:Deliver", "is a class"),
        ("deliver", "lantern_shop:nothing", "cannot be called with (purpose, user, token)"),
        ("claims", "lantern_shop:deliver", "service.claims: 'lantern_shop:deliver' cannot be"),
        ("claims", "lantern_shop:Deliver.method", "cannot be called with (user)"),
    ],
)
def test_functions_that_cannot_be_called_stop_the_start(functions, setting, written, message):
    """The setting, and what to write; nothing of what a module said."""
    with pytest.raises(ConfigurationError) as caught:
        check(parsed(service=service(**{setting: written})))
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("off", [None, False])
def test_the_throttle_is_on_unless_that_is_written(off):
    """None in Python, false in TOML."""
    assert build_service(parsed(service=service())).throttle is not None
    assert build_service(parsed(service=service(throttle=off))).throttle is None


def test_without_the_extra_a_throttled_service_does_not_start(monkeypatch):
    """The message says what to install, and what to write instead; without a throttle it starts."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "limits"]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("tokenward.throttle.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "limits", None)
    with pytest.raises(ConfigurationError) as caught:
        build_service(parsed(service=service()))
    assert "service.throttle: " in str(caught.value)
    assert "tokenward[throttle]" in str(caught.value)
    assert "throttle = false" in str(caught.value)
    assert build_service(parsed(service=service(throttle=False))).throttle is None


@pytest.mark.parametrize(
    ("throttle", "message"),
    [
        ({"storage": f"postgres://u:{SECRET}@db/x"}, "service.throttle.storage: "),
        ({"storage": ""}, "service.throttle.storage: "),
        ({"per_name": "many"}, "service.throttle.per_name: 'many' is no rate"),
        ({"per_adress": "5/minute"}, "did you mean 'per_address'?"),
        (True, "service.throttle: "),
        (0, "service.throttle: "),
    ],
    ids=str,
)
def test_a_throttle_that_cannot_be_meant(throttle, message):
    """By its path; the URL of a storage may hold a password."""
    told = refused({"service": service(throttle=throttle)})
    assert message in told
    assert SECRET not in told


@pytest.mark.parametrize("proxy", ["proxy.example", "10.0.0.0/33", "10.0.0.5/8", ""])
def test_a_proxy_is_an_address_or_a_network(proxy):
    """A name could be anybody's."""
    assert "service.trusted_proxies: " in refused({"service": service(trusted_proxies=[proxy])})


# --- the store


def test_a_store_may_be_named_elsewhere(monkeypatch, tmp_path):
    """In the environment or in a file, for the password in it."""
    url = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("STORE_URL", url)
    (tmp_path / "url").write_text(f"{url}\n")
    for written in ({"env": "STORE_URL"}, {"file": str(tmp_path / "url")}, url):
        settings = parsed(service=service(store=written))
        assert url == settings.service.store.get_secret_value()
        assert not settings.service.in_memory
        initialize_store(settings)
        assert (tmp_path / "store.db").exists()


def test_the_url_of_a_store_is_shown_nowhere():
    """Neither in a repr nor in what is dumped."""
    settings = parsed(service=service(store=f"mongodb://u:{SECRET}@db.example/tokenward"))
    assert SECRET not in f"{settings!r} {settings.service} {settings.model_dump()!r}"
    assert settings.service.store.hides_something
    told = refused({"service": service(store=f"mongodb://u:{SECRET}@db.example")})
    assert "service.store: " in told
    assert SECRET not in told


def test_a_service_may_stand_on_a_store_that_is_open():
    """Whoever opened it closes it."""
    repositories = open_repositories("memory://", bcrypt_cost=4)
    ours = service_on(repositories, parsed(service=service()))
    assert (repositories.users, repositories.tokens) == (ours.users, ours.tokens)


# --- keys


@pytest.mark.parametrize("seconds", [-1, True, 1.5, "600"])
def test_a_rotation_is_after_whole_seconds(seconds):
    """0 is never."""
    told = refused({"service": service(keys={"rotate_every": seconds})})
    assert "service.keys.rotate_every: " in told


@pytest.mark.parametrize(
    ("lifetime", "seconds", "least"),
    [
        (900, 1, 360),
        (900, 359, 360),
        (604_800, 3_600, 6_176),
        pytest.param(10**400, 3_600, 1020408163, id="more than a float holds"),
    ],
)
def test_a_rotation_leaves_time_for_the_keys_to_be_known(lifetime, seconds, least):
    """Before the first use of one, and while all are published whose tokens are good."""
    desk = {"client_id": "desk", "client_secret": SECRET, "access_token_lifetime": lifetime}
    told = refused({"service": service(keys={"rotate_every": seconds}, clients=[desk])})
    assert f"service: keys.rotate_every must be at least {least}" in told


def test_keys_in_memory_are_kept_as_others_are():
    """A rotation goes by the lifetime of the tokens, and by the algorithm."""
    section = parsed(service=service(access_token_lifetime=28_800)).service
    repositories = open_repositories("memory://", bcrypt_cost=4)
    open_keys(section, repositories).rotate(force=True)
    (retired,) = [key for key in repositories.keys.load()[1] if key.state == "retired"]
    assert 28_800 < retired.published_until - retired.created_at


@pytest.mark.parametrize("seconds", [0, 360])
def test_rotations_that_can_be_meant(seconds):
    """Both ends."""
    settings = parsed(service=service(keys={"rotate_every": seconds}))
    assert seconds == settings.service.keys.rotate_every


def test_keys_may_be_in_files(tmp_path):
    """The service signs with the current one and publishes all; the store gets none."""
    files = {
        "current": pem(tmp_path / "current.pem"),
        "next": pem(tmp_path / "next.pem"),
        "retired": [pem(tmp_path / "retired.pem")],
    }
    store = f"sqlite:///{tmp_path}/store.db"
    settings = parsed(service=service(store=store, keys={"files": files}))
    assert [True, False] == [initialize_store(settings), initialize_store(settings)]
    ours = build_service(settings)
    assert 3 == len(ours.keys.kids())
    repositories = open_repositories(store, create=False)
    assert [] == repositories.keys.load()[1]
    repositories.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"secrets": [SECRET]}, "neither sealed nor rotated"),
        ({"rotate_every": 86_400}, "neither sealed nor rotated"),
    ],
)
def test_keys_are_in_one_place(tmp_path, change, message):
    """What is about keys in the store has no meaning for those in files."""
    files = {"current": pem(tmp_path / "current.pem")}
    assert message in refused({"service": service(keys={"files": files, **change})})


def test_a_key_file_that_others_can_read_stops_the_start(tmp_path):
    """With the command that closes it."""
    path = pem(tmp_path / "current.pem")
    (tmp_path / "current.pem").chmod(0o640)
    told = refused({"service": service(keys={"files": {"current": path}})})
    assert f"chmod 600 {path}" in told


def test_a_key_file_that_is_none_makes_no_store_of_use(tmp_path):
    """The message names the file."""
    (tmp_path / "current.pem").write_text("no key")
    (tmp_path / "current.pem").chmod(0o600)
    settings = parsed(service=service(keys={"files": {"current": str(tmp_path / "current.pem")}}))
    with pytest.raises(ConfigurationError, match=r"current\.pem"):
        build_service(settings)


# --- clients


def test_a_client_may_have_keys_instead_of_a_secret(key_set):
    """The settings keep a copy of their own; JSON of them shows no more than is public."""
    written = {"client_id": "b", "jwks": key_set, "grants": ["client_credentials"]}
    settings = parsed(service=service(clients=[written]))
    key_set["keys"].clear()
    ours = build_service(settings)
    (client,) = ours.clients
    assert client.client_secret is None
    assert 1 == len(settings.service.clients[0].jwks["keys"])


@pytest.mark.parametrize(
    ("client", "message"),
    [
        ({"client_id": "b"}, "service.clients[0]: has nothing to authenticate with"),
        ({"client_id": "b", "client_secret": SECRET, "grants": ["password"]}, "grants[0]: "),
        ({"client_id": "b", "client_secret": SECRET, "grants": "implicit"}, "grants[0]: "),
        ({"client_id": "b", "jwks": "keys"}, "service.clients[0].jwks: "),
    ],
)
def test_a_client_that_cannot_be_meant(client, message):
    """With the path of the setting."""
    assert message in refused({"service": service(clients=[client])})


def test_a_clients_keys_that_are_none_are_named_by_their_client():
    """What the settings cannot know fails when the service is built."""
    bad = {"client_id": "b", "jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}
    good = {"client_id": "a", "client_secret": SECRET}
    with pytest.raises(ConfigurationError, match=r"^service\.clients\[1\]"):
        check(parsed(service=service(clients=[good, bad])))


@pytest.mark.parametrize(
    ("store", "hides"),
    [
        ("sqlite:///folder@home/store.db", False),
        ("memory://", False),
        ("mongodb://db.example/tokenward", False),
        ("mongodb://u:p@db.example/tokenward", True),
    ],
)
def test_a_url_is_worth_hiding_with_a_password_in_it(store, hides):
    """A path is none, whatever letters it has."""
    assert hides is parsed(service=service(store=store)).service.store.hides_something
