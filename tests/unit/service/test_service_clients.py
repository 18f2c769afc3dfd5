"""Programs in their own name: their tokens, and tokens that they end."""

import pytest
from auth_services import (
    ISSUER,
    PASSWORD,
    SECRET,
    START,
    Down,
    audit_lines,
    audited,
    log_in,
    unknown_token,
)

from tokenward.clients import Client
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    InvalidGrant,
    InvalidScope,
    InvalidTarget,
    InvalidToken,
    TokenExpired,
    TokenRevoked,
    UnauthorizedClient,
)
from tokenward.tokens import create_access_token, get_jwt_payload

BATCH = Client(
    "batch",
    SECRET,
    scopes=["jobs:run", "jobs:read"],
    grants=["client_credentials"],
    token_audiences=["stock", "orders"],
    audiences=["stock"],
    access_token_lifetime=120,
)
SHOP = Client("shop", SECRET, grants=["refresh_token", "client_credentials"])


@pytest.fixture
def service(make):
    service = make(clients=[BATCH, SHOP])
    service.create_user("alice", email="alice@example.com", password=PASSWORD)
    return service


def payload(service, given, audience="orders"):
    return get_jwt_payload(
        given.access_token,
        keys=service.keys,
        issuer=ISSUER,
        audience=audience,
        clock=service.clock,
    )


