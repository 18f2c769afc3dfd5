"""An issuer's metadata: where it is, what is taken from it, how it is kept (RULES 15)."""

import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sites import Site, down, said

from tokenward._http import check_named_url
from tokenward.client_auth import BearerAuth, ClientSecretBasic, ClientSecretPost
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.metadata import IssuerMetadata, Metadata
from tokenward.metadata import issuer as issuer_module
from tokenward.protocols import Response
from tokenward.testing import FakeClock

ISSUER = "https://as.example"
OAUTH = f"{ISSUER}/.well-known/oauth-authorization-server"
OPENID = f"{ISSUER}/.well-known/openid-configuration"
SIGN_IN = f"{ISSUER}/users/sign_in"
BASIC = ClientSecretBasic("orders", "secret")


class Assertion:
    """A client that authenticates with a signed assertion."""

    client_id = "orders"
    methods = ("private_key_jwt",)

    def __init__(self, algorithm="ES256"):
        self.algorithm = algorithm

    def apply(self, request):
        return request


class Certificate:
    """A client that authenticates with a certificate, whoever issued it."""

    client_id = "orders"
    methods = ("tls_client_auth", "self_signed_tls_client_auth")

    def apply(self, request):
        return request


class Named:
    """A client that authenticates by one named method."""

    algorithm = "ES256"  # means nothing without a signed assertion

    def __init__(self, *methods):
        self.methods = methods

    def apply(self, request):
        return request


def document(**members):
    """Return metadata; ``...`` leaves a member out."""
    known = {
        "issuer": ISSUER,
        "introspection_endpoint": f"{ISSUER}/introspect",
        "jwks_uri": f"{ISSUER}/jwks",
    }
    return {name: value for name, value in (known | members).items() if value is not ...}


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def site():
    """Return a site that publishes good metadata."""
    return Site(**{OAUTH: document()})


@pytest.fixture
def metadata(site, clock):
    """Return the metadata of that site."""
    return at(site, clock=clock)


@pytest.fixture(autouse=True)
def _every_line_is_logged(monkeypatch):
    """Start each test with a log that has said nothing this minute."""
    monkeypatch.setattr(issuer_module._seldom, "_last", {})


def at(site, issuer=ISSUER, **options):
    """Return the metadata of an issuer."""
    return IssuerMetadata(issuer, transport=site, **options)


def outage(call, *args, **options):
    """Return the outage in which a call ends."""
    with pytest.raises(AuthServiceUnavailable) as caught:
        call(*args, **options)
    assert AuthServiceUnavailable is type(caught.value)
    return caught.value


# --- finding it


def test_nothing_is_asked_before_the_first_use(site, metadata):
    """A server that is down stops no start-up (RULES 50)."""
    assert (None, []) == (metadata.known, site.asked)
    assert "IssuerMetadata('https://as.example')" == repr(metadata)


def test_get(site, metadata):
    """The document, read-only, and its issuer."""
    found = metadata.get()

    assert (ISSUER, document()) == (found.issuer, dict(found.raw))
    assert f"{ISSUER}/jwks" == found.jwks_uri == metadata.jwks_uri()
    assert found is metadata.known
    assert [OAUTH] == site.asked
    with pytest.raises(TypeError):
        found.raw["issuer"] = "https://other.example"


@pytest.mark.parametrize(
    "absent",
    [
        *(Response(status) for status in (400, 401, 403, 404, 405, 406, 410)),
        *(Response(status, {"location": SIGN_IN}) for status in (301, 302, 303, 307, 308)),
        said(b"<html>a start page", content_type="text/html; charset=utf-8"),
        Response(200, {}, b"not JSON by its type"),
    ],
    ids=lambda r: f"{r.status} {r.headers.get('content-type')}",
)
def test_a_place_that_has_none_is_passed_over(absent, clock):
    """A clear no, a start page for every path and one to sign in at lead to the next place."""
    site = Site(**{OAUTH: absent, OPENID: document()})

    assert ISSUER == at(site, clock=clock).get().issuer
    assert [OAUTH, OPENID] == site.asked


