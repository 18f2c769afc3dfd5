"""Logouts, and sessions that are listed and ended."""

import threading
from dataclasses import replace

import pytest
from auth_services import (
    ISSUER,
    PASSWORD,
    SECRET,
    START,
    audit_lines,
    audited,
    log_in,
    login,
)

from tokenward.clients import Client
from tokenward.errors import InvalidGrant, InvalidRequest, InvalidToken, TokenRevoked, UserNotFound
from tokenward.service.families import MAX_SESSIONS
from tokenward.tokens import get_jwt_payload


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

    def test_the_session_ends_with_its_access_token(self, service):
        """Its refresh token and every access token of it; other sessions go on."""
        given, other = log_in(service), log_in(service)
        refreshed = service.refresh(given.refresh_token)
        service.logout_user(given.access_token)
        with pytest.raises(TokenRevoked):
            service.get_logged_in_user(refreshed.access_token)
        with pytest.raises(InvalidGrant):
            service.refresh(refreshed.refresh_token)
        assert service.refresh(other.refresh_token).user.username == "alice"

    def test_another_of_ones_sessions_may_end_beside(self, service, caplog):
        """A program that holds both says both."""
        audited(caplog)
        given, other, third = (log_in(service) for _ in range(3))
        service.logout_user(given.access_token, refresh_token=other.refresh_token)
        for ended in (given, other):
            with pytest.raises(TokenRevoked):
                service.get_logged_in_user(ended.access_token)
        assert service.get_logged_in_user(third.access_token).username == "alice"
        assert ["logout"] == [line["event"] for line in audit_lines(caplog)][3:]

    def test_nobody_elses_session_ends_beside(self, service):
        """A refresh token of somebody else's is not known here."""
        service.create_user("bob", email="bob@example.com", password=PASSWORD)
        given, other = log_in(service), log_in(service, "bob")
        service.logout_user(given.access_token, refresh_token=other.refresh_token)
        assert service.get_logged_in_user(other.access_token).username == "bob"
        assert service.refresh(other.refresh_token).user.username == "bob"

    def test_a_refresh_token_alone_ends_its_session(self, service, caplog):
        """A program whose access token has expired can still log its user out."""
        audited(caplog)
        given = log_in(service)
        assert "Logged out." == service.logout_user(refresh_token=given.refresh_token).message
        with pytest.raises(TokenRevoked):
            service.get_logged_in_user(given.access_token)
        with pytest.raises(InvalidGrant):
            service.refresh(given.refresh_token)
        with pytest.raises(InvalidToken):
            service.logout_user(refresh_token=given.refresh_token)
        line = audit_lines(caplog)[1]
        assert ("logout", given.user.id) == (line["event"], line["subject"])
        assert line["sid"]

    def test_a_refresh_token_that_was_exchanged_still_logs_out(self, service):
        """Ending is never worse than going on."""
        given = log_in(service)
        refreshed = service.refresh(given.refresh_token)
        service.logout_user(refresh_token=given.refresh_token)
        with pytest.raises(InvalidGrant):
            service.refresh(refreshed.refresh_token)

    def test_a_clients_refresh_token_alone_is_the_clients_affair(self, make):
        """It revokes it, as itself (RFC 7009)."""
        shop = Client("shop", SECRET, grants=["refresh_token"])
        service = make(clients=[shop])
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        given = log_in(service, client=shop)
        with pytest.raises(InvalidToken):
            service.logout_user(refresh_token=given.refresh_token)
        assert service.refresh(given.refresh_token, client=shop).refresh_token
        service.logout_user(given.access_token)
        with pytest.raises(InvalidGrant):
            service.refresh(given.refresh_token, client=shop)

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


