"""authenticator.core: presence selects, refusal is final (RULES 26, 29)."""

import logging

import pytest

from tokenward.authenticator import (
    Authentication,
    Authenticator,
    Credential,
    authorization,
    cookie,
    header,
    in_force,
    overridden,
)
from tokenward.bearer import error_response
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    CrossSiteRequest,
    InvalidAuthorizationHeader,
    InvalidToken,
    NotAuthenticated,
    TokenExpired,
)
from tokenward.principal import ANONYMOUS, Principal
from tokenward.testing import StubVerifier

ALICE = Principal("alice")
BOB = Principal("bob")
ROBOT = Principal("robot", kind="service")
OUTCOMES = {
    "alice": ALICE,
    "bob": BOB,
    "robot": ROBOT,
    "old": TokenExpired(),
    "down": AuthServiceUnavailable(),
    "nobody": NotAuthenticated(),
}


def credential(source, **options):
    return Credential(source, StubVerifier(OUTCOMES), **options)


@pytest.fixture
def bearer():
    return credential(authorization())


@pytest.fixture
def both(bearer):
    return Authenticator(bearer, credential(cookie("session")))


def test_the_principal_comes_with_the_credential_that_proved_it(bearer):
    """Callers can tell how they know."""
    found = Authenticator(bearer).authenticate({"Authorization": "Bearer alice"})
    assert found == Authentication(ALICE, bearer)


def test_nothing_presented_is_not_authenticated(both):
    """Neither place holds anything."""
    with pytest.raises(NotAuthenticated):
        both.authenticate({"Authorization": "Basic YTpi", "Cookie": "other=1"})


def test_an_authenticator_without_credentials_knows_nobody():
    """There is no default that lets anybody in."""
    with pytest.raises(NotAuthenticated):
        Authenticator().authenticate({"Authorization": "Bearer alice"})


def test_the_first_place_that_is_present_decides(both, bearer):
    """In the order they were written, whatever else is there."""
    headers = {"Authorization": "Bearer alice", "Cookie": "session=bob"}
    assert both.authenticate(headers).principal == ALICE
    swapped = Authenticator(*reversed(both.credentials))
    assert swapped.authenticate(headers).principal == BOB
    assert both.authenticate({"Cookie": "session=bob"}).principal == BOB


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("Bearer old", TokenExpired),
        ("Bearer unknown", InvalidToken),
        ("Bearer down", AuthServiceUnavailable),
        ("Bearer", InvalidAuthorizationHeader),
        ("Bearer a, Bearer b", InvalidAuthorizationHeader),
    ],
)
def test_a_refusal_or_an_outage_never_falls_through(both, value, error):
    """The cookie beside it is good, and is not even looked at."""
    with pytest.raises(error):
        both.authenticate({"Authorization": value, "Cookie": "session=bob"})
    assert both.credentials[1].verifier.calls == []


def test_a_verifier_that_says_not_authenticated_refuses(both):
    """Something was presented: an optional view must not take it for nothing."""
    with pytest.raises(InvalidToken):
        both.authenticate({"Authorization": "Bearer nobody"})
    environ = {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": "Bearer nobody"}
    with pytest.raises(InvalidToken):
        both.authenticate_environ(environ)


def test_live_reaches_the_verifier(bearer):
    """And is off unless asked for."""
    authenticator = Authenticator(bearer)
    headers = {"Authorization": "Bearer alice"}
    authenticator.authenticate(headers)
    authenticator.authenticate(headers, live=True)
    assert bearer.verifier.calls == [("alice", False), ("alice", True)]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_safe_methods_need_no_proof_of_the_site(both, method):
    """They change nothing."""
    assert both.authenticate({"Cookie": "session=bob"}, method=method).principal == BOB


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "PATCH", "DELETE", "post", "get", "PROPFIND", ""]
)
def test_other_methods_with_an_ambient_credential_do(both, method):
    """Unknown methods and other spellings are unsafe too."""
    with pytest.raises(CrossSiteRequest):
        both.authenticate({"Cookie": "session=bob"}, method=method)


def test_an_ambient_credential_with_proof_passes(both):
    """The browser says that the page is our own."""
    headers = {"Cookie": "session=bob", "Sec-Fetch-Site": "same-origin"}
    assert both.authenticate(headers, method="POST").principal == BOB


