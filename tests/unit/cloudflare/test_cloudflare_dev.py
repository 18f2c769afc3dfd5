"""cloudflare.dev: who asks on a developer's machine (RULES 43)."""

import logging

import pytest
from cloudflare_team import ACME
from django.http.request import HttpHeaders
from werkzeug.datastructures import Headers as WerkzeugHeaders

from tokenward.authenticator import Authenticator, Credential, EnvironHeaders, authorization
from tokenward.cloudflare import CloudflareUser
from tokenward.errors import (
    AuthServiceUnavailable,
    ConfigurationError,
    CrossSiteRequest,
    InvalidAuthorizationHeader,
    InvalidToken,
    NotAuthenticated,
)
from tokenward.testing import StubVerifier

DEV = "dev@acme.example"
HERE = "127.0.0.1"
SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def development(monkeypatch):
    """Run where developers do."""
    monkeypatch.setenv("TOKENWARD_ENV", "development")


@pytest.fixture
def access(make, development):
    return make(dev_user=DEV)


@pytest.fixture
def authenticator(access):
    return Authenticator(*access.credentials(cookie=True))


def test_an_e_mail_address_is_somebody(access):
    """And its own identifier."""
    who = access.absent({}, HERE)
    assert (DEV, DEV, "user", ACME) == (who.subject, who.email, who.kind, who.issuer)
    assert CloudflareUser(DEV, DEV) == CloudflareUser.of(who)
    assert frozenset() == who.roles | who.scopes


def test_a_user_is_who_it_says(make, development):
    """With a country, for what depends on that."""
    user = CloudflareUser("uuid-1", DEV, "NL")
    assert user == CloudflareUser.of(make(dev_user=user).absent({}, HERE))


def test_nobody_is_somebody_without_dev_user(make, development):
    """That is the default."""
    assert None is make().absent({}, HERE)


@pytest.mark.parametrize("env", [None, "", "production", "Development", "development ", "dev"])
def test_another_environment_ignores_it_and_says_so_once(make, monkeypatch, caplog, env):
    """A configuration that came along by mistake lets nobody in."""
    if env is None:
        monkeypatch.delenv("TOKENWARD_ENV", raising=False)
    else:
        monkeypatch.setenv("TOKENWARD_ENV", env)
    access = make(dev_user=DEV)
    assert [("tokenward.cloudflare", logging.WARNING)] == [
        (r.name, r.levelno) for r in caplog.records
    ]
    assert "dev_user is ignored" in caplog.text
    # Read at start-up.
    monkeypatch.setenv("TOKENWARD_ENV", "development")
    assert None is access.absent({}, HERE)
    assert 1 == len(caplog.records)


def test_the_environment_is_read_at_start_up(access, monkeypatch, caplog):
    """What changes it later changes nothing, and there is nothing to warn of."""
    monkeypatch.delenv("TOKENWARD_ENV")
    assert DEV == access.absent({}, HERE).subject
    assert "" == caplog.text


