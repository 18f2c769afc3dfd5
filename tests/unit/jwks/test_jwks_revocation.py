"""Tokens that were revoked: refused here, and in every process on the bus (RULES 45, 47, 48)."""

import logging

import pytest
from sites import said

from tokenward import _jose
from tokenward._spellings import spellings
from tokenward.errors import AuthServiceUnavailable, ConfigurationError, TokenRevoked
from tokenward.jwks import JWKSVerifier, memory
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.schemas import LoginRequest
from tokenward.service import AuthService
from tokenward.testing import MemoryRevocationBus

PASSWORD = "correct horse battery"
SECRETS = ["quartz-lantern-9f8a77e1"]


def is_revoked(verifier, token):
    """Tell whether a token is refused as revoked, by either way of asking."""
    ways = []
    for ask in (verifier.verify, verifier.cached):
        try:
            ask(token)
        except TokenRevoked as refusal:
            ways.append(refusal.reason)
    assert ways in ([], ["revoked", "revoked"])
    return bool(ways)


def revoked(verifier, tokens):
    """Tell of each token whether it is refused."""
    return [is_revoked(verifier, token) for token in tokens]


# --- here


@pytest.mark.parametrize("cache_entries", [0, 100])
def test_a_revoked_token_is_refused(make, issuer, cache_entries):
    """Whether it was seen before or not; and no other one."""
    verifier = make(cache_entries=cache_entries)
    seen, unseen, other = (issuer.token(jti=jti) for jti in "abc")
    verifier.verify(seen)
    for token in (seen, unseen):
        verifier.invalidate(token)

    assert [True, True, False] == revoked(verifier, [seen, unseen, other])


@pytest.mark.parametrize("which", [0, 1])
def test_both_spellings_of_a_signature(make, issuer, which):
    """Revoking either revokes both: whoever holds one can write the other."""
    verifier = make()
    both = spellings(issuer.token())
    assert 2 == len(both)
    for token in both:
        verifier.verify(token)
    verifier.invalidate(both[which])

    assert [True, True] == revoked(verifier, both)


def test_a_revocation_outlives_keys_and_cache(verifier, issuer, clock):
    """Neither a refresh nor a close brings it back."""
    token = issuer.token()
    verifier.invalidate(token)
    verifier.refresh()
    assert is_revoked(verifier, token)
    verifier.close()
    clock.advance(1_000)

    assert is_revoked(verifier, token)


@pytest.mark.parametrize("token", [None, 7, b"a.b.c", "", "a.b.c", "\udc00", "é", ".", object()])
def test_what_is_no_token_can_be_revoked(make, bus, token):
    """It never raises."""
    make(revocation_bus=bus).invalidate(token)
    make().invalidate(token)


def test_a_revocation_while_the_token_is_being_checked(verifier, issuer, site, keys):
    """The check that began before may end well, but nothing of it is kept (RULES 45)."""
    token = issuer.token()

    def page():
        verifier.invalidate(token)
        return said({"keys": [_jose.public_jwk(keys.old)]})

    site[issuer.jwks_uri] = page
    assert "u1" == verifier.verify(token).subject

    assert (True, 0) == (is_revoked(verifier, token), verifier.stats().entries)


def test_a_revocation_while_the_keys_are_looked_at(verifier, issuer, site, clock, keys):
    """What is cached is not served after it, although the keys turn out to be the same."""
    token = issuer.token()
    verifier.verify(token)
    clock.advance(850)

    def page():
        verifier.invalidate(token)
        return said({"keys": [_jose.public_jwk(keys.old)]})

    site[issuer.jwks_uri] = page
    with pytest.raises(TokenRevoked):
        verifier.verify(token)

    assert (True, 0) == (is_revoked(verifier, token), verifier.stats().entries)


# --- bounds


def test_the_oldest_go_first_and_a_warning_says_so(make, issuer, monkeypatch, caplog):
    """What is remembered is bounded; naming one twice takes no second place."""
    monkeypatch.setattr(memory, "MAX_DENIED", 3)
    key = _jose.generate_key("EdDSA")
    verifier = make(algorithms=["EdDSA"], jwks={"keys": [_jose.public_jwk(key)]})
    tokens = [issuer.token(key, jti=str(n)) for n in range(6)]
    with caplog.at_level(logging.WARNING, "tokenward.jwks"):
        for token in [*tokens[:3], *tokens[:3]]:
            verifier.invalidate(token)
        assert [] == caplog.records
        assert [True] * 3 + [False] * 3 == revoked(verifier, tokens)
        for token in tokens[3:5]:
            verifier.invalidate(token)

    assert [False] * 2 + [True] * 3 + [False] == revoked(verifier, tokens)
    assert [(logging.WARNING, True)] == [
        (r.levelno, "more than 3 revoked tokens" in r.getMessage()) for r in caplog.records
    ]


def test_there_is_room_for_many():
    """As many as the documentation says."""
    assert 50_000 == memory.MAX_DENIED


# --- on the bus


def test_everybody_on_the_bus_refuses(make, issuer, bus):
    """Those with the token in their cache, and those that see it for the first time."""
    first, second, third = (make(revocation_bus=bus) for _ in range(3))
    alone = make()
    token, other = issuer.token(), issuer.token(sub="u2")
    assert ["u1"] * 3 == [v.verify(token).subject for v in (first, second, alone)]
    third.verify(other)
    first.invalidate(token)

    assert [True, True, True, False] == [
        is_revoked(v, token) for v in (first, second, third, alone)
    ]
    assert [False] * 3 == [is_revoked(v, other) for v in (first, second, third)]