class TestIssueClientToken:
    def test_speaks_for_the_client(self, service):
        """RFC 9068, section 2.2: sub is the client_id; RFC 6749, 4.4.3: no refresh token."""
        given = service.issue_client_token(BATCH)
        claims = payload(service, given).model_dump(exclude_none=True)

        assert 22 == len(claims.pop("jti"))
        assert claims == {
            "sub": "batch",
            "client_id": "batch",
            "scope": "jobs:read jobs:run",
            "aud": ["orders", "stock"],
            "iss": ISSUER,
            "iat": START,
            "exp": START + 120,
            "roles": (),
        }
        assert ("Bearer", 120, None, "jobs:read jobs:run") == (
            given.token_type,
            given.expires_in,
            given.refresh_token,
            given.scope,
        )

    def test_is_for_the_service_unless_the_client_says_otherwise(self, service):
        """A client without audiences of its own gets the service's, and without scopes none."""
        given = service.issue_client_token(SHOP)
        claims = payload(service, given)

        assert ("orders", None, 900) == (claims.aud, claims.scope, given.expires_in)
        assert None is given.scope

    @pytest.mark.parametrize(
        ("asked", "granted"),
        [
            (None, "jobs:read jobs:run"),
            ((), "jobs:read jobs:run"),
            ({"jobs:run"}, "jobs:run"),
            ("jobs:run", "jobs:run"),
            (["jobs:run", "jobs:read"], "jobs:read jobs:run"),
        ],
    )
    def test_scopes_are_the_clients_or_fewer(self, service, asked, granted):
        """RFC 6749, section 3.3."""
        given = service.issue_client_token(BATCH, asked)
        assert granted == given.scope == payload(service, given).scope

    @pytest.mark.parametrize(
        "asked", [{"admin"}, {"jobs:run", "admin"}, {"JOBS:RUN"}, {""}, "jobs:run\njobs:read"]
    )
    def test_no_other_scope_is_granted(self, service, asked):
        """RFC 6749, section 5.2: invalid_scope."""
        with pytest.raises(InvalidScope):
            service.issue_client_token(BATCH, asked)
        with pytest.raises(InvalidScope):
            service.issue_client_token(SHOP, {"jobs:run"})

    @pytest.mark.parametrize(
        ("client", "asked", "named"),
        [
            (BATCH, {"stock"}, "stock"),
            (BATCH, "stock", "stock"),
            (BATCH, {"stock", "orders"}, ["orders", "stock"]),
            (BATCH, (), ["orders", "stock"]),
            (SHOP, {"orders"}, "orders"),
        ],
    )
    def test_audiences_are_the_clients_or_fewer(self, service, client, asked, named):
        """RFC 8707, section 2; one audience is a string (RFC 7519, section 4.1.3)."""
        given = service.issue_client_token(client, audiences=asked)
        audience = named if isinstance(named, str) else named[0]
        assert named == payload(service, given, audience).aud

    @pytest.mark.parametrize(("client", "asked"), [(BATCH, "billing"), (SHOP, "stock")])
    def test_no_other_audience_is_named(self, service, client, asked):
        """RFC 8707, section 2: invalid_target."""
        with pytest.raises(InvalidTarget):
            service.issue_client_token(client, audiences={asked})

    def test_a_client_without_the_grant_gets_none(self, service):
        """RFC 6749, section 5.2: unauthorized_client."""
        with pytest.raises(UnauthorizedClient):
            service.issue_client_token(Client("web", SECRET, grants=["refresh_token"]))

    def test_is_good_until_it_expires_or_the_client_is_gone(self, make, service, clock):
        """The issuer refuses what speaks for nobody who is configured."""
        token = service.issue_client_token(SHOP).access_token
        assert ("shop", "shop", None) == (
            service.introspect_token(token).sub,
            service.introspect_token(token).client_id,
            service.introspect_token(token).user,
        )
        without = make(clients=[BATCH], keys=service.keys)
        assert without.introspect_token(token).active is False
        with pytest.raises(InvalidToken) as caught:
            without.logout_user(token)
        assert "client_unknown" == caught.value.reason
        clock.now += 900
        with pytest.raises(TokenExpired):
            service.logout_user(token)

    def test_tokens_of_people_end_with_the_client_that_has_them(self, make, service):
        """A client that was taken out of the configuration can use nothing it was handed."""
        handed, own = log_in(service, client=SHOP), log_in(service)
        stores = {"users": service.users, "tokens": service.tokens, "keys": service.keys}
        without = make(clients=[BATCH], **stores)
        with pytest.raises(InvalidToken) as caught:
            without.get_logged_in_user(handed.access_token)
        assert "client_unknown" == caught.value.reason
        assert without.introspect_token(handed.access_token).active is False
        assert without.get_logged_in_user(own.access_token) == own.user
        again = make(clients=[SHOP], **stores)
        assert again.get_logged_in_user(handed.access_token) == own.user

    @pytest.mark.parametrize(
        ("claims", "good"),
        [
            ({}, True),
            ({"ver": 0}, True),
            ({"client_id": "someone"}, True),
            ({"client_id": None, "ver": 0}, True),
            ({"client_id": "tokenward", "ver": 0}, True),
            ({"client_id": "shop", "ver": 0}, True),
            ({"client_id": "someone", "ver": 0}, False),
            ({"client_id": "", "ver": 0}, False),
        ],
    )
    def test_clients_of_the_program_around_are_its_own_affair(self, service, clock, claims, good):
        """What it makes by `create_access_token` need not name a client of ours."""
        alice = service.users.get_by_username("alice")
        token = create_access_token(
            {"sub": alice.id, **claims},
            keys=service.keys,
            issuer=ISSUER,
            audience="orders",
            clock=clock,
        )
        assert service.introspect_token(token).active is good

    def test_the_claims_hook_has_no_say(self, make):
        """It is asked about users."""
        service = make(clients=[SHOP], claims=lambda user: pytest.fail("there is no user"))
        assert service.issue_client_token(SHOP).access_token