@pytest.mark.parametrize(
    "present",
    [
        *(Response(status) for status in (201, 204, 408, 425, 429, 500, 502, 503, 504)),
        said(b"{"),
        said([]),
        said(document(issuer="https://other.example")),
        down(),
        down("deadline"),
    ],
    ids=str,
)
def test_a_place_that_fails_is_not_passed_over(present, clock):
    """What is there decides: another document might say something else."""
    site = Site(**{OAUTH: present, OPENID: document()})
    outage(at(site, clock=clock).get)

    assert [OAUTH] == site.asked


def test_no_metadata_anywhere(clock, caplog):
    """The hint lists the places; somebody has to change something, so it is an ERROR."""
    site = Site(**{OPENID: Response(410)})
    with caplog.at_level(logging.DEBUG, "tokenward"):
        error = outage(at(site, clock=clock).get)

    assert "no_metadata" == error.reason
    assert f"{OAUTH} answered 404; {OPENID} answered 410" in error.hint
    assert [logging.ERROR] == [record.levelno for record in caplog.records]


def test_a_redirect_is_explained(clock):
    """The hint says that none is followed, and what to configure."""
    site = Site(**{OAUTH: Response(302), OPENID: Response(301)})
    error = outage(at(site, clock=clock).get)
    named = outage(at(site, discovery_url=OPENID, clock=clock).get)

    assert ("no_metadata", "bad_response") == (error.reason, named.reason)
    assert f"{OAUTH} answered 302 (redirects are not followed); {OPENID}" in error.hint
    assert error.hint.endswith("or name discovery_url")
    assert "configure the final URL" in named.hint


def test_retry_after_is_the_rest_of_the_cooldown(clock):
    """So long nobody asks again, whatever comes; with the first failure's reason and hint."""
    site = Site(**{OAUTH: Response(503, {"retry-after": "120"})})
    found = at(site, clock=clock, cooldown=10)
    first = outage(found.get)
    clock.advance(4)
    again = outage(found.get)

    assert (10, 6) == (first.retry_after, again.retry_after)
    assert (first.reason, first.hint) == (again.reason, again.hint)
    assert again is not first
    assert 1 == len(site.asked)


@pytest.mark.parametrize("size", [1_048_576, 1_048_577])
def test_a_document_has_at_most_a_mebibyte(clock, size):
    """However much the transport takes."""
    body = json.dumps(document(padding="")).encode()
    body = body.replace(b'"padding": ""', b'"padding": "%s"' % (b"x" * (size - len(body))))
    assert size == len(body)
    found = at(Site(**{OAUTH: body}), clock=clock)
    if size > 1_048_576:
        assert "too_large" == outage(found.get).reason
    else:
        assert ISSUER == found.get().issuer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'{"issuer": "https://as.example", "issuer": "https://as.example"}',
        b'{"issuer": NaN}',
        b'\xef\xbb\xbf{"issuer": "https://as.example"}',
        b"[" * 100_000,
    ],
    ids=lambda b: str(b[:40]),
)
def test_a_broken_document_is_reported_to_the_breaker(clock, body):
    """A 200 that is not one strict JSON object is a failure of the server's (RULES 9, 25)."""
    site = Site(**{OAUTH: said(body)})

    assert "bad_response" == outage(at(site, clock=clock).get).reason
    assert [OAUTH] == site.unreadable


def test_a_query_is_in_no_hint(clock):
    """It may hold a key."""
    url = f"{ISSUER}/metadata?key=hidden"
    for page in (Response(404), Response(500), said({"issuer": "x"})):
        found = at(Site(**{url: page}), discovery_url=url, clock=clock)
        assert "hidden" not in outage(found.get).hint


# --- whose it is


