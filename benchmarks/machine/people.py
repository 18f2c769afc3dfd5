"""People who sign in at the machine's auth service, over HTTP as anybody would."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import urlencode

from benchmarks.machine.files import CLIENTS
from benchmarks.ports import HOST
from benchmarks.served import FORM, basic

PEOPLE = 200
"""Users at most; more tokens are further sessions of theirs."""

PASSWORD = "correct horse battery"  # noqa: S105 - of users that live for one run

_SIGNING_IN = 8
_PATIENCE = 30.0


class Refused(Exception):
    """The auth service did not do what it was asked; the text says what it answered."""


class People:
    """Signs users in, and ends what they got.

    Args:
        port: The auth service's, on the loopback address.
        secrets: The client secrets, by the client.

    Attributes:
        names: Whose each token is, of those that were signed in and not ended.
    """

    def __init__(self, port: int, secrets: Mapping[str, str]) -> None:
        self.names: dict[str, str] = {}
        self._port = port
        self._clients = {name: basic(name, secret) for name, secret in secrets.items()}
        self._client = self._clients[CLIENTS["flask"]]
        self._refresh: dict[str, str] = {}
        self._registered: set[str] = set()
        self._people = itertools.cycle(f"person{number:03}" for number in range(PEOPLE))

    def sign_in(self, n: int, *, client: str = CLIENTS["flask"]) -> list[str]:
        """Log in ``n`` users, one after the other of `PEOPLE`, and return their access tokens.

        Args:
            n: How many tokens.
            client: By whom; tokens that were had by another than the default are not revoked or
                refreshed here.

        Raises:
            Refused: The auth service does not let them.
            OSError: It cannot be reached.
        """
        people = list(itertools.islice(self._people, n))
        new = sorted(set(people) - self._registered)
        with ThreadPoolExecutor(_SIGNING_IN) as pool:
            list(pool.map(self._register, new))
            return list(pool.map(partial(self._log_in, client=client), people))

    def refresh(self, token: str) -> str:
        """Trade the refresh token that came with ``token``; return the new access token.

        Raises:
            Refused: The auth service does not let it.
            OSError: It cannot be reached.
        """
        name, refresh = self.names[token], self._refresh.pop(token)
        granted = self._post("/refresh", {"refresh_token": refresh}, authorization=self._client)
        del self.names[token]
        return self._keep(name, granted)

    def revoke(self, token: str) -> None:
        """Have the auth service revoke a token, as its client; applications hear of it by Redis.

        Raises:
            Refused: The auth service does not do it.
            OSError: It cannot be reached.
        """
        form = urlencode({"token": token})
        self._post("/revoke", form, authorization=self._client, kind=FORM)
        self._forget(token)

    def log_out(self, token: str) -> None:
        """End a token and its session, as who bears it.

        Raises:
            Refused: The auth service does not do it.
            OSError: It cannot be reached.
        """
        self._post("/logout", {}, authorization=f"Bearer {token}")
        self._forget(token)

    def _register(self, name: str) -> None:
        asked = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        self._post("/register", asked, expect=201)
        self._registered.add(name)

    def _log_in(self, name: str, *, client: str) -> str:
        asked = {"username": name, "password": PASSWORD}
        return self._keep(name, self._post("/login", asked, authorization=self._clients[client]))

    def _keep(self, name: str, granted: Mapping[str, Any]) -> str:
        token: str = granted["access_token"]
        self.names[token] = name
        self._refresh[token] = granted["refresh_token"]
        return token

    def _forget(self, token: str) -> None:
        self.names.pop(token, None)
        self._refresh.pop(token, None)

    def _post(
        self,
        path: str,
        body: Mapping[str, str] | str,
        *,
        authorization: str | None = None,
        kind: str = "application/json",
        expect: int = 200,
    ) -> dict[str, Any]:
        headers = {"Content-Type": kind}
        if authorization is not None:
            headers["Authorization"] = authorization
        content = body if isinstance(body, str) else json.dumps(body)
        connection = http.client.HTTPConnection(HOST, self._port, timeout=_PATIENCE)
        with contextlib.closing(connection):
            connection.request("POST", path, content, headers)
            answer = connection.getresponse()
            said = answer.read()
        if answer.status != expect:
            raise Refused(f"{path} answered {answer.status}")
        return dict(json.loads(said or b"{}"))