@pytest.mark.parametrize(
    "peer", ["127.0.0.1", "127.8.9.10", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"]
)
def test_this_machine(access, peer):
    """By its address."""
    assert DEV == access.absent({}, peer).subject


@pytest.mark.parametrize(
    "peer",
    [
        *(None, "", "localhost", "127.0.0.1.evil.example", "127.1", "2130706433", "127.0.0.1:80"),
        *("127.0.0.1, 127.0.0.1", " 127.0.0.1", "unix:", "@", "10.0.0.1", "192.168.1.7"),
        *("203.0.113.9", "255.255.255.255", "::", "::2", "::ffff:10.0.0.1", "[::1]", "fe80::1"),
    ],
)
def test_another_machine(access, peer):
    """By whatever else."""
    assert None is access.absent({}, peer)


FORWARDING = [
    *("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port"),
    *("X-Forwarded-Server", "X-Forwarded-Prefix", "X-Real-Ip", "X-Client-Ip", "Via"),
    *("X-Original-Forwarded-For", "True-Client-Ip", "Fastly-Client-Ip", "Fly-Client-Ip"),
    *("Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Cf-Ray", "Cf-Ipcountry", "Cf-Visitor"),
    *("Cdn-Loop", "X-Envoy-External-Address", "Cf-Worker", "Client-Ip"),
]
UNLISTED = [
    *("X-Forwarded-Anything", "Cf-Access-Authenticated-User-Email", "Cf-Access-Client-Id"),
    *("Cf-Ew-Via", "x-forwarded-for", "cf-ray", "VIA"),
]


class Named:
    """Headers that can only be asked for by name."""

    def __init__(self, **headers):
        self.headers = {name.lower(): value for name, value in headers.items()}

    def get(self, name):
        return self.headers.get(name.lower())


def environ(name, value):
    return {"HTTP_" + name.upper().replace("-", "_"): value, "REMOTE_ADDR": HERE, "PATH_INFO": "/"}


@pytest.mark.parametrize("value", ["127.0.0.1", ""])
@pytest.mark.parametrize("name", FORWARDING + UNLISTED)
def test_what_was_passed_on_is_from_nobody_here(access, name, value):
    """Whatever the header says, in the headers of every framework."""
    many = [
        {name: value},
        EnvironHeaders(environ(name, value)),
        WerkzeugHeaders([(name, value)]),
        HttpHeaders(environ(name, value)),
    ]
    if name in FORWARDING:
        many.append(Named(**{name: value}))
    assert [None] * len(many) == [access.absent(headers, HERE) for headers in many]


@pytest.mark.parametrize(
    "name", ["Origin", "User-Agent", "X-Request-Id", "Cf-Access-Jwt-Assertion", "Cookie"]
)
def test_other_headers_say_nothing(access, name):
    """An assertion that is empty included."""
    for headers in ({name: ""}, EnvironHeaders(environ(name, "")), WerkzeugHeaders([(name, "")])):
        assert DEV == access.absent(headers, HERE).subject
    assert DEV == access.absent(Named(**{name: ""}), HERE).subject


def with_host(host):
    """Return a Host header as every framework has it."""
    return [
        {"Host": host},
        EnvironHeaders(environ("Host", host)),
        WerkzeugHeaders([("Host", host)]),
        HttpHeaders(environ("Host", host)),
        Named(Host=host),
    ]


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8000", "LocalHost:1", "shop.LOCALHOST", "a.b-c.localhost:65535"),
        *("127.0.0.1", "127.0.0.1:8000", "127.255.0.9:80", "[::1]", "[::1]:8000"),
        *("[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:80", "[::FFFF:7F00:1]"),
        *("testserver", "my_app:5000", "web-1", "X", "3f2a81b0c9de:80", f"{'a' * 63}:80"),
    ],
)
def test_a_name_of_this_machine(access, host):
    """As the developer's browser, and test clients, ask for it."""
    assert [DEV] * 5 == [access.absent(headers, HERE).subject for headers in with_host(host)]