@pytest.mark.parametrize(
    "named",
    [
        f"{ISSUER}/",
        "https://AS.example",
        "https://other.example",
        "https://as.example:443",
        "http://as.example",
        "",
        None,
        ...,
        [ISSUER],
        {"issuer": ISSUER},
        1,
    ],
    ids=repr,
)
def test_another_issuer_is_never_used(site, metadata, clock, caplog, named):
    """Compared exactly (RFC 8414, 3.3); never kept; one ERROR a minute that says both."""
    site[OAUTH] = document(issuer=named)
    with caplog.at_level(logging.DEBUG, "tokenward"):
        errors = [outage(metadata.get) for _ in range(3)]

    assert ["issuer_mismatch"] * 3 == [error.reason for error in errors]
    assert "a trailing slash counts" in errors[0].hint
    assert ISSUER in errors[0].hint
    assert [logging.ERROR] == [record.levelno for record in caplog.records]
    assert (None, 1) == (metadata.known, len(site.asked))
    site[OAUTH] = document()
    clock.advance(10)

    assert ISSUER == metadata.get().issuer


def test_another_issuer_does_not_replace_the_right_one(site, metadata, clock):
    """The last good document serves on."""
    metadata.get()
    site[OAUTH] = document(
        issuer="https://other.example", introspection_endpoint="https://x.example"
    )
    clock.advance(4_000)

    assert f"{ISSUER}/introspect" == metadata.endpoint("introspection_endpoint", BASIC)
    assert 2 == len(site.asked)


def test_the_document_says_for_how_long_it_is_good(site, metadata, clock):
    """``max-age`` counts, within bounds: after it, the document is fetched again."""
    site[OAUTH] = said(document(), cache_control="max-age=100")
    metadata.get()
    clock.advance(39)
    metadata.get()
    before = len(site.asked)
    clock.advance(61)
    metadata.get()

    assert (1, 2) == (before, len(site.asked))


def test_what_the_document_says_of_itself_is_cut_and_escaped(site, metadata):
    """A document cannot write lines into our log."""
    site[OAUTH] = document(issuer="https://evil.example/\n" + "x" * 1_000)
    hint = outage(metadata.get).hint

    assert "\n" not in hint
    assert len(hint) < 700


@pytest.mark.parametrize(
    ("discovery_url", "issuer"),
    [
        (OAUTH, ISSUER),
        (OPENID, ISSUER),
        (f"{ISSUER}/tenant/.well-known/openid-configuration", f"{ISSUER}/tenant"),
        (f"{OAUTH}/tenant", f"{ISSUER}/tenant"),
        (f"{OPENID}/a/b", f"{ISSUER}/a/b"),
    ],
)
def test_discovery_url_alone(clock, discovery_url, issuer):
    """The expected issuer is what stands around the well-known part; only this URL is asked."""
    site = Site(**{discovery_url: document(issuer=issuer)})
    found = at(site, None, discovery_url=discovery_url, clock=clock)

    assert issuer == found.issuer == found.get().issuer
    assert [discovery_url] == site.asked


def test_discovery_url_with_an_issuer(clock):
    """It may be anywhere, and the document is still compared."""
    url = "https://cdn.example/as.json"
    site = Site(**{url: document()})

    assert ISSUER == at(site, discovery_url=url, clock=clock).get().issuer
    site[url] = document(issuer="https://cdn.example")
    assert "issuer_mismatch" == outage(at(site, discovery_url=url, clock=clock).get).reason