class TestRevokeToken:
    """RFC 7009, RULES 39."""

    @pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "nonsense"])
    def test_a_client_ends_its_own_access_token(self, service, hint):
        """At once, whomever it is for; the client's other tokens go on."""
        token, other = (service.issue_client_token(BATCH).access_token for _ in range(2))
        only_stock = service.issue_client_token(BATCH, audiences={"stock"}).access_token
        for ended in (token, only_stock):
            assert service.introspect_token(ended, client=BATCH).active
            service.revoke_token(ended, hint, client=BATCH)
            assert not service.introspect_token(ended, client=BATCH).active
        assert service.introspect_token(other, client=BATCH).active

    @pytest.mark.parametrize("hint", [None, "access_token", "refresh_token"])
    def test_a_refresh_token_ends_with_all_that_came_of_it(self, service, hint, caplog):
        """RFC 7009, section 2.1: the access tokens of the same grant too; one line in the audit."""
        audited(caplog)
        given = log_in(service, client=SHOP)
        refreshed = service.refresh(given.refresh_token, client=SHOP)
        for _ in range(2):
            service.revoke_token(refreshed.refresh_token, hint, client=SHOP, peer="192.0.2.7")
        with pytest.raises(InvalidGrant):
            service.refresh(refreshed.refresh_token, client=SHOP)
        for ended in (given, refreshed):
            with pytest.raises(TokenRevoked):
                service.get_logged_in_user(ended.access_token)
        (line,) = [line for line in audit_lines(caplog) if line["event"] == "revoked"]
        assert ("shop", given.user.id, "192.0.2.7") == (
            line["client_id"],
            line["subject"],
            line["peer"],
        )

    def test_an_access_token_ends_alone(self, service):
        """RFC 7009, section 2.1 leaves the rest to us: the session goes on."""
        given = log_in(service, client=SHOP)
        service.revoke_token(given.access_token, client=SHOP)
        with pytest.raises(TokenRevoked):
            service.get_logged_in_user(given.access_token)
        assert service.refresh(given.refresh_token, client=SHOP).refresh_token

    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    def test_anothers_token_stays_as_it_is(self, service, kind, caplog):
        """Another client's and the first party's; whoever asks is not told (RULES 39)."""
        own, first_party = log_in(service, client=SHOP), log_in(service)
        audited(caplog)
        for given in (own, first_party):
            assert None is service.revoke_token(getattr(given, kind), client=BATCH)
        service.revoke_token(getattr(first_party, kind), client=SHOP)

        assert service.refresh(own.refresh_token, client=SHOP).user.username == "alice"
        assert service.get_logged_in_user(first_party.access_token).username == "alice"
        assert service.refresh(first_party.refresh_token).user.username == "alice"
        assert [] == audit_lines(caplog)

    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    def test_the_program_itself_ends_any(self, service, kind):
        """Whoever calls this without a client is the service's own program."""
        given = log_in(service)
        service.revoke_token(getattr(given, kind))
        with pytest.raises(TokenRevoked):
            service.get_logged_in_user(given.access_token)

    @pytest.mark.parametrize("client", [None, SHOP])
    @pytest.mark.parametrize("token", ["", "a", "a.b.c", "\0", "é" * 43, "x" * 20_000, None, 7])
    def test_what_is_no_token_is_no_error(self, service, token, client):
        """RFC 7009, section 2.2: what is unknown is as if revoked."""
        assert None is service.revoke_token(token, client=client)

    def test_what_is_over_is_no_error(self, service, clock):
        """Unknown, revoked, expired."""
        token = service.issue_client_token(SHOP).access_token
        for _ in range(2):
            service.revoke_token(token, client=SHOP)
        clock.now += 900
        service.revoke_token(token, client=SHOP)
        service.revoke_token(unknown_token(), client=SHOP)

    def test_a_store_that_is_down_is_an_outage(self, make, service):
        """RFC 7009, section 2.2.1: 503, and the token is to be taken as still good."""
        given = log_in(service)
        down = make(keys=service.keys, users=service.users, tokens=Down())
        for token in (given.access_token, given.refresh_token):
            with pytest.raises(AuthServiceUnavailable):
                down.revoke_token(token)


class TestClientsById:
    """A `client_id` stands for the client that is configured under it."""

    def test_gets_a_token(self, service):
        """As the client itself does."""
        given = service.issue_client_token("batch", ["jobs:run"])
        assert ("batch", "jobs:run", 120) == (
            payload(service, given).sub,
            given.scope,
            given.expires_in,
        )
        with pytest.raises(InvalidScope):
            service.issue_client_token("batch", ["more"])

    def test_asks(self, service):
        """It learns what the client would."""
        own = service.issue_client_token(SHOP).access_token
        assert service.introspect_token(own, client="shop").active
        assert not service.introspect_token(own, client="batch").active

    def test_revokes(self, service):
        """What was issued to the client, and nothing else."""
        own = service.issue_client_token("shop").access_token
        service.revoke_token(own, client="batch")
        assert service.introspect_token(own).active
        service.revoke_token(own, client="shop")
        assert not service.introspect_token(own).active

    @pytest.mark.parametrize("client", ["nobody", "", 5, ["shop"]])
    def test_unknown(self, service, client):
        """A program that names nobody is told what to name; nothing happens."""
        token = service.issue_client_token(SHOP).access_token
        for ask in (
            lambda: service.issue_client_token(client),
            lambda: service.introspect_token(token, client=client),
            lambda: service.revoke_token(token, client=client),
        ):
            with pytest.raises(ConfigurationError, match="client is a Client, or the client_id"):
                ask()
        assert service.introspect_token(token).active