class TestSessions:
    def test_are_listed_in_the_order_of_their_logins(self, service, clock):
        """What one's devices are, and which of them asks."""
        first = log_in(service)
        clock.now += 60
        second = log_in(service)
        refreshed = service.refresh(first.refresh_token)
        sessions = service.sessions(second.access_token).sessions

        assert [START, START + 60] == [session.created_at for session in sessions]
        assert [clock.now] * 2 == [session.used_at for session in sessions]
        assert [clock.now + 2_592_000] * 2 == [session.expires_at for session in sessions]
        assert [False, True] == [session.current for session in sessions]
        assert ["tokenward"] * 2 == [session.client_id for session in sessions]
        again = service.sessions(refreshed.access_token).sessions
        assert [True, False] == [session.current for session in again]
        assert 2 == len({session.sid for session in sessions})

    def test_are_nobody_elses(self, service):
        """Not listed, not ended; and a session that is not there is no other answer."""
        service.create_user("bob", email="bob@example.com", password=PASSWORD)
        given, other = log_in(service), log_in(service, "bob")
        (theirs,) = service.sessions(other.access_token).sessions
        assert theirs not in service.sessions(given.access_token).sessions
        refusals = set()
        for sid in (theirs.sid, "unknown", "", "\0", None, 7):
            with pytest.raises(InvalidRequest) as caught:
                service.end_session(given.access_token, sid)
            refusals.add((caught.value.reason, *caught.value.fields.items()))
        assert {("session_unknown", ("sid", "is none of your sessions"))} == refusals
        assert service.get_logged_in_user(other.access_token).username == "bob"

    def test_of_before_a_change_of_the_account_are_not_listed(self, service):
        """They are over, though nobody ended them in the store."""
        log_in(service)
        service.users.set_roles("alice", ["admin"])
        (session,) = service.sessions(login(service)).sessions
        assert session.current is True

    def test_ends_one_by_one(self, service, caplog):
        """The lost phone's, from the notebook; once."""
        audited(caplog)
        lost, own = log_in(service), log_in(service)
        sid = service.sessions(lost.access_token).sessions[0].sid
        service.end_session(own.access_token, sid, peer="192.0.2.7")
        with pytest.raises(TokenRevoked):
            service.get_logged_in_user(lost.access_token)
        with pytest.raises(InvalidGrant):
            service.refresh(lost.refresh_token)
        assert 1 == len(service.sessions(own.access_token).sessions)
        with pytest.raises(InvalidRequest):
            service.end_session(own.access_token, sid)
        line = audit_lines(caplog)[-1]
        assert ("session_ended", sid, own.user.id, "192.0.2.7") == (
            line["event"],
            line["sid"],
            line["subject"],
            line["peer"],
        )

    def test_ends_ones_own(self, service):
        """As a logout does."""
        own = log_in(service)
        service.end_session(own.access_token, service.sessions(own.access_token).sessions[0].sid)
        with pytest.raises(TokenRevoked):
            service.sessions(own.access_token)

    def test_ends_all(self, service, caplog):
        """Everywhere, this one included; somebody else's go on."""
        audited(caplog)
        service.create_user("bob", email="bob@example.com", password=PASSWORD)
        given, other, theirs = log_in(service), log_in(service), log_in(service, "bob")
        service.end_sessions(given.access_token)
        for ended in (given, other):
            with pytest.raises(TokenRevoked):
                service.get_logged_in_user(ended.access_token)
            with pytest.raises(InvalidGrant):
                service.refresh(ended.refresh_token)
        assert service.get_logged_in_user(theirs.access_token).username == "bob"
        assert "session_ended" == audit_lines(caplog)[-1]["event"]

    @pytest.mark.parametrize("stores", ["memory", "sqlite"], indirect=True)
    def test_the_oldest_end_beyond_so_many(self, make, stores, clock, caplog):
        """Whoever knows one password does not fill the store; nobody else loses a session."""
        service = make(users=stores.users, tokens=stores.tokens)
        for name in ("alice", "bob"):
            service.create_user(name, email=f"{name}@example.com", password=PASSWORD)
        other = log_in(service, "bob")
        granted = [log_in(service) for _ in range(MAX_SESSIONS)]
        assert MAX_SESSIONS == len(service.sessions(granted[0].access_token).sessions)
        oldest = service.sessions(granted[0].access_token).sessions[0].sid
        clock.now += service.access_token_lifetime
        audited(caplog)
        granted.append(log_in(service))
        assert MAX_SESSIONS == len(service.sessions(granted[-1].access_token).sessions)
        with pytest.raises(InvalidGrant):
            service.refresh(granted[0].refresh_token)
        assert service.refresh(granted[1].refresh_token)
        assert service.refresh(other.refresh_token)
        (line,) = [line for line in audit_lines(caplog) if line["event"] == "session_ended"]
        assert (granted[0].user.id, oldest) == (line["subject"], line["sid"])

    def test_no_session_ends_for_another_while_its_access_token_is_good(self, make, caplog):
        """A program that logs in for every job it does has each job done."""
        service = make()
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        granted = [log_in(service) for _ in range(MAX_SESSIONS + 2)]
        assert service.get_logged_in_user(granted[0].access_token).username == "alice"
        assert "session_ended" not in [line["event"] for line in audit_lines(caplog)]

    def test_too_many_are_brought_down_to_so_many(self, make, stores, clock):
        """A store of before, or logins at the same moment, may have left more."""
        service = make(users=stores.users, tokens=stores.tokens)
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        token = login(service)
        (family,) = stores.tokens.families(service.get_logged_in_user(token).id)
        for number in range(MAX_SESSIONS + 3):
            digest = number.to_bytes(32)
            stores.tokens.start_family(replace(family, id=f"family {number}"), digest)
        clock.now += service.access_token_lifetime
        token = login(service)
        sessions = service.sessions(token).sessions
        assert (MAX_SESSIONS, "family 4") == (len(sessions), sessions[0].sid)
        assert sessions[-1].current

    def test_ends_a_token_without_a_session_too(self, make):
        """All is all."""
        service = make(refresh_token_lifetime=None)
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        token = login(service)
        assert () == service.sessions(token).sessions
        service.end_sessions(token)
        with pytest.raises(TokenRevoked):
            service.get_logged_in_user(token)

    @pytest.mark.parametrize(
        "call",
        [
            lambda service, token: service.sessions(token),
            lambda service, token: service.end_session(token, "any"),
            lambda service, token: service.end_sessions(token),
            lambda service, token: service.change_password(token, PASSWORD, "another horse"),
        ],
        ids=["list", "end-one", "end-all", "password"],
    )
    def test_a_program_has_none(self, make, call):
        """Its token speaks for nobody who could log in; a refresh token is no access token."""
        batch = Client("batch", SECRET, grants=["client_credentials"])
        service = make(clients=[batch])
        service.create_user("alice", email="a@example.com", password=PASSWORD)
        with pytest.raises(UserNotFound):
            call(service, service.issue_client_token(batch).access_token)
        with pytest.raises(InvalidToken):
            call(service, log_in(service).refresh_token)
