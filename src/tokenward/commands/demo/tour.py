"""The round trip of a program with a bearer token: to be pasted, or to be made by itself."""

from __future__ import annotations

import http.client
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tokenward.commands.demo.step import Outcome, Step

if TYPE_CHECKING:
    from tokenward.commands.demo.mail import Mailbox

REALM = "example"

_RESET = "reset_password"
_INVALID = 'error="invalid_token"'
_TOKEN = {"TOKEN": "access_token"}
_TOKENS = {**_TOKEN, "REFRESH": "refresh_token"}


@dataclass(frozen=True, slots=True)
class Tour:
    """The round trip between an auth service and what it protects.

    Attributes:
        auth: The URL of the service.
        app: The URL of the application.
        username: Somebody who is new.
        password: Theirs, at first.
        new_password: Theirs, in the end.
        client_id: The application, as the service knows it.
        secret: The file of the secret that it proves it with.
        mailbox: Where the service's mail goes.
    """

    auth: str
    app: str
    username: str
    password: str
    new_password: str
    client_id: str
    secret: Path
    mailbox: Mailbox

    @property
    def email(self) -> str:
        """Their address."""
        return f"{self.username}@example.com"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The requests, in order."""
        account = {"username": self.username, "password": self.password}
        renewed = {**account, "password": self.new_password}
        new = {**account, "email": self.email}
        refresh = {"refresh_token": "$REFRESH"}
        reset = {"token": "$MAIL", "new_password": self.new_password}
        profile, name = f"{self.app}/api/profile", self.username

        def asks(path: str) -> tuple[str, str]:
            return "POST", f"{self.auth}{path}"

        def calls(title: str, status: int, says: str = "", challenge: str = "") -> Step:
            return Step(
                title, "GET", profile, status, bears_token=True, says=says, challenge=challenge
            )

        return (
            Step("register", *asks("/register"), 201, new, says=name),
            Step("log in", *asks("/login"), 200, account, keeps=_TOKENS),
            calls("call with the token", 200, name),
            Step("call without", "GET", profile, 401, challenge=f'Bearer realm="{REALM}"'),
            Step("refresh", *asks("/refresh"), 200, refresh, keeps=_TOKENS),
            calls("call with the new token", 200, name),
            Step("log out", *asks("/logout"), 200, bears_token=True),
            calls("call again", 401, challenge=_INVALID),
            Step(
                "log in by the application",
                *asks("/login"),
                200,
                account,
                as_client=True,
                keeps=_TOKEN,
            ),
            Step("revoke", *asks("/revoke"), 200, form={"token": "$TOKEN"}, as_client=True),
            calls("call with the revoked token", 401, challenge=_INVALID),
            Step("forget the password", *asks("/password/forgot"), 204, {"email": self.email}),
            Step("reset the password", *asks("/password/reset"), 204, reset),
            Step("log in with the old password", *asks("/login"), 401, account),
            Step("log in with the new one", *asks("/login"), 200, renewed, keeps=_TOKENS),
        )

    def lines(self) -> list[tuple[str, str]]:
        """Return what a person can paste into bash, each with a comment before it."""
        steps = {step.title: step for step in self.steps}
        client = f'"{self.client_id}:$(cat {shlex.quote(str(self.secret))})"'
        call_again, call_revoked = steps["call again"], steps["call with the revoked token"]
        refresh, call_new = steps["refresh"], steps["call with the new token"]
        by_client, revoke = steps["log in by the application"], steps["revoke"]
        line = f"s/^{self.mailbox.line(self.email, _RESET)}//p"
        mail = f"sed -n {shlex.quote(line)} {shlex.quote(str(self.mailbox.log))} | tail -n 1"
        return [
            ("Register: 201", steps["register"].curl()),
            ("Log in; the tokens are kept in TOKEN and REFRESH", steps["log in"].keeping()),
            ("Call what is protected: 200", steps["call with the token"].curl()),
            (
                "The same without a token: 401, and WWW-Authenticate says how",
                steps["call without"].curl(),
            ),
            (
                "Exchange the refresh token for new ones, and call: 200",
                f"{refresh.keeping()}; {call_new.curl()}",
            ),
            (
                "Log out: 200; the token is good no more: 401",
                f"{steps['log out'].curl()}; {call_again.curl()}",
            ),
            (
                "Log in by the application, which then revokes the token: 200, and 401",
                (
                    f"{by_client.keeping(client=client)}; {revoke.curl(client=client)}; "
                    f"{call_revoked.curl()}"
                ),
            ),
            (
                "Forget the password: 204; the one-time token comes by mail, which is printed here",
                steps["forget the password"].curl(),
            ),
            (
                "Choose another: 204, and log in with it: 200",
                (
                    f'until MAIL=$({mail}); [ -n "$MAIL" ]; do sleep 0.1; done; '
                    f"{steps['reset the password'].curl()}; "
                    f"{steps['log in with the new one'].curl()}"
                ),
            ),
        ]

    def check(self) -> Iterator[Outcome]:
        """Make every request and judge what comes back; the first that fails is the last."""
        kept: dict[str, str] = {}
        client = (self.client_id, self.secret.read_text("utf-8").strip())
        for step in self.steps:
            try:
                answer = step.make(kept, client)
            except (OSError, http.client.HTTPException) as error:
                got = type(error).__name__
                yield Outcome(step.title, step.expected, passed=False, got=got)
                return
            outcome = step.judge(answer)
            yield outcome
            if not outcome.passed:
                return
            kept |= step.kept_of(answer)
            if step.title == "forget the password":
                kept["MAIL"] = self.mailbox.wait_for(self.email, _RESET)
