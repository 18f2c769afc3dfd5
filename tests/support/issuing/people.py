"""What callers of a service were told, and whether it is so afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

from tokenward._secrets import digest_of_random_token

# What became of a change: it was acknowledged, nobody knows, or nobody has asked for it.
DONE, PERHAPS, NOT_ASKED = "done", "perhaps", "not asked"


@dataclass
class Session:
    """What one login has led to, as far as its owner was told.

    Attributes:
        by_client: Whether the client passed the login on.
        access: The access tokens, in the order in which they were handed out.
        used: The refresh tokens that were exchanged.
        current: The last refresh token that was handed out.
        exchanged: Whether ``current`` was exchanged too: nobody knows, when an answer was lost.
        ended: Whether it was ended.
    """

    by_client: bool
    access: list[str] = field(repr=False)
    current: str = field(repr=False)
    used: list[str] = field(default_factory=list, repr=False)
    exchanged: str = NOT_ASKED
    ended: str = NOT_ASKED

    def refreshed(self, tokens):
        self.used.append(self.current)
        self.current = tokens["refresh_token"]
        self.access.append(tokens["access_token"])
        self.exchanged = NOT_ASKED


@dataclass
class Person:
    """Somebody with an account, as far as they were told.

    Attributes:
        name: Theirs.
        password: The last one that was acknowledged.
        registered: Whether they are.
        next_password: What it was to be changed to when no answer came.
        roles: Those that were acknowledged last.
        next_roles: What they were to be when no answer came.
        sessions: In the order of their logins.
    """

    name: str
    password: str = field(repr=False)
    registered: str = PERHAPS
    next_password: str | None = field(default=None, repr=False)
    roles: tuple[str, ...] = ()
    next_roles: tuple[str, ...] | None = None
    sessions: list[Session] = field(default_factory=list)

    def all_ended(self, how):
        """Note that what ends every session was done, or perhaps was."""
        for session in self.sessions:
            if session.ended != DONE:
                session.ended = how


@dataclass
class ClientToken:
    """An access token of the client's own, and whether it was revoked."""

    token: str = field(repr=False)
    revoked: str = NOT_ASKED


def check_person(person, visitor, tokens):
    """See that everything this person was told is so, and all else wholly so or not at all.

    Args:
        person: The person; not of use afterwards.
        visitor: Asks the service.
        tokens: The store's `TokenRepository`.
    """
    # Sessions come first: a look at them changes nothing that the rest is about.
    over = [
        (session.ended, _check_session(session, visitor, tokens)) for session in person.sessions
    ]
    perhaps = {is_over for ended, is_over in over if ended == PERHAPS}
    account = _check_account(person, visitor)
    if account is None:
        assert not person.sessions
        return
    password, roles = account
    if person.next_password is not None:
        # The new password works if and only if the tokens of before have ended.
        assert perhaps == {password == person.next_password}, person
    if person.next_roles is None:
        assert roles == person.roles, person
    else:
        assert roles in (person.roles, person.next_roles), person
        assert perhaps == {roles == person.next_roles}, person


def check_client_token(token, visitor):
    """See that a revoked token is inactive, and one that nobody revoked active."""
    is_active = visitor.is_active(token.token)
    assert is_active == (token.revoked == NOT_ASKED) or token.revoked == PERHAPS, token


def _check_account(person, visitor):
    """Return the password that works, and the roles; ``None``: nothing of the account is there."""
    known = [p for p in (person.password, person.next_password) if p is not None]
    answers = {password: visitor.log_in(person.name, password) for password in known}
    works = [password for password, answer in answers.items() if answer.status_code == 200]
    assert {200, 401} >= {answer.status_code for answer in answers.values()}, person
    assert len(works) <= 1, person
    again = visitor.register(person.name, person.password).status_code
    if works:
        assert again == 409, person
        return works[0], tuple(answers[works[0]].json()["user"]["roles"])
    assert person.registered == PERHAPS, person
    # Neither the name nor the address is taken.
    assert again == 201, person
    return None


def _check_session(session, visitor, tokens):
    """Return whether the session is over."""
    found = tokens.find_family(digest_of_random_token(session.current))
    assert found is not None, session
    for used in session.used:
        assert tokens.find_family(digest_of_random_token(used)) == (found[0], False), session
    if session.exchanged == NOT_ASKED:
        assert found[1], session
    active = {visitor.is_active(token) for token in session.access}
    assert len(active) == 1, session
    is_over = active == {False}
    if session.ended != PERHAPS:
        assert is_over == (session.ended == DONE), session
    if is_over:
        assert _refused(session.current, session, visitor), session
        return True
    # Its last token works, unless the answer to its exchange was lost: then that is a second use.
    is_current = found[1]
    last = session.current
    answer = visitor.refresh(last, by_client=session.by_client)
    assert answer.status_code == (200 if is_current else 400), session
    if is_current:
        newest = answer.json()
        assert visitor.is_active(newest["access_token"]), session
        # What was exchanged before is a second use, and the session with everything in it ends.
        assert _refused(session.used[0] if session.used else last, session, visitor), session
        assert _refused(newest["refresh_token"], session, visitor), session
    assert not visitor.is_active(session.access[-1]), session
    return False


def _refused(refresh_token, session, visitor):
    answer = visitor.refresh(refresh_token, by_client=session.by_client)
    return (answer.status_code, answer.json().get("error")) == (400, "invalid_grant")