def test_a_configured_origin_is_proof(bearer):
    """The configuration says that its pages may."""
    authenticator = Authenticator(credential(cookie("s")), origins=["https://shop.example"])
    headers = {"Cookie": "s=bob", "Origin": "https://shop.example"}
    assert authenticator.authenticate(headers, method="POST").principal == BOB
    with pytest.raises(CrossSiteRequest):
        authenticator.authenticate(headers | {"Origin": "https://x.example"}, method="POST")


def test_what_a_page_must_set_itself_needs_no_proof(both):
    """A cross-site form cannot set Authorization."""
    headers = {"Authorization": "Bearer alice", "Sec-Fetch-Site": "cross-site"}
    assert both.authenticate(headers, method="POST").principal == ALICE


def test_the_check_follows_the_credential_that_decided(both):
    """A cookie beside Authorization does not make the request ambient."""
    headers = {"Authorization": "Bearer alice", "Cookie": "session=bob"}
    assert both.authenticate(headers, method="POST").principal == ALICE


def test_a_header_is_checked_unless_declared_not_ambient():
    """A proxy may attach it for whoever's browser."""
    headers = {"X-Api-Token": "alice"}
    with pytest.raises(CrossSiteRequest):
        Authenticator(credential(header("X-Api-Token"))).authenticate(headers, method="POST")
    declared = Authenticator(credential(header("X-Api-Token"), ambient=False))
    assert declared.authenticate(headers, method="POST").principal == ALICE


def test_a_service_token_is_exempt_from_the_check(both):
    """It is in no browser."""
    assert both.authenticate({"Cookie": "session=robot"}, method="POST").principal == ROBOT


def test_a_bad_cookie_is_a_bad_token_wherever_the_request_comes_from(both):
    """The verifier's refusal comes first."""
    with pytest.raises(TokenExpired):
        both.authenticate({"Cookie": "session=old"}, method="POST")


def outcome(authenticate, *args, **options):
    """Return who it is and by which place, or the refusal."""
    try:
        found = authenticate(*args, **options)
    except AuthError as error:
        return type(error), error.reason
    return found.principal.subject, found.credential.source.place


