"""What the service says of a token (RFC 7662)."""

import pytest
from auth_services import ISSUER, PASSWORD, SECRET, START, Down, log_in, login, unknown_token

from tokenward.clients import Client
from tokenward.errors import AuthServiceUnavailable
from tokenward.service import FIRST_PARTY_CLIENT_ID
from tokenward.tokens import create_access_token


class TestIntrospectToken:
    def test_good_token(self, service):
        """RFC 7662, section 2.2: what the token says, who the user is."""
        user = service.users.get_by_username("alice")
        answer = service.introspect_token(login(service)).model_dump(mode="json")
        assert len(answer.pop("jti")) >= 16
        assert answer.pop("sid") == service.tokens.families(user.id)[0].id
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
        odd = {"scope": ["b", "a"], "roles": "x", "username": 7, "sid": None, "ver": 0}
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


class TestRefreshTokens:
    """RULES 39: inactive, except to the client that has it."""

    @pytest.fixture
    def shop(self):
        return Client("shop", SECRET, grants=["refresh_token"])

    @pytest.fixture
    def shared(self, make, shop):
        service = make(
            clients=[shop, Client("desk", SECRET, grants=["refresh_token"])],
            claims=lambda user: {"scope": "read"},
        )
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        return service

    def test_its_own_client_is_told(self, shared, shop, clock):
        """RFC 7662, section 2.2; by its type it is no access token, and it is for no audience."""
        given = log_in(shared, client=shop)
        clock.now += 60
        given = shared.refresh(given.refresh_token, client=shop)
        (session,) = shared.sessions(given.access_token).sessions
        for hint in (None, "refresh_token", "access_token", "nonsense"):
            answer = shared.introspect_token(given.refresh_token, client=shop, token_type_hint=hint)
            assert answer.model_dump() == {
                "active": True,
                "token_type": "refresh_token",
                "scope": "read",
                "client_id": "shop",
                "username": "alice",
                "sub": given.user.id,
                "iss": ISSUER,
                "iat": START + 60,
                "exp": START + 60 + 2_592_000,
                "sid": session.sid,
            }
            assert shared.introspect_token(
                given.access_token, client=shop, token_type_hint=hint
            ).active

    def test_nobody_else_is(self, shared, shop):
        """Not another client, nor the program itself: an active one might be let in as a bearer."""
        desk = list(shared.clients)[1]
        own, first_party = log_in(shared, client=shop), log_in(shared)
        answers = [
            shared.introspect_token(own.refresh_token),
            shared.introspect_token(own.refresh_token, client=desk),
            shared.introspect_token(first_party.refresh_token),
            shared.introspect_token(first_party.refresh_token, client=shop),
            shared.introspect_token(unknown_token(), client=shop),
        ]
        assert [{"active": False}] * 5 == [answer.model_dump() for answer in answers]

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda service, given, shop: service.refresh(given.refresh_token, client=shop),
            lambda service, given, shop: service.logout_user(given.access_token),
            lambda service, given, shop: service.users.set_active("alice", active=False),
            lambda service, given, shop: service.users.set_password("alice", None),
            lambda service, given, shop: service.users.delete("alice"),
            lambda service, given, shop: setattr(service.clock, "now", START + 2_592_000),
        ],
        ids=["used", "ended", "inactive", "password", "gone", "expired"],
    )
    def test_one_that_is_good_for_nothing_is_inactive(self, shared, shop, spoil):
        """Whatever the reason is; looking does not use it up."""
        given = log_in(shared, client=shop)
        for _ in range(2):
            assert shared.introspect_token(given.refresh_token, client=shop).active
        spoil(shared, given, shop)
        answer = shared.introspect_token(given.refresh_token, client=shop)
        assert {"active": False} == answer.model_dump()