@pytest.mark.parametrize(
    ("issuer", "options"),
    [
        ("http://as.example", {}),
        ("https://as.example?tenant=1", {}),
        ("https://user:secret@as.example", {}),
        ("https://as.example#x", {}),
        ("as.example", {}),
        ("", {}),
        (None, {}),
        (None, {"discovery_url": "https://as.example/metadata.json"}),
        (None, {"discovery_url": "http://as.example/.well-known/openid-configuration"}),
        (ISSUER, {"discovery_url": "file:///etc/passwd"}),
        *((ISSUER, {name: -1}) for name in ("ttl", "cooldown", "stale_for", "timeout")),
        *((ISSUER, {name: 0}) for name in ("ttl", "cooldown", "timeout")),
        *((ISSUER, {"ttl": value}) for value in (float("nan"), float("inf"), "60", None, True)),
    ],
    ids=repr,
)
def test_what_cannot_be_meant(issuer, options):
    """It stops start-up."""
    with pytest.raises(ConfigurationError):
        at(Site(), issuer, **options)


# --- what is taken from it


@pytest.mark.parametrize(
    "url",
    [
        "http://as.example/i",
        "http://127.0.0.1/i",
        "https://127.0.0.1/i",
        "https://localhost/i",
        "https://[::1]/i",
        "https://10.0.0.1/i",
        "https://172.16.0.1/i",
        "https://192.168.1.1:8443/i",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/i",
        "https://0.0.0.0/i",
        "https://224.0.0.1/i",
        "https://[fd00::1]/i",
        "https://[fe80::1]/i",
        "https://[64:ff9b::a00:1]/i",
        "https://[2002:a00:1::]/i",
        "https://[::ffff:10.0.0.1]/i",
        "https://127.0.0.1.example/i",
        "https://localhost.example/i",
        "https://2130706433/i",
        "https://0x7f.1/i",
        "https://user:pw@as.example/i",
        "https://as.example@evil.example/i",
        "file:///etc/passwd",
        "data:application/json,{}",
        "ftp://as.example/i",
        "//as.example/i",
        "/introspect",
        "https://as.example/i#x",
        "https://as.example/ i",
        "https://as.example\\@evil.example/i",
        "",
    ],
)
@pytest.mark.parametrize("member", ["introspection_endpoint", "jwks_uri"])
def test_urls_that_must_not_be_called(site, metadata, caplog, url, member):
    """Whatever a public issuer's document says, refused before any I/O (RULES 15)."""
    site[OAUTH] = document(**{member: url})
    with caplog.at_level(logging.ERROR, "tokenward"):
        if member == "jwks_uri":
            error = outage(metadata.jwks_uri)
        else:
            error = outage(metadata.endpoint, member, BASIC)

    assert "endpoint_refused" == error.reason
    assert {OAUTH} == set(site.asked)
    assert 1 == len(caplog.records)
    # The member that nobody needed spoils nothing.
    if member == "jwks_uri":
        assert f"{ISSUER}/introspect" == metadata.endpoint("introspection_endpoint", BASIC)
    else:
        assert f"{ISSUER}/jwks" == metadata.jwks_uri()


@pytest.mark.parametrize(
    "url",
    ["https://keys.example/jwks", "https://8.8.8.8/jwks", "https://[2606:4700::1111]/jwks"],
)
def test_a_url_elsewhere_is_used_as_it_stands(site, metadata, url):
    """The document's own ``jwks_uri``, and none that is made up from the issuer."""
    site[OAUTH] = document(jwks_uri=url)

    assert url == metadata.jwks_uri()


@pytest.mark.parametrize(
    "issuer", ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"]
)
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9090/i", "https://10.0.0.1/i", "https://as.example/i"]
)
def test_a_loopback_issuer_may_name_what_is_near(issuer, url):
    """Whoever configures this machine tries things out; plain http stays on it."""
    assert url == check_named_url(url, what="x", issuer=issuer)
    with pytest.raises(ConfigurationError):
        check_named_url("http://as.example/i", what="x", issuer=issuer)


def test_an_issuer_in_a_private_network_may_name_its_neighbours():
    """It was configured by its address; this machine is still not in that network."""
    private = "https://10.0.0.5"

    assert check_named_url("https://10.0.0.6/i", what="x", issuer=private)
    with pytest.raises(ConfigurationError, match="this machine"):
        check_named_url("https://127.0.0.1/i", what="x", issuer=private)


