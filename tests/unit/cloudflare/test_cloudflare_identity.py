"""cloudflare.identity: verified first, then asked for at the team's own domain (RULES 43, 45)."""

import logging
import pickle
import threading
import time

import pytest
from cloudflare_team import ACME, CERTS, IDENTITY, Team
from hypothesis import given
from hypothesis import strategies as st
from sites import down, said

from tokenward.cloudflare import Identity
from tokenward.cloudflare.identity import IDENTITY_TTL, MAX_IDENTITIES, REFUSAL_TTL
from tokenward.errors import AuthServiceUnavailable, InvalidToken
from tokenward.protocols import Response

URL = ACME + IDENTITY
REFUSED = "CFA token verification failed"
ALICE = {
    "email": "alice@acme.example",
    "user_uuid": "uuid-of-alice",
    "account_id": "1234",
    "iat": 1_694_791_905,
    "ip": "192.0.2.1",
    "auth_status": "NONE",
    "common_name": "alice.example",
    "service_token_id": "robot.access",
    "service_token_status": False,
    "is_warp": True,
    "is_gateway": False,
    "gateway_account_id": "gw",
    "device_id": "d-1",
    "version": 2,
    "device_sessions": {"d-1": {"last_authenticated": 1}},
    "idp": {"id": "i-1", "type": "okta"},
    "geo": {"country": "NL"},
    "devicePosture": {"p-1": {"success": True}},
    "groups": ["writers", {"id": "g-2", "name": "admins", "email": "admins@acme.example"}],
    "more": [1, {"a": 2}],
}


@pytest.fixture
def ask(make, site, team):
    """Return a function that asks for an identity whose answer is given."""
    token = team.person()

    def ask(page):
        site[URL] = page
        return make().get_identity(token)

    return ask


def test_every_member_has_a_name(ask):
    """As Cloudflare documents them, and the whole answer beside them."""
    who = ask(ALICE)
    plain = {name: getattr(who, name) for name in ALICE if name not in ("devicePosture", "more")}
    same = {name: plain[name] for name in plain if plain[name] == ALICE[name]}
    assert {"version", "device_sessions", "groups"} >= plain.keys() - same.keys()
    assert "2" == who.version
    assert {"p-1": {"success": True}} == who.device_posture
    assert {"d-1": {"last_authenticated": 1}} == who.device_sessions
    assert ("writers", "admins") == who.groups
    assert (1, {"a": 2}) == who.raw["more"]
    assert "alice@acme.example" == who.raw["email"]


def test_an_identity_cannot_be_changed(ask):
    """It is shared by every request that bears the token."""
    who = ask(ALICE)
    for change in (
        lambda: who.raw.update(a=1),
        lambda: who.idp.update(a=1),
        who.device_posture["p-1"].clear,
        lambda: setattr(who, "email", "b"),
    ):
        with pytest.raises((TypeError, AttributeError)):
            change()
    assert who == pickle.loads(pickle.dumps(who))  # noqa: S301


def test_its_repr_says_who_it_is_and_no_more(ask):
    """It lands in logs."""
    assert "Identity(email='alice@acme.example', user_uuid='uuid-of-alice')" == repr(ask(ALICE))


def test_an_empty_answer_is_an_identity(ask):
    """Everything is missing then."""
    assert Identity() == ask({})


@pytest.mark.parametrize(
    ("answer", "name", "value"),
    [
        ({"cn": "a"}, "common_name", "a"),
        ({"common_name": "b", "cn": "a"}, "common_name", "b"),
        ({"common_name": "", "cn": "a"}, "common_name", "a"),
        ({"iat": 1.5e9}, "iat", 1_500_000_000),
        ({"iat": True}, "iat", None),
        ({"iat": 10**60}, "iat", 10**60),
        ({"iat": "1"}, "iat", None),
        ({"version": "3"}, "version", "3"),
        ({"version": True}, "version", None),
        ({"is_warp": "true"}, "is_warp", None),
        ({"is_warp": 1}, "is_warp", None),
        ({"service_token_status": "ok"}, "service_token_status", "ok"),
        ({"geo": "NL"}, "geo", "NL"),
        ({"device_sessions": ["a"]}, "device_sessions", ("a",)),
        ({"device_sessions": "a"}, "device_sessions", None),
        ({"idp": ["a"]}, "idp", None),
        ({"devicePosture": "a"}, "device_posture", None),
        ({"device_posture": {"a": 1}}, "device_posture", None),
        ({"email": ["a"]}, "email", None),
        ({"email": ""}, "email", None),
        ({"groups": None}, "groups", ()),
        ({"groups": "a"}, "groups", ()),
        ({"groups": {"name": "a"}}, "groups", ()),
        ({"groups": ["b", "a", "b", "", 7, None, ["c"]]}, "groups", ("b", "a")),
        ({"groups": [{"name": "a"}, {"id": "b"}, {"name": 7}, {}]}, "groups", ("a",)),
    ],
)
def test_what_has_another_type_is_missing(ask, answer, name, value):
    """Whatever Cloudflare writes tomorrow, nothing fails."""
    assert value == getattr(ask(answer), name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*ALICE, "cn", "err"]), JSON))