@pytest.mark.parametrize("value", [None, "", "Basic YTpi", "Bearer alice", "Bearer old", "Bearer"])
@pytest.mark.parametrize("session", [None, "session=bob", "session=nobody", "session=old"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("query", ["", "a=1", "access_token=x"])
@pytest.mark.parametrize("order", ["bearer first", "cookie first", "bearer ambient", "none"])
def test_a_wsgi_environment_is_judged_like_its_headers(value, session, method, query, order):
    """Whatever shortcut is taken for the usual request."""
    pair = (credential(authorization()), credential(cookie("session")))
    authenticator = Authenticator(
        *{
            "bearer first": pair,
            "cookie first": reversed(pair),
            "bearer ambient": (credential(authorization(), ambient=True), pair[1]),
            "none": (),
        }[order]
    )
    given = {"Authorization": value, "Cookie": session}
    headers = {name: text for name, text in given.items() if text is not None}
    environ = {"REQUEST_METHOD": method, "QUERY_STRING": query}
    environ |= {f"HTTP_{name.upper()}": text for name, text in headers.items()}
    expected = outcome(authenticator.authenticate, headers, method=method, query=query)
    assert outcome(authenticator.authenticate_environ, environ) == expected


def test_a_wsgi_environment_may_lack_a_query():
    """PEP 3333 lets servers leave it out."""
    authenticator = Authenticator(credential(authorization()))
    environ = {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": "Bearer alice"}
    assert authenticator.authenticate_environ(environ, live=True).principal == ALICE
    assert authenticator.credentials[0].verifier.calls == [("alice", True)]


class Silent:
    """A verifier without any memory."""

    def verify(self, token, /, *, live=False):
        raise AssertionError


class Remembering(Silent):
    """A verifier that answers from memory only."""

    def cached(self, token, /):
        return {"alice": ALICE}.get(token)


def test_cached_answers_what_is_known_without_io():
    """Known: the principal. Not known: None, and the verifier is not asked."""
    authenticator = Authenticator(Credential(authorization(), Remembering()))
    assert authenticator.cached({"Authorization": "Bearer alice"}).principal == ALICE
    assert authenticator.cached({"Authorization": "Bearer new"}) is None


def test_cached_is_none_for_a_verifier_without_a_cache():
    """The protocol is optional."""
    authenticator = Authenticator(Credential(authorization(), Silent()))
    assert authenticator.cached({"Authorization": "Bearer alice"}) is None


def test_cached_refuses_what_authenticate_would(both):
    """Nothing presented, malformed, refused, cross-site: all known without I/O."""
    with pytest.raises(NotAuthenticated):
        both.cached({})
    with pytest.raises(InvalidAuthorizationHeader):
        both.cached({"Authorization": "Bearer"})
    with pytest.raises(InvalidAuthorizationHeader):
        both.cached({"Authorization": "Bearer alice"}, query="access_token=x")
    with pytest.raises(TokenExpired):
        both.cached({"Authorization": "Bearer old"})
    with pytest.raises(CrossSiteRequest):
        both.cached({"Cookie": "session=bob"}, method="POST")


def test_two_credentials_at_one_place_are_a_configuration_error():
    """They would be tried one after the other; header names are equal in any case."""
    with pytest.raises(ConfigurationError, match="Two credentials read authorization; join"):
        Authenticator(credential(authorization()), credential(authorization()))
    with pytest.raises(ConfigurationError, match="header:x-api-token"):
        Authenticator(credential(header("X-Api-Token")), credential(header("x-api-token")))


def test_two_cookies_or_headers_are_two_places():
    """Cookie names are compared in their case."""
    pair = (credential(cookie("a")), credential(cookie("A")), credential(header("X-A")))
    assert Authenticator(*pair).credentials == pair


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"default_access": "open"}, "default_access is 'allow' or 'deny'"),
        ({"realm": "a\nb"}, "realm"),
        ({"public": ["health"]}, "is not a rule"),
        ({"public": "/health"}, "'public' takes a list"),
        ({"origins": ["https://a.example/"]}, "is not an origin"),
        ({"origins": "https://a.example"}, "'origins' takes a list"),
    ],
)
def test_a_wrong_option_is_a_configuration_error(options, sentence):
    """It fails when the program starts, with a sentence that says what to write."""
    with pytest.raises(ConfigurationError, match=sentence):
        Authenticator(**options)


def test_vary_names_every_header_a_decision_depends_on(bearer):
    """Once each, in the order of the places."""
    places = (bearer, credential(cookie("a")), credential(cookie("b")), credential(header("X-A")))
    assert Authenticator(*places).vary == "Authorization, Cookie, X-A"
    assert Authenticator().vary == ""


def test_public_paths_are_asked_by_method(bearer):
    """The rules as given."""
    authenticator = Authenticator(bearer, public=["/health"])
    assert authenticator.is_public("GET", "/health") is True
    assert authenticator.is_public("POST", "/health") is False


def test_with_credentials_keeps_everything_else(bearer):
    """Realm, default access, rules and origins."""
    first = Authenticator(
        realm="shop", default_access="deny", public=["/a"], origins=["https://shop.example"]
    )
    other = first.with_credentials(bearer, credential(cookie("s")))
    assert (other.realm, other.default_access) == ("shop", "deny")
    assert other.is_public("GET", "/a")
    assert other.credentials[0] is bearer
    headers = {"Cookie": "s=bob", "Origin": "https://shop.example"}
    assert other.authenticate(headers, method="POST").principal == BOB


@pytest.mark.parametrize(
    ("token", "raised", "said"),
    [
        (
            "some-unknown-token",
            InvalidToken,
            ("tokenward.refused", "refused at authorization by {}: invalid_token"),
        ),
        (
            "down",
            AuthServiceUnavailable,
            ("tokenward.unavailable", "at authorization, by {}: unavailable: "),
        ),
    ],
    ids=["a refusal", "an outage"],
)
def test_each_is_logged_at_debug_and_one_a_minute_as_a_warning(token, raised, said, both, caplog):
    """Refusals apart from outages: the reason, the hint and the place; never the token."""
    logger, line = said
    both.credentials[0].verifier.issuer = issuer = f"https://{logger}.example"
    caplog.set_level(logging.DEBUG, "tokenward")
    for _ in range(3):
        with pytest.raises(raised):
            both.authenticate({"Authorization": f"Bearer {token}"})
    levels = [record.levelno for record in caplog.records]
    assert (3, 1) == (levels.count(logging.DEBUG), levels.count(logging.WARNING))
    assert {logger} == {record.name for record in caplog.records}
    assert line.format(issuer) in caplog.text
    assert f"Bearer {token}" not in caplog.text
    assert "some-unknown-token" not in caplog.text


