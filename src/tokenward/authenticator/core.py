"""`Authenticator`: finds the credential in a request and has its verifier decide."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from tokenward.authenticator.credential import Authentication
from tokenward.authenticator.refusals import refuse
from tokenward.authenticator.rules import SAFE_METHODS, Origins, PublicPaths
from tokenward.authenticator.sources import EnvironHeaders, authorization
from tokenward.bearer import check_realm, error_response, read_bearer, refuse_query_token
from tokenward.errors import AuthError, ConfigurationError, InvalidToken, NotAuthenticated
from tokenward.protocols import serves_live, thread_sensitive, warm_up

if TYPE_CHECKING:
    from tokenward.authenticator.credential import Credential
    from tokenward.bearer import ErrorResponse
    from tokenward.principal import Principal
    from tokenward.protocols import Headers


class Authenticator:
    """Finds the credential in a request and has its verifier decide.

    The first credential whose place is *present* in the request decides. A refusal, or an
    outage, is final: it never falls through to the next. Safe to share between threads.

    Args:
        credentials: In the order in which their places are looked at.
        realm: The protection space that challenges name (RFC 9110, section 11.5).
        default_access: Whether what declares nothing about itself is open or closed.
        public: Paths where credentials are not looked at; see `PublicPaths`.
        origins: Origins whose pages may send unsafe requests with ambient credentials.

    Attributes:
        credentials: As given.
        realm: As given.
        default_access: As given.
        vary: The request headers that a decision depends on, as a ``Vary`` value.

    Raises:
        ConfigurationError: Two credentials read one place; a rule, an origin or the realm is
            none.
    """

    def __init__(
        self,
        *credentials: Credential,
        realm: str = "api",
        default_access: Literal["allow", "deny"] = "allow",
        public: Sequence[str] = (),
        origins: Sequence[str] = (),
    ) -> None:
        places = [credential.source.place for credential in credentials]
        for place in places:
            if places.count(place) > 1:
                raise ConfigurationError(
                    f"Two credentials read {place}; join their verifiers with ByIssuer."
                )
        if default_access not in ("allow", "deny"):
            raise ConfigurationError(
                f"default_access is 'allow' or 'deny', not {default_access!r}."
            )
        self.credentials = credentials
        self.realm = check_realm(realm)
        self.default_access = default_access
        self.vary = ", ".join(dict.fromkeys(c.source.reads for c in credentials))
        self._bearer: Credential | None = None
        if credentials and credentials[0].source == authorization() and not credentials[0].ambient:
            self._bearer = credentials[0]
            self._verify = credentials[0].verifier.verify
        self._public = PublicPaths(public)
        self._origins = Origins(origins)
        self._options: dict[str, Any] = {
            "realm": realm,
            "default_access": default_access,
            "public": tuple(public),
            "origins": tuple(origins),
        }

    def authenticate(
        self,
        headers: Headers,
        *,
        method: str = "GET",
        query: str = "",
        peer: str | None = None,
        live: bool = False,
    ) -> Authentication:
        """Decide who sends this request.

        Args:
            headers: The request's headers; a repeated one arrives comma-joined.
            method: The request's method, as sent: no override header counts.
            query: The raw query string; a token in it, beside one in ``Authorization``, is
                refused. It is never taken from there.
            peer: The address of the other end of the connection, for a verifier that knows
                somebody where nothing is presented: see `TokenVerifier`.
            live: Take no cached decision; ask the issuer.

        Raises:
            NotAuthenticated: Nothing is presented.
            InvalidAuthorizationHeader: Something is, but it cannot be one token.
            InvalidToken: The token is refused.
            CrossSiteRequest: The credential is ambient, and another site may have sent it.
            AuthServiceUnavailable: Nobody could decide.
        """
        for credential in self.credentials:
            try:
                token = credential.source.read(headers, query)
                if token is None:
                    continue
                principal = _somebody(credential.verifier.verify(token, live=live))
                if credential.ambient:
                    self._check_site(principal, method, headers)
            except AuthError as error:
                refuse(credential, error)
            return Authentication(principal, credential)
        return self._unpresented(headers, method, peer, live=live)

    def authenticate_environ(
        self, environ: Mapping[str, Any], *, live: bool = False
    ) -> Authentication:
        """Decide who sends the request of a WSGI environment; see `authenticate`."""
        if self._bearer is not None:
            # The path of nearly every request: the first step of `authenticate`, written out.
            try:
                token = read_bearer(environ.get("HTTP_AUTHORIZATION"))
                if token is not None:
                    query = environ.get("QUERY_STRING")
                    if query:
                        refuse_query_token(query)
                    principal = _somebody(self._verify(token, live=live))
                    return Authentication(principal, self._bearer)
            except AuthError as error:
                refuse(self._bearer, error)
        return self.authenticate(
            EnvironHeaders(environ),
            method=environ["REQUEST_METHOD"],
            query=environ.get("QUERY_STRING", ""),
            peer=environ.get("REMOTE_ADDR"),
            live=live,
        )

    def cached(
        self,
        headers: Headers,
        *,
        method: str = "GET",
        query: str = "",
        peer: str | None = None,
    ) -> Authentication | None:
        """Decide without any I/O, or return ``None`` where that takes some.

        Raises:
            AuthError: As `authenticate`, for what is known without I/O.
        """
        for credential in self.credentials:
            try:
                token = credential.source.read(headers, query)
                if token is None:
                    continue
                cached = getattr(credential.verifier, "cached", None)
                principal: Principal | None = None if cached is None else cached(token)
                if principal is None:
                    return None
                _somebody(principal)
                if credential.ambient:
                    self._check_site(principal, method, headers)
            except AuthError as error:
                refuse(credential, error)
            return Authentication(principal, credential)
        return self._unpresented(headers, method, peer)

    def presented(self, headers: Headers, *, query: str = "") -> Credential | None:
        """Return the credential that decides a request, with nothing verified yet.

        Args:
            headers: As in `authenticate`.
            query: The same.

        Returns:
            ``None`` when nothing is presented. What cannot be one token is presented too.
        """
        for credential in self.credentials:
            try:
                if credential.source.read(headers, query) is not None:
                    return credential
            except AuthError:
                return credential
        return None

    def check_site(self, headers: Headers) -> None:
        """Refuse a request that another site may have made a browser send.

        `authenticate` asks this by itself; a sign-in form has no credential yet, and has to be
        protected too.

        Raises:
            CrossSiteRequest: Nothing shows that the request comes from the same origin, from the
                person, or from one of ``origins``.
        """
        self._origins.check(headers)

    def error_response(self, error: BaseException) -> ErrorResponse:
        """Return the HTTP answer for ``error`` here; see `tokenward.error_response`.

        It names this realm; whoever presents nothing is told what the verifiers want them told.
        """
        if isinstance(error, NotAuthenticated) and error.detail is None:
            error = self._told(copy.copy(error))
        return error_response(error, realm=self.realm)

    def warm_up(self) -> bool:
        """Have every verifier that can fetch what it needs now; the first request need not wait.

        For the start of a process, or of gunicorn's ``--preload``. Never raises: a server that is
        down stops no start-up.

        Returns:
            Whether every one of them has it.
        """
        able = {id(c.verifier): c.verifier for c in self.credentials}.values()
        warmed = [warm_up(verifier) for verifier in able]
        return all(warmed)

    @property
    def serves_live(self) -> bool:
        """Whether every credential's verifier can take a ``live`` decision."""
        return all(serves_live(credential.verifier) for credential in self.credentials)

    @property
    def thread_sensitive(self) -> bool:
        """Whether a credential's verifier reads Django's database; see `TokenVerifier`."""
        return any(thread_sensitive(credential.verifier) for credential in self.credentials)

    def is_public(self, method: str, path: str) -> bool:
        """Tell whether credentials are not looked at; ``path`` percent-decoded once."""
        return self._public.match(method, path)

    def with_credentials(self, *credentials: Credential) -> Authenticator:
        """Return an authenticator with the same realm and rules, and these credentials."""
        return Authenticator(*credentials, **self._options)

    def _unpresented(
        self, headers: Headers, method: str, peer: str | None, *, live: bool = False
    ) -> Authentication:
        for credential in self.credentials:
            absent = getattr(credential.verifier, "absent", None)
            if absent is None:
                continue
            try:
                principal: Principal | None = absent(headers, peer, live=live)
                if principal is None:
                    continue
                _somebody(principal)
                if credential.ambient:
                    self._check_site(principal, method, headers)
            except AuthError as error:
                refuse(credential, error)
            return Authentication(principal, credential)
        raise self._told(NotAuthenticated())

    def _told(self, nobody: NotAuthenticated) -> NotAuthenticated:
        details = (getattr(c.verifier, "absent_detail", None) for c in self.credentials)
        nobody.detail = next((detail for detail in details if detail is not None), None)
        return nobody

    def _check_site(self, principal: Principal, method: str, headers: Headers) -> None:
        # A service token is in no browser.
        if method not in SAFE_METHODS and principal.kind != "service":
            self._origins.check(headers)


def _somebody(principal: Principal) -> Principal:
    # A verifier that means to refuse must raise; one that returns nobody must not let anybody in.
    if not getattr(principal, "is_authenticated", False):
        raise InvalidToken("the verifier returned nobody, and did not raise", reason="no_subject")
    return principal