@pytest.mark.parametrize("value", [..., None, 1, ["https://as.example/i"], {}])
def test_an_endpoint_that_is_missing(site, metadata, value):
    """A 503 with a hint, and no URL of our own invention."""
    site[OAUTH] = document(introspection_endpoint=value)
    error = outage(metadata.endpoint, "introspection_endpoint", BASIC)

    assert "endpoint_missing" == error.reason
    assert "introspection_endpoint" in error.hint


METHODS = "introspection_endpoint_auth_methods_supported"
TOKEN_METHODS = "token_endpoint_auth_methods_supported"
ALGORITHMS = "introspection_endpoint_auth_signing_alg_values_supported"
TOKEN_ALGORITHMS = "token_endpoint_auth_signing_alg_values_supported"


@pytest.mark.parametrize(
    ("client_auth", "members", "fits"),
    [
        (BASIC, {METHODS: ["client_secret_basic", "client_secret_post"]}, True),
        (BASIC, {METHODS: ["client_secret_post"]}, False),
        (BASIC, {METHODS: []}, False),
        (BASIC, {METHODS: ["client_secret_post"], TOKEN_METHODS: ["client_secret_basic"]}, False),
        (BASIC, {TOKEN_METHODS: ["client_secret_basic"]}, True),
        (BASIC, {TOKEN_METHODS: ["private_key_jwt"]}, True),
        (BASIC, {}, True),
        (BASIC, {METHODS: "client_secret_post"}, True),
        (BASIC, {METHODS: None, TOKEN_METHODS: ["client_secret_post"]}, True),
        (BASIC, {METHODS: ["CLIENT_SECRET_BASIC", 1, None]}, False),
        (ClientSecretPost("a", "b"), {TOKEN_METHODS: ["client_secret_basic"]}, True),
        (BearerAuth("t"), {METHODS: ["client_secret_basic"]}, True),
        (Certificate(), {METHODS: ["self_signed_tls_client_auth"]}, True),
        (Certificate(), {METHODS: ["private_key_jwt"]}, False),
        (Assertion(), {METHODS: ["private_key_jwt"]}, True),
        (Assertion(), {METHODS: ["private_key_jwt"], ALGORITHMS: ["RS256", "ES256"]}, True),
        (Assertion(), {METHODS: ["private_key_jwt"], ALGORITHMS: ["RS256"]}, False),
        (Assertion(), {METHODS: ["private_key_jwt"], TOKEN_ALGORITHMS: ["RS256"]}, True),
        (Assertion(None), {METHODS: ["private_key_jwt"], ALGORITHMS: ["RS256"]}, True),
        (Assertion(), {ALGORITHMS: ["RS256"]}, False),
        (Assertion(), {ALGORITHMS: "RS256"}, True),
        (Named("client_secret_jwt"), {ALGORITHMS: ["RS256"]}, True),
    ],
    ids=repr,
)
def test_supported_methods_are_honoured(caplog, client_auth, members, fits):
    """The endpoint's own list, and no other's; nothing said is nothing refused."""
    metadata = at(Site(**{OAUTH: document(**members)}))
    if fits:
        assert f"{ISSUER}/introspect" == metadata.endpoint("introspection_endpoint", client_auth)
        return
    with caplog.at_level(logging.DEBUG, "tokenward"):
        errors = [
            outage(metadata.endpoint, "introspection_endpoint", client_auth) for _ in range(2)
        ]

    assert ["client_auth_unsupported"] * 2 == [error.reason for error in errors]
    assert [logging.ERROR] == [record.levelno for record in caplog.records]


def test_the_error_names_what_the_server_takes(site, metadata, caplog):
    """Both sides, so that one look at the log is enough (RULES 50)."""
    site[OAUTH] = document(**{METHODS: ["private_key_jwt", "tls_client_auth"]})
    outage(metadata.endpoint, "introspection_endpoint", BASIC)

    assert "takes private_key_jwt, tls_client_auth" in caplog.text
    assert "ClientSecretBasic is client_secret_basic" in caplog.text