def test_a_log_handler_that_fails_changes_no_outcome(both, caplog):
    """The refusal stays what it is, at every level (RULES 51)."""
    caplog.set_level(logging.DEBUG, "tokenward.refused")

    class Failing(logging.Handler):
        def emit(self, record):
            raise OSError

    both.credentials[1].verifier.issuer = "https://failing.example"
    handler = Failing()
    logger = logging.getLogger("tokenward.refused")
    logger.addHandler(handler)
    try:
        with pytest.raises(TokenExpired):
            both.authenticate({"Cookie": "session=old"})
    finally:
        logger.removeHandler(handler)


def test_an_override_is_in_force_until_it_is_left(both):
    """The innermost counts."""
    own, other = both, Authenticator()
    assert in_force(own) is own
    with overridden(other):
        assert in_force(own) is other
        with overridden(own):
            assert in_force(other) is own
        assert in_force(own) is other
    assert in_force(own) is own


def test_an_override_ends_with_an_error_too(both):
    """A failing test leaves nothing behind."""
    with pytest.raises(ZeroDivisionError), overridden(Authenticator()):
        raise ZeroDivisionError
    assert in_force(both) is both


class Returning:
    """A verifier that returns what a verifier must not return."""

    def __init__(self, what):
        self.what = what

    def verify(self, _token, /, *, live=False):
        return self.what

    def cached(self, _token, /):
        return self.what