def test_any_object_is_an_identity(answer):
    """Never a foreign exception."""
    who = Identity.of(answer)
    assert all(isinstance(name, str) for name in who.groups)
    assert answer.keys() == who.raw.keys()
    assert who.iat is None or type(who.iat) is int


def test_the_token_goes_to_the_domain_of_the_team_as_a_cookie(make, site, team):
    """Nowhere else, and in no other way."""
    site[URL] = ALICE
    token = team.person()
    before = time.monotonic()
    make(timeout=90).get_identity(token)
    request = site.sent[-1]
    assert ("GET", URL) == (request.method, request.url)
    assert {"Accept": "application/json", "Cookie": f"CF_Authorization={token}"} == request.headers
    assert (None, None) == (request.form, request.json)
    assert token not in repr(request)
    assert before + 90 <= site.deadlines[-1] <= time.monotonic() + 90


def test_a_domain_of_the_teams_own_is_asked(make, site, clock):
    """Instead of the shared one."""
    own = Team("https://login.acme.example", clock=clock)
    site[own.issuer + CERTS] = own.certs
    site[own.issuer + IDENTITY] = ALICE
    make(domain="login.acme.example").get_identity(own.person())
    assert [own.issuer + CERTS, own.issuer + IDENTITY] == site.asked


@pytest.mark.parametrize(
    "claims", [{"type": "org"}, {"aud": "other"}, {"expires_in": -60}, {"iss": "https://evil"}]
)
def test_what_is_refused_is_sent_to_nobody(make, site, team, claims):
    """Verified first."""
    site[URL] = ALICE
    with pytest.raises(InvalidToken) as caught:
        make().get_identity(team.person(**claims))
    assert REFUSED == caught.value.detail
    assert URL not in site.asked


def test_a_forged_token_is_sent_to_nobody(make, site, team):
    """The signature counts."""
    site[URL] = ALICE
    first, second, _ = team.person().split(".")
    _, _, third = team.person("bob").split(".")
    with pytest.raises(InvalidToken):
        make().get_identity(f"{first}.{second}.{third}")
    assert [ACME + CERTS] == site.asked


def test_an_identity_is_remembered_for_a_minute(make, site, team, clock):
    """By the token: another of the same person is asked about anew."""
    site[URL] = ALICE
    access, token = make(), team.person()
    access.get_identity(token)
    site[URL] = ALICE | {"ip": "192.0.2.2"}
    clock.advance(IDENTITY_TTL - 11)
    assert "192.0.2.1" == access.get_identity(token).ip
    assert "192.0.2.2" == access.get_identity(team.person("alice", jti="2")).ip
    clock.advance(12)
    assert "192.0.2.2" == access.get_identity(token).ip
    assert 3 == site.asked.count(URL)


def test_an_identity_ends_with_its_token(make, site, team, clock):
    """The token is looked at first, each time."""
    site[URL] = ALICE
    access, token = make(leeway=0), team.person(expires_in=20)
    access.get_identity(token)
    clock.advance(20)
    with pytest.raises(InvalidToken):
        access.get_identity(token)
    clock.now = clock.now - 25
    again = team.person(expires_in=10)
    clock.advance(25)
    lenient = make(leeway=60)
    for _ in range(2):
        lenient.get_identity(again)
    # Past its end, within the leeway: answered, and not kept.
    assert 3 == site.asked.count(URL)


def test_a_clock_that_jumps_back_is_a_miss(make, site, team, clock):
    """An identity from the future is none."""
    site[URL] = ALICE
    access, token = make(leeway=3_600), team.person()
    access.get_identity(token)
    clock.advance(-100)
    access.get_identity(token)
    assert 2 == site.asked.count(URL)


def test_what_is_remembered_is_bounded(make, site, team):
    """By what was configured, and by less than that."""
    site[URL] = {}
    access = make(cache_entries=3)
    for n in range(5):
        access.get_identity(team.person(str(n)))
    assert 6 == access.stats().entries
    assert MAX_IDENTITIES == make(cache_entries=50_000)._identities._cache.max_entries