@pytest.mark.parametrize("name", ["token_endpoint", "revocation_endpoint"])
def test_defaults_of_the_other_endpoints(name):
    """RFC 8414, section 2: client_secret_basic, where nothing is said."""
    found = Metadata(ISSUER, {name: f"{ISSUER}/x"})

    assert f"{ISSUER}/x" == found.endpoint(name, Named("client_secret_basic"))
    error = outage(found.endpoint, name, Named("client_secret_post"))
    assert "client_auth_unsupported" == error.reason


ALIAS = f"{ISSUER}:8443/introspect"


@pytest.mark.parametrize(
    ("client_auth", "aliases", "expected"),
    [
        (Certificate(), {"introspection_endpoint": ALIAS}, ALIAS),
        (BASIC, {"introspection_endpoint": ALIAS}, f"{ISSUER}/introspect"),
        (BearerAuth("t"), {"introspection_endpoint": ALIAS}, f"{ISSUER}/introspect"),
        (Certificate(), {"token_endpoint": ALIAS}, f"{ISSUER}/introspect"),
        (Certificate(), {}, f"{ISSUER}/introspect"),
        (Certificate(), None, f"{ISSUER}/introspect"),
        (Certificate(), [ALIAS], f"{ISSUER}/introspect"),
    ],
    ids=repr,
)
def test_aliases_for_mutual_tls(site, metadata, client_auth, aliases, expected):
    """Preferred with a certificate, and with nothing else (RFC 8705, section 5)."""
    site[OAUTH] = document(mtls_endpoint_aliases=aliases)

    assert expected == metadata.endpoint("introspection_endpoint", client_auth)


@pytest.mark.parametrize("url", ["http://as.example/i", "https://10.0.0.1/i", 1, None])
def test_an_alias_is_checked_like_any_url(site, metadata, url):
    """And is not silently replaced by the endpoint that asks for no certificate."""
    site[OAUTH] = document(mtls_endpoint_aliases={"introspection_endpoint": url})
    error = outage(metadata.endpoint, "introspection_endpoint", Certificate())

    assert "mtls_endpoint_aliases" in error.hint


@pytest.mark.parametrize(
    ("offered", "fits"),
    [(["ES256"], True), (["RS256", "ES384"], True), (["RS256"], False), ([], False), (..., True)],
)
def test_algorithms_are_compared(offered, fits):
    """One of several is enough; nothing said is nothing refused."""
    found = Metadata(ISSUER, {} if offered is ... else {"algs": offered})
    if fits:
        found.check_algorithms("algs", {"ES256", "ES384"})
    else:
        error = outage(found.check_algorithms, "algs", {"ES256", "ES384"})
        assert "algorithm_unsupported" == error.reason


# --- how it is kept


def test_one_document_for_all_uses(site, metadata, clock):
    """An hour long nobody asks again."""
    for _ in range(3):
        metadata.get()
        clock.advance(1_000)

    assert 1 == len(site.asked)


def test_it_is_fetched_anew_a_minute_ahead(site, metadata, clock):
    """A changed endpoint is used from then on."""
    metadata.get()
    site[OAUTH] = document(introspection_endpoint=f"{ISSUER}/new")
    clock.advance(3_539)
    assert f"{ISSUER}/introspect" == metadata.endpoint("introspection_endpoint", BASIC)
    clock.advance(1)

    assert f"{ISSUER}/new" == metadata.endpoint("introspection_endpoint", BASIC)
    assert 2 == len(site.asked)