@pytest.mark.parametrize(
    "host",
    [
        # Sites; and names that only look like those of this machine.
        *("evil.example", "demo.ngrok.app:443", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("evillocalhost.example", "xlocalhost.", "localhost.", "evil.example.", "evil."),
        *("shop.localhost.", "x.evil-localhost", "127.0.0.1.nip.io", "ai."),
        # Other machines.
        *("203.0.113.9", "10.0.0.1:8000", "192.168.1.7", "0.0.0.0:8000", "126.255.255.255"),
        *("[::]", "[::2]", "[fe80::1]", "[::ffff:10.0.0.1]:80", "128.0.0.1"),
        # Several, and none.
        *("localhost,evil.example", "localhost, localhost", "localhost,localhost", ",", ""),
        *("evil.example,localhost", "localhost;evil.example", "localhost evil.example"),
        # Malformed.
        *(" localhost", "localhost ", "localhost\t", "localhost:", "localhost:x", ":80"),
        *("localhost:123456", "localhost:80:80", "::1", "::1:80", "[::1", "::1]", "[127.0.0.1]"),
        *("[::1]x", "[::1]80", "[::1%eth0]", "[]", "[localhost]", "127.1", "2130706433"),
        *("127.0.0.01", "127.0.0.1.", "127.0.0", ".localhost", "a..localhost", "-a.localhost"),
        *("user@localhost", "evil.example@localhost", "http://localhost", "localhost/", "*"),
        *("localhost:\u0661", "\u212aafe", "l\u00f6calhost", "-", "a-", f"{'a' * 64}", "%6c"),
    ],
    ids=ascii,
)
def test_another_name(access, host):
    """A tunnel's, or that of a site which leads its name to this machine; or no name at all."""
    assert [None] * 5 == [access.absent(headers, HERE) for headers in with_host(host)]


def test_it_counts_as_present(authenticator, access):
    """With the credential whose verifier knows them."""
    found = authenticator.authenticate({}, peer=HERE)
    assert (DEV, authenticator.credentials[0]) == (found.principal.subject, found.credential)
    assert found == authenticator.cached({}, peer=HERE)
    assert found == authenticator.authenticate_environ(
        {"REQUEST_METHOD": "GET", "REMOTE_ADDR": HERE}
    )


@pytest.mark.parametrize("peer", [None, "203.0.113.9"])
def test_elsewhere_nothing_is_presented(authenticator, peer):
    """The default of ``peer`` lets nobody in."""
    for call in (authenticator.authenticate, authenticator.cached):
        with pytest.raises(NotAuthenticated):
            call({}, peer=peer)
        with pytest.raises(NotAuthenticated):
            call({"X-Forwarded-For": HERE}, peer=HERE)
    with pytest.raises(NotAuthenticated):
        authenticator.authenticate({})
    with pytest.raises(NotAuthenticated):
        authenticator.authenticate_environ({"REQUEST_METHOD": "GET"})


@pytest.mark.parametrize("name", ["Cf-Access-Jwt-Assertion", "Cookie"])
def test_what_is_presented_decides(authenticator, site, team, name):
    """A good assertion, a bad one, and one that cannot be checked."""
    prefix = "CF_Authorization=" if name == "Cookie" else ""
    found = authenticator.authenticate({name: prefix + team.person()}, peer=HERE)
    assert "uuid-of-alice" == found.principal.subject
    with pytest.raises(InvalidToken):
        authenticator.authenticate({name: prefix + "nonsense"}, peer=HERE)
    assert DEV == authenticator.authenticate({name: prefix}, peer=HERE).principal.subject


def test_what_is_presented_at_another_credential_decides_too(access):
    """A bad bearer token is not forgiven because of the machine it comes from."""
    stub = StubVerifier({"down": AuthServiceUnavailable()})
    mixed = Authenticator(*access.credentials(), Credential(authorization(), stub))
    for value, error in (
        ("Bearer bad", InvalidToken),
        ("Bearer a b", InvalidAuthorizationHeader),
        ("Bearer down", AuthServiceUnavailable),
    ):
        for call in (mixed.authenticate, mixed.cached):
            with pytest.raises(error):
                call({"Authorization": value}, peer=HERE)
        with pytest.raises(error):
            mixed.authenticate_environ(
                {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": value, "REMOTE_ADDR": HERE}
            )
    assert DEV == mixed.authenticate({"Authorization": "Basic x"}, peer=HERE).principal.subject


def test_another_site_cannot_act_for_the_developer(authenticator):
    """It is as ambient as can be: any page in their browser reaches this machine."""
    for call in (authenticator.authenticate, authenticator.cached):
        for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            with pytest.raises(CrossSiteRequest):
                call(headers, method="POST", peer=HERE)
            assert DEV == call(headers, peer=HERE).principal.subject
        assert DEV == call(SAME, method="POST", peer=HERE).principal.subject


def test_a_live_view_is_the_mistake_here_that_it_is_elsewhere(authenticator):
    """The developer hears of it first."""
    with pytest.raises(ConfigurationError, match="take live off"):
        authenticator.authenticate({}, peer=HERE, live=True)
    with pytest.raises(NotAuthenticated):
        authenticator.authenticate({}, peer="203.0.113.9", live=True)
