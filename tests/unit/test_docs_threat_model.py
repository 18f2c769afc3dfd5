"""docs/service/threat-model.md, throttling.md: what they say of settings and tokens is so."""

import inspect
import re
import time
import tomllib
from pathlib import Path

import pytest
from auth_services import OTHER_PASSWORD, PASSWORD, Shared, log_in
from service_callers import FORM, Caller, make_service

from tokenward import _audit
from tokenward._spellings import digests_of
from tokenward.cli.arguments import DEFAULT_BIND
from tokenward.config.settings.service import ServiceSection
from tokenward.endpoints import ENDPOINTS
from tokenward.errors import InvalidGrant
from tokenward.repositories import open_repositories
from tokenward.shared_cache import Revocations

DOCS = Path(__file__).parents[2] / "docs" / "service"
PAGE = (DOCS / "threat-model.md").read_text("utf-8")
SAID = " ".join(PAGE.split())


def names(*patterns):
    """Return what the page names in code, one name each."""
    found = set(re.findall(r"`([^`\n]+)`", PAGE))
    return sorted(name for name in found if any(re.fullmatch(p, name) for p in patterns))


@pytest.mark.parametrize("name", names(r"service\.[a-z_.]+"))
def test_every_setting_that_is_named_exists(name):
    """Sections within sections too."""
    section = ServiceSection
    for part in name.split(".")[1:]:
        field = section.model_fields[part]
        section = field.annotation if inspect.isclass(field.annotation) else None


@pytest.mark.parametrize("name", names(r"refresh_[a-z_]+"))
def test_every_event_that_is_named_is_written(name):
    """Those of the audit trail."""
    assert f"``{name}``" in _audit.audit.__doc__


@pytest.mark.parametrize("path", names(r"/[a-z/]+"))
def test_every_path_that_is_named_exists(path):
    """Those of the service's own endpoints."""
    assert path in {endpoint.path for endpoint in ENDPOINTS}


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([a-z./-]+\.md)\)", PAGE))))
def test_every_page_that_is_named_exists(link):
    """Beside this one."""
    assert (DOCS / link).is_file()


def test_the_defaults_are_as_it_says():
    """Fifteen minutes, no end of a session, closed, throttled, on a loopback address."""
    section = ServiceSection(issuer="https://auth.example", audience="a", store="memory://")
    assert "(15 minutes by default)" in SAID
    assert 15 * 60 == section.access_token_lifetime
    assert "`service.session_lifetime` bounds that, and is 0" in SAID
    assert 0 == section.session_lifetime
    assert "keep it closed, which is the default" in SAID
    assert "closed" == section.registration
    assert section.throttle is not None
    assert "on a loopback address unless `--bind`" in SAID
    assert DEFAULT_BIND.startswith("127.0.0.1:")


def test_the_throttles_settings_are_written_with_their_defaults():
    """As throttling.md shows them; in its table too."""
    page = (DOCS / "throttling.md").read_text("utf-8")
    (shown,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    required = {"issuer": "https://auth.example", "audience": "a", "store": "memory://"}
    section = ServiceSection(**required, **tomllib.loads(shown)["service"])
    assert ServiceSection(**required).throttle == section.throttle
    for name, rate in re.findall(r"^\| `(per_\w+)`: .* \| `([\w/]+)` \|", page, re.MULTILINE):
        assert f'{name} = "{rate}"' in shown


def test_what_is_at_rest_is_no_token():
    """Refresh tokens and one-time tokens are digests, passwords are hashes; names can be read."""
    stores = open_repositories("memory://", bcrypt_cost=4)
    sent = []
    service = make_service(stores, deliver=lambda *message: sent.append(message[2]))
    granted = log_in(service)
    service.forgot_password("alice@example.com")
    assert service.flush()
    kept = repr([stores.store.records(kind) for kind in ("users", "families", "one_time_tokens")])
    for secret in (granted.refresh_token, granted.access_token, sent[0], PASSWORD):
        assert secret not in kept
    assert "alice@example.com" in kept


# --- who hears at once that a token has ended


class Told:
    """A service whose resource servers listen, and two sessions of one user."""

    def __init__(self):
        self.calls = []
        self._bus = Shared(self.calls)
        self.service = make_service(revocation_bus=self._bus)
        self.first, self.second = log_in(self.service), log_in(self.service)
        self.later = self.service.refresh(self.first.refresh_token)

    def of(self, token):
        """Whether resource servers were told of this token."""
        heard = []
        self._bus.subscribe = lambda hear, *, missed: [hear(call[1]) for call in self.calls]
        Revocations(None, self._bus, clock=time.time).subscribe(heard.append, missed=list)
        return set(digests_of(token)) <= set(heard)


BY_THE_TOKEN = {
    "logout": lambda s, token: s.logout_user(token),
    "everywhere": lambda s, token: s.end_sessions(token),
    "revocation": lambda s, token: s.revoke_token(token),
    "password": lambda s, token: s.change_password(token, PASSWORD, OTHER_PASSWORD),
}
BY_AN_OPERATOR = {
    "roles": lambda s: s.set_roles("alice", ["admin"]),
    "deactivation": lambda s: s.deactivate_user("alice"),
    "password": lambda s: s.set_password("alice", OTHER_PASSWORD),
}


@pytest.mark.parametrize("end", BY_THE_TOKEN.values(), ids=BY_THE_TOKEN)
def test_of_the_token_that_was_sent_everybody_hears_at_once(end):
    """And of no other, though others of the session may have ended with it."""
    told = Told()
    end(told.service, told.later.access_token)
    assert not told.service.introspect_token(told.later.access_token).active
    assert told.of(told.later.access_token)
    assert not told.of(told.first.access_token)
    assert not told.of(told.second.access_token)


@pytest.mark.parametrize("end", BY_AN_OPERATOR.values(), ids=BY_AN_OPERATOR)
def test_of_what_an_operator_ends_nobody_hears_before_asking(end):
    """The service itself refuses all of it at once."""
    told = Told()
    end(told.service)
    for granted in (told.first, told.second, told.later):
        assert not told.service.introspect_token(granted.access_token).active
        with pytest.raises(InvalidGrant):
            told.service.refresh(granted.refresh_token)
    assert [] == told.calls


# --- another web site in the same browser


def test_no_endpoint_reads_a_cookie_or_redirects():
    """Whatever is sent in a cookie, nobody is logged in by it, and nobody is sent elsewhere."""
    service = make_service()
    caller = Caller(service)
    token = log_in(service).access_token
    for endpoint in ENDPOINTS:
        answer = caller.send(
            endpoint.method, endpoint.path, cookie=f"token={token}; access_token={token}"
        )
        assert not 300 <= answer.status < 400
        assert "location" not in answer.headers
        assert "set-cookie" not in answer.headers
        if endpoint.authentication == "bearer":
            assert 401 == answer.status


@pytest.mark.parametrize("media", [FORM, "text/plain", "multipart/form-data; boundary=x", ""])
def test_people_are_not_served_what_a_page_may_send_unasked(media):
    """JSON is taken under its own media type, and forms from clients that authenticate."""
    caller = Caller(make_service())
    for endpoint in ENDPOINTS:
        if endpoint.tag == "people" and inspect.isclass(endpoint.takes):
            token = caller.login()["access_token"] if endpoint.authentication == "bearer" else None
            answer = caller.post(endpoint.path, {"a": 1}, token=token, content_type=media)
            assert answer.status == 415
        if endpoint.tag == "clients":
            assert caller.form(endpoint.path, {"token": "x"}).status in (400, 401)