def test_what_is_mended_is_seen_soon(site, metadata, clock):
    """A document that lacks something is looked at again, once in a cooldown."""
    site[OAUTH] = document(introspection_endpoint=...)
    for _ in range(5):
        outage(metadata.endpoint, "introspection_endpoint", BASIC)
    assert 1 == len(site.asked)
    site[OAUTH] = document()
    clock.advance(9.9)
    outage(metadata.endpoint, "introspection_endpoint", BASIC)
    clock.advance(0.1)

    assert f"{ISSUER}/introspect" == metadata.endpoint("introspection_endpoint", BASIC)
    assert 2 == len(site.asked)


def test_an_outage_is_a_warning_a_minute(site, metadata, clock, caplog):
    """Nobody has to change anything, and the last good document serves."""
    metadata.get()
    site[OAUTH] = down()
    with caplog.at_level(logging.DEBUG, "tokenward"):
        for _ in range(3):
            clock.advance(4_000)
            assert ISSUER == metadata.get().issuer

    assert [logging.WARNING] == [record.levelno for record in caplog.records]
    assert 4 == len(site.asked)


def test_it_serves_for_a_day_without_its_issuer(site, metadata, clock):
    """Endpoints hardly ever move; after that nobody knows."""
    metadata.get()
    site[OAUTH] = down()
    clock.advance(3_600 + 86_399)
    assert ISSUER == metadata.get().issuer
    clock.advance(1)

    assert "connect_failed" == outage(metadata.get).reason
    assert metadata.known is None


def test_the_deadline_is_passed_on(site, metadata):
    """Whoever has to answer in time says how long there is."""
    soon = time.monotonic() + 90
    metadata.get(deadline=soon)

    assert [soon] == site.deadlines


def test_all_places_share_one_deadline(clock):
    """And by default it is ``timeout`` seconds away."""
    site = Site()
    before = time.monotonic()
    outage(at(site, f"{ISSUER}/tenant", clock=clock, timeout=90).get)

    assert 3 == len(site.deadlines)
    assert 1 == len(set(site.deadlines))
    assert before + 90 <= site.deadlines[0] <= time.monotonic() + 90


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4)
    ),
    max_leaves=12,
)
MEMBERS = st.sampled_from(
    [
        *("issuer", "jwks_uri", "introspection_endpoint", "mtls_endpoint_aliases"),
        *(METHODS, TOKEN_METHODS, ALGORITHMS, TOKEN_ALGORITHMS),
        "introspection_signing_alg_values_supported",
    ]
)


@given(st.dictionaries(MEMBERS, JSON_VALUES), st.booleans())
def test_any_document_is_metadata_or_an_outage(members, ours):
    """Nothing foreign escapes, whatever a server publishes (RULES 3, 15)."""
    page = document(**members, **({"issuer": ISSUER} if ours and "issuer" not in members else {}))
    found = at(Site(**{OAUTH: page}))
    for use in (
        found.get,
        found.jwks_uri,
        lambda: found.endpoint("introspection_endpoint", Assertion()),
        lambda: found.endpoint("introspection_endpoint", Certificate()),
        lambda: found.read(lambda m: m.check_algorithms("x_supported", ["ES256"])),
    ):
        try:
            use()
        except AuthServiceUnavailable as error:
            assert error.hint  # noqa: PT017 - either way is fine


@given(st.binary(max_size=200))
def test_any_body_is_metadata_or_an_outage(body):
    """The same, for what is no JSON at all."""
    outage(at(Site(**{OAUTH: said(body)})).get)


def test_metadata_that_came_while_the_demand_failed_is_used(site, metadata):
    """Of a fetch that had begun before: it is newer than what something was missed in."""
    site[OAUTH] = document(jwks_uri=...)
    metadata.get()
    began, end = threading.Event(), threading.Event()

    def first():
        began.set()
        assert end.wait(90)
        return document()

    with ThreadPoolExecutor(1) as threads:
        site[OAUTH] = first
        refresh = threads.submit(metadata._document.refresh)
        assert began.wait(90)

        def second():
            end.set()
            refresh.result(90)
            return down()

        site[OAUTH] = second

        assert f"{ISSUER}/jwks" == metadata.jwks_uri()