@pytest.mark.parametrize("what", [None, ANONYMOUS], ids=["none", "anonymous"])
def test_a_verifier_that_returns_nobody_lets_nobody_in(what):
    """It should have raised; whoever sent the token is refused all the same."""
    authenticator = Authenticator(Credential(authorization(), Returning(what)))
    headers = {"Authorization": "Bearer alice"}
    for decide in (
        lambda: authenticator.authenticate(headers),
        lambda: authenticator.authenticate_environ(
            {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": "Bearer alice"}
        ),
    ):
        with pytest.raises(InvalidToken):
            decide()


def test_cached_turns_a_verifiers_not_authenticated_into_a_refusal():
    """Something was presented, as in `authenticate`."""
    authenticator = Authenticator(Credential(authorization(), Returning(ANONYMOUS)))
    with pytest.raises(InvalidToken):
        authenticator.cached({"Authorization": "Bearer alice"})


class Standing(StubVerifier):
    """A verifier that knows somebody where nothing is presented at this machine."""

    absent_detail = "Say who you are"

    def __init__(self, who=ALICE):
        super().__init__(OUTCOMES)
        self.who = who
        self.asked = []

    def absent(self, headers, peer, /, *, live=False):
        self.asked.append((peer, live))
        if isinstance(self.who, Exception):
            raise self.who
        return self.who if peer == "::1" else None


def standing(who=ALICE, *, source=None, **options):
    verifier = Standing(who)
    return Authenticator(Credential(source or header("X-T"), verifier, **options)), verifier


def test_a_verifier_may_know_somebody_where_nothing_is_presented():
    """It is asked with the peer, and whether the answer must be live; and only then."""
    authenticator, verifier = standing()
    found = authenticator.authenticate({}, peer="::1")
    assert Authentication(ALICE, authenticator.credentials[0]) == found
    assert found == authenticator.cached({}, peer="::1")
    environ = {"REQUEST_METHOD": "GET", "REMOTE_ADDR": "::1"}
    assert found == authenticator.authenticate_environ(environ, live=True)
    assert [("::1", False), ("::1", False), ("::1", True)] == verifier.asked
    for call in (authenticator.authenticate, authenticator.cached):
        with pytest.raises(NotAuthenticated):
            call({}, peer="::2")
    verifier.asked.clear()
    assert BOB == authenticator.authenticate({"X-T": "bob"}, peer="::1").principal
    with pytest.raises(InvalidToken):
        authenticator.authenticate({"X-T": "nonsense"}, peer="::1")
    assert [] == verifier.asked


def test_the_first_that_knows_somebody_decides(bearer):
    """Those that know nobody, or cannot know, are passed over."""
    places = [
        Credential(header(f"X-{n}"), Standing(who)) for n, who in enumerate((None, BOB, ALICE))
    ]
    authenticator = Authenticator(bearer, *places)
    found = authenticator.authenticate({}, peer="::1")
    assert Authentication(BOB, places[1]) == found


def test_somebody_who_presents_nothing_needs_proof_of_the_site_too():
    """Unless the place is declared to be attached on purpose only."""
    authenticator, _ = standing()
    for call in (authenticator.authenticate, authenticator.cached):
        with pytest.raises(CrossSiteRequest):
            call({}, method="POST", peer="::1")
        assert ALICE == call({"Sec-Fetch-Site": "none"}, method="POST", peer="::1").principal
    deliberate, _ = standing(ambient=False)
    assert ALICE == deliberate.authenticate({}, method="POST", peer="::1").principal


def test_a_verifier_that_knows_nobody_must_not_let_anybody_in():
    """And what it raises is a refusal as any other, logged as one."""
    for who, error in (
        (ANONYMOUS, InvalidToken),
        (object(), InvalidToken),
        (TokenExpired(), TokenExpired),
        (NotAuthenticated(), InvalidToken),
        (AuthServiceUnavailable(), AuthServiceUnavailable),
    ):
        authenticator, _ = standing(who)
        for call in (authenticator.authenticate, authenticator.cached):
            with pytest.raises(error):
                call({}, peer="::1")


def test_who_presents_nothing_is_told_what_the_verifier_wants():
    """The first that has something to say; by whomever the error was raised."""
    authenticator, _ = standing()
    body = (
        b'{"error":"not_authenticated","error_description":"Authentication is required.",'
        b'"detail":"Say who you are"}'
    )
    for call in (authenticator.authenticate, authenticator.cached):
        with pytest.raises(NotAuthenticated) as caught:
            call({})
        assert "Say who you are" == caught.value.detail
        assert body == authenticator.error_response(caught.value).body
    bare = NotAuthenticated()
    assert body == authenticator.error_response(bare).body
    assert None is bare.detail
    said = NotAuthenticated()
    said.detail = "Another"
    assert b'"detail":"Another"' in authenticator.error_response(said).body


@pytest.mark.parametrize(
    "error", [InvalidToken(), CrossSiteRequest(), AuthServiceUnavailable(), ValueError("x")]
)
def test_nobody_else_is_told_that(error):
    """A refusal says of itself what it has to say."""
    authenticator, _ = standing()
    answer = authenticator.error_response(error)
    assert b"detail" not in answer.body
    assert error_response(error).body == answer.body


def test_the_answer_names_the_realm(bearer):
    """That of the authenticator; and no detail where no verifier has one."""
    answer = Authenticator(bearer, realm="shop").error_response(NotAuthenticated())
    assert 'Bearer realm="shop"' == dict(answer.headers)["WWW-Authenticate"]
    assert b"detail" not in answer.body


class Warm:
    """A verifier that has something to fetch."""

    def __init__(self, *, able=True):
        self.able = able
        self.warmed = 0

    def verify(self, token, /, *, live=False):
        return ALICE

    def warm_up(self):
        self.warmed += 1
        return self.able


@pytest.mark.parametrize("able", [(True, True), (False, True), (True, False)])
def test_all_verifiers_are_warmed_up(bearer, able):
    """Each once, also one that reads two places, and after one that could not be."""
    first, second = (Warm(able=it) for it in able)
    authenticator = Authenticator(
        bearer,
        Credential(header("X-First"), first),
        Credential(cookie("first"), first),
        Credential(header("X-Second"), second),
    )
    assert all(able) == authenticator.warm_up()
    assert (1, 1) == (first.warmed, second.warmed)


def test_where_nothing_is_to_fetch_all_is_there(bearer):
    """Of most verifiers nothing can be had ahead of a token."""
    assert Authenticator(bearer).warm_up()
