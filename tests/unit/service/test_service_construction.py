"""What a service may be made of."""

import pytest
from auth_services import ISSUER, SECRET, registration

from tokenward.clients import Client
from tokenward.config import Settings, build_service
from tokenward.errors import ConfigurationError, RegistrationClosed
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.schemas import LoginRequest
from tokenward.service import FIRST_PARTY_CLIENT_ID, AuthService


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
            {"common_passwords": "no"},
            {"refresh_token_lifetime": -1},
            {"refresh_token_lifetime": 899},
            {"refresh_token_lifetime": 1e6},
            {"refresh_token_lifetime": True},
            {"session_lifetime": 899},
            {"session_lifetime": -1},
            {"session_lifetime": None},
            {"trusted_proxies": "10.0.0.0/8"},
            {"trusted_proxies": ""},
            {"trusted_proxies": ["10.0.0.1/8"]},
            {"trusted_proxies": ["proxy.example"]},
            {"trusted_proxies": ["unix", "proxy.example"]},
            {"trusted_proxies": ["UNIX"]},
            {"trusted_proxies": [None]},
            {"trusted_proxies": None},
            {
                "clients": [
                    Client("desk", SECRET, grants=["refresh_token"], access_token_lifetime=28_800)
                ],
                "refresh_token_lifetime": 28_799,
            },
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

    @pytest.mark.parametrize(
        "options",
        [
            {"refresh_token_lifetime": None, "session_lifetime": 1},
            {"refresh_token_lifetime": 0, "session_lifetime": 1},
            {"refresh_token_lifetime": 900, "session_lifetime": 900},
            {
                "clients": [Client("desk", SECRET, access_token_lifetime=28_800)],
                "refresh_token_lifetime": 28_799,
            },
        ],
    )
    def test_a_session_has_to_outlive_the_access_tokens_of_sessions_only(self, make, options):
        """A client whose tokens belong to no session may have them for as long as it likes."""
        assert "orders" == make(**options).audience

    @pytest.mark.parametrize(
        "options",
        [
            {"access_token_lifetime": 28_800},
            {"clients": [Client("desk", SECRET, access_token_lifetime=28_800)]},
        ],
    )
    def test_its_keys_outlast_its_tokens(self, make, clock, options):
        """Whatever the ring was told before: a retired key is published until the last expires."""
        store = open_repositories("memory://", bcrypt_cost=4, clock=clock).keys
        KeyRing.create(store, clock=clock)
        service = make(keys=KeyRing.load(store, clock=clock), **options)
        before = service.keys.current.kid
        service.keys.rotate(force=True)
        clock.now += 28_800
        assert before in service.keys.kids()

    def test_a_ring_that_rotates_too_often_for_its_tokens_stops_start_up(self, make, clock):
        """More keys would be published than others read."""
        store = open_repositories("memory://", bcrypt_cost=4, clock=clock).keys
        KeyRing.create(store, clock=clock)
        keys = KeyRing.load(store, rotate_every=3_600, clock=clock)
        with pytest.raises(ConfigurationError, match="at least 6176 seconds"):
            make(keys=keys, access_token_lifetime=604_800)

    def test_what_is_given_can_be_read(self, make, throttle, post):
        """Endpoints and commands go by it."""
        options = {
            "throttle": throttle,
            "trusted_proxies": ("10.0.0.0/8", "::1", "unix"),
            "session_lifetime": 7_200,
            "refresh_token_lifetime": 3_600,
            "password_min_length": 8,
            "common_passwords": True,
            "registration": "closed",
            "deliver": post,
        }
        service = make(**options)

        assert options == {name: getattr(service, name) for name in options}

    def test_every_proxy_that_the_settings_take_is_taken(self):
        """A server on a Unix socket has a proxy without an address (RULES 40)."""
        section = {
            "issuer": ISSUER,
            "audience": "orders",
            "store": "memory://",
            "trusted_proxies": ["unix", "10.0.0.1", "fd00::/8"],
        }
        service = build_service(Settings.model_validate({"service": section}))

        assert ("unix", "10.0.0.1", "fd00::/8") == service.trusted_proxies


class TestWrongParts:
    """What a program hands over by mistake is told at once, and never shown."""

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            ("claims", 5),
            ("deliver", "send it"),
            ("on_event", 5),
            ("throttle", 5),
            ("clients", ["shop"]),
            ("clients", "shop"),
        ],
    )
    def test_it_stops_the_start(self, make, name, wrong):
        """With a sentence that names the argument."""
        with pytest.raises(ConfigurationError, match=name):
            make(**{name: wrong})

    def test_a_hook_may_have_nothing_to_say(self, make):
        """Which is what a function without a return says."""
        service = make(claims=lambda _user: None)
        service.create_user("zoe", email="zoe@example.com", password="orchid-7")

        assert service.login_user(LoginRequest(username="zoe", password="orchid-7")).scope is None