def test_the_twin_is_refused_elsewhere_too(make, issuer, bus):
    """Both spellings are on the bus."""
    first, second = (make(revocation_bus=bus) for _ in range(2))
    token, twin = spellings(issuer.token())
    second.verify(twin)
    first.invalidate(token)

    assert [True, True] == revoked(second, [token, twin])


def test_no_token_and_no_digest_is_on_the_bus(make, issuer, bus):
    """What is sent is sealed (RULES 48)."""
    token = issuer.token()
    make(revocation_bus=bus).invalidate(token)

    assert 2 == len(bus.messages)
    assert not [m for m in bus.messages if token.encode()[-20:] in m or memory_digest(token) in m]


def memory_digest(token):
    from hashlib import sha256

    return sha256(token.encode()).digest()


@pytest.mark.parametrize("start", ["token", "refused token", "warm_up"])
def test_listening_begins_with_the_first_use(make, issuer, bus, start):
    """Not before it; what is said before that nobody hears (RULES 47)."""
    speaker, verifier = make(revocation_bus=bus), make(revocation_bus=bus)
    token = issuer.token()
    assert "MemoryRevocationBus(0 subscribers)" == repr(bus)
    match start:
        case "token":
            verifier.verify(token)
        case "refused token":
            with pytest.raises(Exception, match="malformed"):
                verifier.verify("x")
        case "warm_up":
            verifier.warm_up()
    speaker.invalidate(token)

    assert is_revoked(verifier, token)


def test_a_logout_at_the_service_ends_a_signed_token(bus):
    """Its very next verification elsewhere is refused, the other tokens go on."""
    stores = open_repositories("memory://", bcrypt_cost=4)
    service = AuthService(
        stores.users,
        keys=KeyRing.generate(),
        tokens=stores.tokens,
        issuer="https://auth.example",
        audience="orders",
        revocation_bus=bus,
    )
    service.create_user("alice", email="alice@example.com", password=PASSWORD)
    login = LoginRequest(username="alice", password=PASSWORD)
    token, other = (service.login_user(login).access_token for _ in range(2))
    verifier = JWKSVerifier(
        "https://auth.example",
        audience="orders",
        jwks=service.keys.public_jwks(),
        revocation_bus=bus,
    )
    assert [False, False] == revoked(verifier, [token, other])
    service.logout_user(token)
    assert [True, False] == revoked(verifier, [token, other])
    service.logout_user(spellings(other)[1])

    assert [True, True] == revoked(verifier, spellings(other))


class Bus:
    """A bus that fails where a test says so."""

    secrets = SECRETS

    def __init__(self):
        self.subscribers = []
        self.failing = set()

    def publish(self, message):
        if "publish" in self.failing:
            raise OSError("no route")
        for callback in list(self.subscribers):
            callback(message)

    def subscribe(self, callback, *, missed):
        if "subscribe" in self.failing:
            raise AuthServiceUnavailable("down", reason="shared_cache")
        self.subscribers.append(callback)
        missed()

        def end():
            self.subscribers.remove(callback)
            if "end" in self.failing:
                raise ValueError("twice")

        return end


def test_a_bus_that_is_down_changes_nothing(make, issuer):
    """Tokens verify, and a revocation counts here; the failures are counted."""
    bus = Bus()
    bus.failing = {"publish", "subscribe"}
    verifier = make(revocation_bus=bus)
    token, other = issuer.token(), issuer.token(sub="u2")
    assert "u1" == verifier.verify(token).subject
    assert (1, "u1") == (verifier.stats().shared_errors, verifier.verify(token).subject)
    verifier.invalidate(token)

    assert [True, False] == revoked(verifier, [token, other])
    assert 3 == verifier.stats().shared_errors


def test_what_is_no_message_of_ours_changes_nothing(make, issuer, bus):
    """A stranger on the bus, without the secret, revokes nothing."""
    verifier = make(revocation_bus=bus)
    token = issuer.token()
    verifier.verify(token)
    stranger = MemoryRevocationBus(secrets=["another-lantern-0c1d2e3f"])
    JWKSVerifier(
        "https://as.example", audience=None, revocation_bus=stranger, transport=issuer.site
    ).invalidate(token)
    for message in (b"", b"x", b"x" * 10_000, memory_digest(token), *stranger.messages):
        bus.publish(message)

    assert not is_revoked(verifier, token)


@pytest.mark.parametrize("secrets", [[], [""], ["short"], ["a" * 40]], ids=str)
def test_weak_secrets_stop_start_up(make, secrets):
    """Whoever guesses one could revoke everybody's tokens (RULES 44)."""
    with pytest.raises(ConfigurationError):
        make(revocation_bus=MemoryRevocationBus(secrets=secrets))


@pytest.mark.parametrize("failing", [set(), {"end"}], ids=["", "failing"])
def test_after_close_it_listens_anew(make, issuer, failing):
    """Nothing that nobody could have taken away meanwhile is served from the cache."""
    bus = Bus()
    bus.failing = failing
    verifier = make(revocation_bus=bus)
    token = issuer.token()
    verifier.verify(token)
    assert 1 == len(bus.subscribers)
    verifier.close()
    assert (0, 0) == (len(bus.subscribers), verifier.stats().entries)
    verifier.close()

    assert "u1" == verifier.verify(token).subject
    assert 1 == len(bus.subscribers)
    make(revocation_bus=bus).invalidate(token)
    assert is_revoked(verifier, token)


def test_a_lost_connection_refuses_nobody(make, issuer, bus):
    """What was missed nobody can repeat; signed tokens go on, from the cache too."""
    verifier = make(revocation_bus=bus)
    token = issuer.token()
    verifier.verify(token)
    bus.lose()

    assert "u1" == verifier.cached(token).subject
