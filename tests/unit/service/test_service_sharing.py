"""What a revocation tells the resource servers (RULES 45, 48)."""

import hashlib
import logging

import pytest
from auth_services import OTHER_PASSWORD, PASSWORD, SECRET, Shared, log_in, login

from tokenward import _fork
from tokenward._log import OncePerMinute
from tokenward._spellings import spellings
from tokenward.clients import Client
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, InvalidToken
from tokenward.repositories import open_repositories
from tokenward.shared_cache import Revocations


class Tokens:
    """Another store of tokens; what ends something is written down in the same order."""

    def __init__(self, tokens, log):
        self.tokens, self.log = tokens, log

    def __getattr__(self, name):
        return getattr(self.tokens, name)

    def revoke(self, jti, expires_at):
        self.tokens.revoke(jti, expires_at)
        self.log.append(("revoke", jti))

    def end_family(self, sid):
        self.log.append(("end_family", sid))
        return self.tokens.end_family(sid)

    def end_all(self, subject):
        self.log.append(("end_all", subject))
        return self.tokens.end_all(subject)


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
    def sharing(self, make, log, shared, bus, clock):
        tokens = Tokens(open_repositories("memory://", clock=clock).tokens, log)
        clients = [Client("shop", SECRET, grants=["refresh_token", "client_credentials"])]
        service = make(tokens=tokens, shared_cache=shared, revocation_bus=bus, clients=clients)
        service.create_user("alice", email="alice@example.com", password=PASSWORD)
        return service

    def test_the_store_comes_first_then_the_cache_then_the_bus(self, sharing, log):
        """Who forgets a token asks again at once, and must not hear the old answer."""
        sharing.logout_user(login(sharing))

        # Twice: a token signed with ECDSA has a twin, which says the same.
        assert [call[0] for call in log] == ["end_family", "revoke", *(["set", "publish"] * 2)]

    @pytest.mark.parametrize(
        ("end", "stored"),
        [
            (
                lambda service, given: service.logout_user(refresh_token=given.refresh_token),
                ["end_family"],
            ),
            (
                lambda service, given: service.change_password(
                    given.access_token, PASSWORD, OTHER_PASSWORD
                ),
                ["end_all"],
            ),
            (
                lambda service, given: service.end_sessions(given.access_token),
                ["end_all", "revoke"],
            ),
            (
                lambda service, given: service.end_session(
                    given.access_token, service.sessions(given.access_token).sessions[0].sid
                ),
                ["end_family"],
            ),
            (lambda service, given: service.revoke_token(given.access_token), ["revoke"]),
            (lambda service, given: service.revoke_token(given.refresh_token), ["end_family"]),
        ],
        ids=["logout", "password", "sessions", "session", "revoked", "revoked-session"],
    )
    def test_whatever_ends_the_token_that_was_sent_takes_it_out_of_caches(
        self, sharing, log, end, stored
    ):
        """First the store, then the others, and nobody else's token."""
        given = log_in(sharing)
        log.clear()
        end(sharing, given)

        told = [call[0] for call in log]
        assert stored == told[: len(stored)]
        assert {"set", "publish"} == set(told[len(stored) :])

    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    def test_anothers_token_is_taken_out_of_no_cache(self, sharing, log, kind):
        """RFC 7009, section 2: a client's request about it does nothing at all."""
        given = log_in(sharing)
        log.clear()
        (shop,) = sharing.clients
        sharing.revoke_token(getattr(given, kind), client=shop)

        assert [] == log

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

        busy = Busy(open_repositories("memory://", clock=sharing.clock).tokens, log)
        service = make(
            users=sharing.users,
            keys=sharing.keys,
            tokens=busy,
            shared_cache=shared,
            revocation_bus=bus,
        )
        with pytest.raises(AuthServiceUnavailable):
            service.logout_user(login(service))

        assert [call[0] for call in log] == ["end_family"]

    def test_what_leaves_the_process_is_the_digest_of_the_token(self, sharing, shared, bus, log):
        """Verifiers know tokens by their SHA-256; whoever sees the bus learns nothing."""
        token = login(sharing)
        sharing.logout_user(token)
        digests = [hashlib.sha256(text.encode()).digest() for text in spellings(token)]
        received = []
        published = [call[1] for call in log if call[0] == "publish"]
        bus.subscribe = lambda callback, *, missed: [callback(one) for one in published]
        Revocations(shared, bus, clock=sharing.clock).subscribe(received.append, missed=list)
        everything = b"".join(part for call in log[2:] for part in call[1:])

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

        assert [call[0] for call in log] == ["end_family", "revoke", *(["set", "publish"] * 2)]


def _forget_what_was_logged():
    for thing in list(_fork._registered):
        if isinstance(thing, OncePerMinute):
            thing._last.clear()