def test_nothing_is_remembered_where_nothing_shall_be(make, site, team):
    """The same switch as for assertions."""
    site[URL] = ALICE
    access, token = make(cache_entries=0), team.person()
    for _ in range(2):
        access.get_identity(token)
    assert 2 == site.asked.count(URL)


def come(access, token, found):
    """Ask, and keep what came of it."""
    try:
        answer = access.get_identity(token).email
    except AuthServiceUnavailable as error:
        answer = error
    found.append(answer)


@pytest.mark.parametrize("outcome", [ALICE, down()], ids=["ok", "outage"])
def test_threads_share_one_question(make, site, team, outcome):
    """And on failure too."""
    access, token, found = make(timeout=90), team.person(), []
    access.verify(token)
    begun, release = threading.Event(), threading.Event()

    def slowly():
        begun.set()
        assert release.wait(90)
        return outcome

    site[URL] = slowly
    threads = [threading.Thread(target=come, args=(access, token, found)) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert begun.wait(90)
    # Each is leading or waiting once it is counted.
    while access._identities.stats().misses < len(threads):
        time.sleep(0.001)
    release.set()
    for thread in threads:
        thread.join(90)
    assert 1 == site.asked.count(URL)
    if outcome is ALICE:
        assert ["alice@acme.example"] * 6 == found
    else:
        assert 6 == len({id(error) for error in found})


@pytest.mark.parametrize(
    "answer",
    [
        Response(401),
        said({"err": "Unauthorized"}, status=401),
        Response(401, {"content-type": "text/html"}, b"<html>"),
        said({"err": "no app token set"}, status=400),
        said({"err": "x"}, status=403),
        said({"err": "x"}, status=404),
        said({"err": "x", "email": "alice@acme.example"}),
    ],
)
def test_no_such_session_is_a_refusal(make, site, team, clock, answer):
    """Which is remembered for a moment."""
    access, token = make(groups_as_roles=True), team.person()
    site[URL] = answer
    for call in (access.get_identity, access.verify, access.get_identity, access.cached):
        with pytest.raises(InvalidToken) as caught:
            call(token)
        assert ("inactive", REFUSED) == (caught.value.reason, caught.value.detail)
    assert 1 == site.asked.count(URL)
    assert 0 == access.stats().upstream_errors
    clock.advance(REFUSAL_TTL + 1)
    site[URL] = ALICE
    assert "alice@acme.example" == access.get_identity(token).email


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (down(), "connect_failed"),
        (down("deadline"), "deadline"),
        (Response(500), "bad_response"),
        (Response(503), "bad_response"),
        (Response(429), "bad_response"),
        (said({"err": "slow down"}, status=429), "bad_response"),
        (Response(302, {"location": "https://evil.example/"}), "bad_response"),
        (Response(400), "bad_response"),
        (Response(403, {"content-type": "text/html"}, b"<html>Blocked"), "bad_response"),
        (Response(404, {"content-type": "text/html"}, b"<html>No team"), "bad_response"),
        (said({"error": "x"}, status=403), "bad_response"),
        (said({"err": ""}, status=400), "bad_response"),
        (said({"err": 7}, status=400), "bad_response"),
        (said(b"[1]", status=400), "bad_response"),
        (Response(204), "bad_response"),
        (Response(200, {"content-type": "text/html"}, b"<html>"), "bad_response"),
        (Response(200, {"content-type": "text/html"}, b"{}"), "bad_response"),
        (said(b""), "bad_response"),
        (said(b"[]"), "bad_response"),
        (said(b'{"a": 1, "a": 2}'), "bad_response"),
        (said(b'{"a": NaN}'), "bad_response"),
        (said(b"[" * 5_000), "bad_response"),
        (said(b'{"a": "\\ud800"}'), "bad_response"),
        (said({"email": "mallory@acme.example", "user_uuid": "uuid-of-mallory"}), "bad_response"),
        (said({"user_uuid": "uuid-of-mallory"}), "bad_response"),
        (said(b"{" + b" " * 1_048_576 + b"}"), "too_large"),
    ],
)
def test_everything_else_is_an_outage(make, site, team, answer, reason):
    """Never kept, and never no groups."""
    access, token = make(groups_as_roles=True), team.person()
    site[URL] = answer
    for call in (access.get_identity, access.verify):
        with pytest.raises(AuthServiceUnavailable) as caught:
            call(token)
        assert (reason, None) == (caught.value.reason, caught.value.detail)
        assert access.cached(token) is None
    assert 2 == access.stats().upstream_errors
    site[URL] = ALICE
    assert "alice@acme.example" == access.get_identity(token).email


@pytest.mark.parametrize(
    "answer",
    [
        {"user_uuid": "uuid-of-alice", "email": "a.other@acme.example"},
        {"user_uuid": "another", "email": "Alice@Acme.Example"},
        {"user_uuid": "UUID-OF-ALICE"},
    ],
)
def test_one_name_of_the_two_will_do(ask, answer):
    """An address may have changed since the sign-in."""
    assert answer["user_uuid"] == ask(answer).user_uuid


def test_a_server_that_says_when_to_come_back_is_heard(make, site, team):
    """Within a minute."""
    site[URL] = Response(429, {"retry-after": "17"})
    with pytest.raises(AuthServiceUnavailable) as caught:
        make().get_identity(team.person())
    assert 17 == caught.value.retry_after


def test_a_page_that_is_none_counts_against_the_server(make, site, team):
    """What people chose in it does not."""
    for page, counted in ((b"<html>", [URL]), (b'{"a": "\\ud800"}', [])):
        site[URL] = page
        with pytest.raises(AuthServiceUnavailable):
            make().get_identity(team.person())
        assert counted == site.unreadable
        site.unreadable.clear()


def test_a_team_that_does_not_exist_is_told(make, site, team, caplog):
    """Once a minute, to the operator."""
    site[URL] = Response(404, {"content-type": "text/html"}, b"<html>")
    for _ in range(3):
        with pytest.raises(AuthServiceUnavailable):
            make().get_identity(team.person())
    told = [r for r in caplog.records if r.name == "tokenward.cloudflare"]
    assert [logging.WARNING] == [record.levelno for record in told]
    assert "check the name of the team" in told[0].getMessage()


def test_an_identity_is_served_while_the_domain_fails_ahead_of_its_end(make, site, team, clock):
    """One request asks ahead, and nobody suffers from its failure."""
    site[URL] = ALICE
    access, token = make(), team.person()
    access.get_identity(token)
    access.get_identity(token)
    site[URL] = down()
    clock.advance(IDENTITY_TTL - 5)
    assert "alice@acme.example" == access.get_identity(token).email
    assert 2 == site.asked.count(URL)
    clock.advance(6)
    with pytest.raises(AuthServiceUnavailable):
        access.get_identity(token)


def test_groups_are_roles_where_they_shall_be(make, site, team):
    """Fetched once, and remembered."""
    site[URL] = ALICE
    access, token = make(groups_as_roles=True), team.person()
    assert None is access.cached(token)
    who = access.verify(token)
    assert ("uuid-of-alice", {"writers", "admins"}) == (who.subject, who.roles)
    assert who == access.cached(token) == access.verify(token)
    assert "alice@acme.example" == access.get_identity(token).email
    assert [ACME + CERTS, URL] == site.asked
    assert frozenset() == make().verify(token).roles


def test_cached_waits_for_the_groups(make, site, team):
    """What is verified but has no roles yet is not known."""
    access, token = make(groups_as_roles=True), team.person()
    access.verify_user(token)
    assert None is access.cached(token)
    assert [ACME + CERTS] == site.asked


def test_no_groups_are_no_roles(make, site, team):
    """That is an answer, unlike none."""
    site[URL] = {"email": "alice@acme.example"}
    assert frozenset() == make(groups_as_roles=True).verify(team.person()).roles


def test_a_service_token_has_no_groups_to_ask_for(make, site, team):
    """So that an outage there is none for programs."""
    site[URL] = down()
    access, token = make(groups_as_roles=True), team.service()
    assert frozenset() == access.verify(token).roles
    assert "service:robot.access" == access.cached(token).subject
    assert [ACME + CERTS] == site.asked


def test_a_service_token_has_an_identity_all_the_same(make, site, team):
    """Whoever wants it may ask."""
    site[URL] = {"service_token_id": "robot.access", "email": "", "user_uuid": "uuid-of-robot"}
    assert "robot.access" == make().get_identity(team.service()).service_token_id


def test_figures(make, site, team):
    """Both caches, and both kinds of questions."""
    site[URL] = ALICE
    access = make()
    access.get_identity(team.person())
    access.get_identity(team.person(jti="2"))
    site[URL] = down()
    with pytest.raises(AuthServiceUnavailable):
        access.get_identity(team.person("bob"))
    stats = access.stats()
    assert (4, 1, 5) == (stats.upstream_calls, stats.upstream_errors, stats.entries)


def test_an_identity_that_is_nested_too_deeply_is_an_outage():
    """The strict reader refuses it before that; a transport of yours may not."""
    deep = {}
    for _ in range(100):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="deep"):
        Identity.of(deep)
