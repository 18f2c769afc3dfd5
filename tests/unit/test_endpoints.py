"""The endpoints without any server: requests as values, answers as values."""

import base64
import io
import json
import logging
import threading
from typing import Annotated

import bcrypt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel

from tokenward.clients import Client
from tokenward.endpoints import ENDPOINTS, Request, call, dispatch, routes
from tokenward.errors import AuthServiceUnavailable, InvalidRequest
from tokenward.keys import SET_MAX_AGE, KeyRing
from tokenward.passwords import limit_hashing
from tokenward.repositories import open_repositories
from tokenward.schemas import LoginRequest, read_members
from tokenward.service import AuthService

ISSUER = "https://auth.example"
PASSWORD = "correct horse battery"
SECRET = "9f8a-77e1-quartz-lantern"
BASIC = "Basic " + base64.b64encode(f"orders:{SECRET}".encode()).decode()
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


class Headers(dict):
    """Headers by name in any case."""

    def __init__(self, items):
        super().__init__({name.lower(): value for name, value in items.items()})

    def get(self, name, default=None):
        return super().get(name.lower(), default)


@pytest.fixture
def make():
    def build(**options):
        stores = open_repositories("memory://", bcrypt_cost=4)
        options = {
            "keys": KeyRing.generate(),
            "tokens": stores.tokens,
            "issuer": ISSUER,
            "audience": "orders",
            "registration": "open",
            "clients": [Client("orders", SECRET)],
        } | options
        service = AuthService(options.pop("users", stores.users), **options)
        if service.users is stores.users:
            service.create_user("alice", email="alice@example.com", password=PASSWORD)
        return service

    return build


@pytest.fixture
def service(make):
    return make()


@pytest.fixture
def send(service):
    """Return a function that sends a request and returns status, headers and parsed body."""

    def send_to(method, path, body=b"", *, query="", to=service, chunk=None, **headers):
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            headers.setdefault("Content_Type", JSON)
        stream = io.BytesIO(body)
        request = Request(
            method=method,
            path=path,
            headers=Headers({n.replace("_", "-"): v for n, v in headers.items() if v is not None}),
            query=query,
            read=lambda limit: stream.read(min(limit, chunk or limit)),
            peer="192.0.2.7",
        )
        answer = dispatch(to, request, routes(to))
        headers = dict(answer.headers)
        assert len(headers) == len(answer.headers), "a header came twice"
        is_page = headers.get("Content-Type", "").startswith("text/html")
        parsed = answer.body.decode() if is_page else json.loads(answer.body or b"null")
        return answer.status, headers, parsed

    send_to.token = service.login_user(
        LoginRequest(username="alice", password=PASSWORD)
    ).access_token
    return send_to


@pytest.fixture
def token(send):
    return send.token


class Down:
    """A store that cannot be asked."""

    issue = None

    def __init__(self, reason="store"):
        self.reason = reason

    def __getattr__(self, name):
        def refuse(*args, **kwargs):
            raise AuthServiceUnavailable("the disk is full", reason=self.reason)

        return refuse


class TestTable:
    def test_is_the_contract(self):
        """Method and path are what programs outside call."""
        assert [(e.method, e.path) for e in ENDPOINTS] == [
            ("POST", "/register"),
            ("POST", "/login"),
            ("POST", "/refresh"),
            ("POST", "/logout"),
            ("GET", "/me"),
            ("POST", "/password"),
            ("POST", "/password/forgot"),
            ("POST", "/password/reset"),
            ("POST", "/email/verify"),
            ("GET", "/sessions"),
            ("POST", "/sessions/end"),
            ("POST", "/token"),
            ("POST", "/introspect"),
            ("POST", "/revoke"),
            ("GET", "/.well-known/jwks.json"),
            ("GET", "/.well-known/oauth-authorization-server"),
            ("GET", "/.well-known/openid-configuration"),
            ("GET", "/openapi.json"),
            ("GET", "/docs"),
            ("GET", "/health/live"),
            ("GET", "/health/ready"),
        ]

    def test_names_are_unique(self):
        """Frameworks look rows up by name."""
        assert len({e.name for e in ENDPOINTS}) == len(ENDPOINTS)

    @pytest.mark.parametrize("row", ENDPOINTS, ids=lambda row: row.name)
    def test_says_which_bodies_are_read(self, send, row):
        """What a row takes is what is asked for, and anything else is a 415."""
        types = {JSON: JSON, FORM: FORM, "": "text/plain"}
        expected = JSON if isinstance(row.takes, type) else FORM if row.takes else None
        bearer = f"Bearer {send.token}" if row.authentication == "bearer" else None
        statuses = {
            name: send(row.method, row.path, b"x=1", Content_Type=kind, Authorization=bearer)[0]
            for name, kind in types.items()
        }
        if expected is None:
            return
        refused = {name for name, status in statuses.items() if status == 415}
        assert refused == set(types) - {expected}

    @pytest.mark.parametrize("path", ["/me", "/sessions"])
    def test_a_form_beside_a_token_is_looked_at_where_no_body_is_read(self, send, token, path):
        """RFC 6750, section 2: a token in it would be the second; other bodies are nobody's."""
        bearer = {"Authorization": f"Bearer {token}"}
        for body, kind, expected in (
            (b"x=1", FORM, 415),
            (b"access_token=x", FORM, 400),
            (b"x" * 65_537, FORM, 413),
            (b"{", JSON, 200),
            (b"", FORM, 200),
        ):
            assert send("GET", path, body, Content_Type=kind, **bearer)[0] == expected

    @pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
    def test_nothing_at_all_is_an_empty_form(self, send, path):
        """RFC 6749, sections 3.2 and 5.2: what is missing is the client, and then a field."""
        for kind in (None, "", "text/plain", FORM):
            status, _, answer = send("POST", path, b"", Content_Type=kind)
            assert (status, answer["error"]) == (401, "invalid_client")
            status, _, answer = send("POST", path, b"", Content_Type=kind, Authorization=BASIC)
            assert (status, answer["error"]) == (400, "invalid_request")
            assert "is required" in answer["error_description"]
        for body, kind in ((b"", JSON), (b"x", "text/plain"), (b"token=x", None), (b" ", "")):
            assert send("POST", path, body, Content_Type=kind, Authorization=BASIC)[0] == 415

    @pytest.mark.parametrize("row", ENDPOINTS, ids=lambda row: row.name)
    def test_says_who_may_ask(self, send, row):
        """RULES 27, 39: a bearer or a client where the row says so; each answer varies with it."""
        expected = {
            "bearer": (401, "not_authenticated", "Authorization"),
            "client": (401, "invalid_client", "Authorization"),
            "client_if_presented": (400, "invalid_request", "Authorization"),
            "none": (None, None, None),
        }[row.authentication]
        body, kind = (b"a=b", FORM) if row.authentication == "client" else (b"{}", JSON)
        status, headers, answer = send(row.method, row.path, body, Content_Type=kind)
        if row.authentication == "none":
            assert status != 401
            assert "Vary" not in headers
        else:
            assert (status, answer["error"], headers["Vary"]) == expected

    @pytest.mark.parametrize(
        "row", [r for r in ENDPOINTS if r.method == "POST"], ids=lambda row: row.name
    )
    def test_secrets_in_the_query_are_refused(self, send, row):
        """RFC 6749, section 2.3.1; RULES 26: a query is in somebody's log by then."""
        bearer = f"Bearer {send.token}" if row.authentication == "bearer" else None
        kind = JSON if isinstance(row.takes, type) else FORM
        for query in (
            "token=x",
            "refresh_token=x",
            "a=b&client%5Fsecret=x",
            "client_assertion=x",
            "password",
            "current_password=",
            "new_password=x",
        ):
            status, _, answer = send(
                row.method, row.path, query=query, Content_Type=kind, Authorization=bearer
            )
            assert (status, answer["error"]) == (400, "invalid_request")
            assert "never in the URL" in answer["error_description"]


class TestDispatch:
    def test_unknown_path_is_404(self, send):
        """With the body of every error."""
        status, headers, body = send("GET", "/nowhere")
        assert (status, headers["Content-Type"], body["error"]) == (404, JSON, "not_found")

    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [
            ("GET", "/login", "OPTIONS, POST"),
            ("HEAD", "/login", "OPTIONS, POST"),
            ("POST", "/me", "GET, HEAD, OPTIONS"),
            ("DELETE", "/me", "GET, HEAD, OPTIONS"),
            ("get", "/me", "GET, HEAD, OPTIONS"),
        ],
    )
    def test_wrong_method_is_405(self, send, method, path, allow):
        """RFC 9110, section 15.5.6: with Allow; methods are case-sensitive."""
        status, headers, body = send(method, path)
        assert (status, headers["Allow"], body["error"]) == (405, allow, "method_not_allowed")

    def test_head_follows_get(self, send, token):
        """The same status and headers; the adapter leaves the body out."""
        bearer = {"Authorization": f"Bearer {token}"}
        assert send("HEAD", "/me", **bearer) == send("GET", "/me", **bearer)
        assert send("HEAD", "/me")[0] == 401

    def test_options_says_what_is_allowed(self, send):
        """RULES 30: a preflight is not refused; it is told nothing else."""
        assert send("OPTIONS", "/login") == (204, {"Allow": "OPTIONS, POST"}, None)

    def test_method_override_headers_count_for_nothing(self, send):
        """RULES 30."""
        assert send("GET", "/login", X_HTTP_Method_Override="POST")[0] == 405

    @pytest.mark.parametrize("path", ["/login", "/tenant/login"])
    def test_issuer_with_a_path_is_found_with_and_without_it(self, make, send, path):
        """Mounted there, or behind a proxy that passes the whole path on."""
        service = make(issuer="https://auth.example/tenant")
        credentials = {"username": "alice", "password": PASSWORD}
        assert send("POST", path, credentials, to=service)[0] == 200

    def test_host_decides_nothing(self, make, send):
        """RULES 41: links come from the configuration, never from Host or forwarding headers."""
        lies = {"Host": "evil.example", "X_Forwarded_Host": "evil.example", "Forwarded": "host=e"}
        path = "/.well-known/oauth-authorization-server"
        assert send("GET", path, **lies) == send("GET", path)


class TestBodies:
    """Through /login and /introspect, as every body is read in one place."""

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b'"x"',
            b"{}{}",
            b'{"username":"alice","username":"bob","password":"x"}',
            b'{"username":"\\ud800","password":"correct horse battery"}',
            b'{"username":"\xff","password":"x"}',
            b"\xef\xbb\xbf{}",
            b'{"username":"alice","password":NaN}',
            b'{"username":"alice\0","password":"x"',
            b"{" * 10_000,
            b'{"a":' * 10_000,
            b"\0" * 1_000,
            '{"username":"alice"}'.encode("utf-16"),
        ],
    )
    def test_malformed_json_is_a_400(self, send, body):
        """RULES 9, 32: one strict reader; never a 500."""
        status, _, answer = send("POST", "/login", body, Content_Type=JSON)
        assert (status, answer["error"]) == (400, "invalid_request")
        assert answer["fields"] == {"_": "must be one JSON object"}

    @pytest.mark.parametrize(
        ("members", "fields"),
        [
            ({}, {"username": "is required", "password": "is required"}),
            (
                {"username": {"$ne": None}, "password": ["x"]},
                {"username": "must be a string", "password": "must be a string"},
            ),
            (
                {"username": 1, "password": True},
                {"username": "must be a string", "password": "must be a string"},
            ),
            (
                {"username": "alice", "password": "x", "<script>": 1, "is_admin": True},
                {"_": "unknown members are refused"},
            ),
            (
                {"username": "alice", "password": "p" * 1_025},
                {"password": "must have 1 to 1024 bytes"},
            ),
            ({"username": "alice", "password": ""}, {"password": "must have 1 to 1024 bytes"}),
            ({"username": "a" * 301, "password": "x"}, {"username": "is too long"}),
        ],
    )
    def test_wrong_members_are_a_400_with_our_own_words(self, send, members, fields):
        """RULES 33, 36: no input, context, URL or unknown member name comes back."""
        status, _, answer = send("POST", "/login", members)
        assert status == 400
        assert answer == {
            "error": "invalid_request",
            "error_description": "The request is malformed.",
            "fields": fields,
        }

    @pytest.mark.parametrize(
        ("members", "fields"),
        [
            ({"password": "short"}, {"password": "must have at least 6 characters"}),
            ({"email": "<a@b.example>"}, {"email": "must be a bare e-mail address"}),
            ({"email": "a@@b.example"}, {"email": "must be a valid e-mail address"}),
            ({"email": "a b@c.example"}, {"email": "must be a bare e-mail address"}),
            ({"roles": ["admin"]}, {"_": "unknown members are refused"}),
            ({"is_active": True, "id": "1"}, {"_": "unknown members are refused"}),
            (
                {"username": "bo\0b"},
                {"username": "must not hold white space, control or unassigned characters"},
            ),
        ],
    )
    def test_nobody_registers_with_more_than_is_theirs(self, send, service, members, fields):
        """Roles, ids and states are not for the asking."""
        before = service.users.count()
        asked = {"username": "bob", "email": "bob@example.com", "password": PASSWORD} | members
        status, _, answer = send("POST", "/register", asked)
        assert (status, answer["fields"]) == (400, fields)
        assert service.users.count() == before

    @pytest.mark.parametrize(
        "content_type",
        [None, "", "text/plain", FORM, "multipart/form-data", f"{JSON}, text/plain", "json"],
    )
    def test_login_takes_json_only(self, send, content_type):
        """RULES 32, and what protects it from other sites' forms: a 415 before any parsing."""
        body = json.dumps({"username": "alice", "password": PASSWORD}).encode()
        status, _, answer = send("POST", "/login", body, Content_Type=content_type)
        assert (status, answer["error"]) == (415, "unsupported_media_type")

    @pytest.mark.parametrize(
        ("content_type", "expected"),
        [
            ("application/json", 200),
            ("Application/JSON ; charset=UTF-8", 200),
            ('application/json; charset="utf-8"', 200),
            ("application/json;charset=utf-16", 415),
            ("application/json; charset=latin-1", 415),
        ],
    )
    def test_charset_is_utf_8(self, send, content_type, expected):
        """RFC 8259, section 8.1: JSON is UTF-8; what says otherwise is not read."""
        body = json.dumps({"username": "alice", "password": PASSWORD}).encode()
        assert send("POST", "/login", body, Content_Type=content_type)[0] == expected

    def test_cap_counts_what_arrives(self, service):
        """RULES 32: without a length, or under a lying one, reading stops one byte past the cap."""
        for length in (None, "10", "0"):
            asked = []

            def read(limit, asked=asked):
                asked.append(limit)
                return b" " * min(limit, 1_000)

            headers = {"Content-Type": JSON, "Content-Length": length}
            request = Request("POST", "/login", Headers(headers), read=read)
            answer = dispatch(service, request, routes(service))
            assert (answer.status, json.loads(answer.body)["error"]) == (413, "payload_too_large")
            assert 65_536 < sum(min(limit, 1_000) for limit in asked) <= 65_537

    @pytest.mark.parametrize("length", ["65537", "9" * 5_000, "1000000"])
    def test_declared_length_beyond_the_cap_is_not_even_read(self, service, length):
        """The answer needs no byte of it."""
        headers = Headers({"Content-Type": JSON, "Content-Length": length})
        request = Request("POST", "/login", headers, read=lambda _limit: pytest.fail("was read"))
        assert dispatch(service, request, routes(service)).status == 413

    @pytest.mark.parametrize("length", ["-1", "+5", "1e3", "abc", "1_0", "²", "5, 5"])
    def test_length_that_is_no_number_is_a_400(self, send, length):
        """RFC 9110, section 8.6: digits."""
        status, _, _ = send("POST", "/login", {"username": "a"}, Content_Length=length)
        assert status == 400

    def test_body_of_exactly_the_cap_is_read(self, send):
        """64 KiB are 65,536 bytes, and white space is JSON."""
        body = json.dumps({"username": "alice", "password": PASSWORD}).encode().ljust(65_536)
        assert send("POST", "/login", body, Content_Type=JSON, chunk=999)[0] == 200
        assert send("POST", "/login", body + b" ", Content_Type=JSON)[0] == 413

    @pytest.mark.parametrize(
        "body",
        [
            b"token=a&token=b",
            b"token=a&token=",
            b"token=%ff",
            b"token=\xff",
            b"token=a&" + b"&".join(b"f%d=1" % n for n in range(20)),
            b"token=a" + b"&" * 60_000,
        ],
    )
    def test_malformed_form_is_a_400(self, send, body):
        """RULES 32; RFC 6749, section 3.2: no parameter twice; at most 20 fields."""
        status, _, answer = send(
            "POST", "/introspect", body, Content_Type=FORM, Authorization=BASIC
        )
        assert (status, answer["error"]) == (400, "invalid_request")
        assert "fields" not in answer

    def test_twenty_fields_are_read(self, send):
        """Unknown ones are ignored (RFC 6749, section 3.2)."""
        body = b"token=x&" + b"&".join(b"f%d=1" % n for n in range(19))
        status, _, answer = send(
            "POST", "/introspect", body, Content_Type=FORM, Authorization=BASIC
        )
        assert (status, answer) == (200, {"active": False})

    def test_form_beyond_the_cap_is_a_413(self, send):
        """The same cap as everywhere."""
        body = b"token=" + b"x" * 65_536
        assert send("POST", "/introspect", body, Content_Type=FORM)[0] == 413


class TestAnything:
    @given(
        endpoint=st.sampled_from([row for row in ENDPOINTS if row.media != "text/html"]),
        body=st.binary(max_size=200)
        | st.text(max_size=80).map(lambda text: json.dumps({"username": text}).encode())
        | st.dictionaries(
            st.sampled_from(
                ["username", "password", "email", "refresh_token", "token", "new_password", "sid"]
            ),
            st.text(max_size=20) | st.none() | st.integers() | st.lists(st.booleans()),
        ).map(lambda members: json.dumps(members).encode())
        | st.text(alphabet="token=&%client_id+;ü\0", max_size=60).map(str.encode),
        content_type=st.sampled_from([JSON, FORM, "text/plain", "", None]) | st.text(max_size=20),
        authorization=st.none()
        | st.sampled_from([BASIC, "Basic", "Bearer a.b.c", "Bearer ", f"{BASIC}, {BASIC}"])
        | st.text(max_size=40),
        query=st.text(max_size=30),
    )
    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_no_request_is_a_500(self, send, **drawn):
        """RULES 32, 36: whatever comes, the answer is one of ours, and says so in JSON."""
        endpoint = drawn["endpoint"]
        status, headers, answer = send(
            endpoint.method,
            endpoint.path,
            drawn["body"],
            query=drawn["query"],
            Content_Type=drawn["content_type"],
            Authorization=drawn["authorization"],
        )
        assert status in {200, 400, 401, 413, 415}
        assert headers["Content-Type"] == JSON
        assert isinstance(answer, dict)


class TestRegister:
    def test_new_user_is_201(self, send):
        """And shown as others may see them: no password, no hash."""
        asked = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
        status, headers, user = send("POST", "/register", asked)
        assert (status, headers["Cache-Control"]) == (201, "no-store")
        assert user.pop("id")
        assert user == {
            "username": "bob",
            "email": "bob@example.com",
            "email_verified": False,
            "is_active": True,
            "roles": [],
        }

    def test_taken_is_409(self, send):
        """One body, whether it was the name or the address."""
        names = [("alice", "new@example.com"), ("new", "alice@example.com")]
        answers = [
            send("POST", "/register", {"username": n, "email": e, "password": PASSWORD})
            for n, e in names
        ]
        assert answers[0] == answers[1]
        assert answers[0][0] == 409

    def test_closed_is_403(self, make, send):
        """Whoever asks."""
        asked = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
        status, headers, body = send("POST", "/register", asked, to=make(registration="closed"))
        assert (status, body["error"]) == (403, "registration_closed")
        assert "WWW-Authenticate" not in headers


class TestLogin:
    def test_answers_with_a_token(self, send):
        """RFC 6749, section 5.1: no-store, and no members without a value."""
        status, headers, body = send("POST", "/login", {"username": "alice", "password": PASSWORD})
        assert (status, headers["Cache-Control"]) == (200, "no-store")
        assert headers["Pragma"] == "no-cache"
        assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token", "user"}

    def test_every_failure_is_the_same_answer(self, send, service):
        """RULES 33: unknown, inactive and wrong cannot be told apart."""
        service.create_user("idle", email="idle@example.com", password=PASSWORD)
        service.users.set_active("idle", active=False)
        attempts = [("alice", "wrong"), ("nobody", PASSWORD), ("idle", PASSWORD), ("a\0", "x")]
        answers = [send("POST", "/login", {"username": u, "password": p}) for u, p in attempts]
        assert all(answer == answers[0] for answer in answers)
        assert (answers[0][0], answers[0][2]["error"]) == (401, "invalid_credentials")

    @pytest.mark.parametrize(
        ("authorization", "expected"),
        [
            (BASIC, 200),
            (None, 200),
            ("Bearer whatever", 200),
            (BASIC[:-4] + "AAAA", 401),
            ("Basic", 401),
            (f"{BASIC}, {BASIC}", 400),
        ],
    )
    def test_client_authentication_if_sent_must_be_right(self, send, authorization, expected):
        """A relying site vouches for itself, or does not; it never half does."""
        credentials = {"username": "alice", "password": PASSWORD}
        status, headers, _ = send("POST", "/login", credentials, Authorization=authorization)
        assert status == expected
        if status == 401:
            assert headers["WWW-Authenticate"].startswith("Basic ")

    def test_token_names_the_client_that_asked(self, send):
        """RFC 9068, section 2.2; introspection says it too."""
        credentials = {"username": "alice", "password": PASSWORD}
        seen = []
        for authorization in (BASIC, None):
            granted = send("POST", "/login", credentials, Authorization=authorization)[2]
            form = f"token={granted['access_token']}".encode()
            ask = {"Content_Type": FORM, "Authorization": BASIC}
            seen.append(send("POST", "/introspect", form, **ask)[2]["client_id"])
        assert seen == ["orders", "tokenward"]

    def test_password_in_the_query_is_never_read(self, send):
        """A query lands in logs."""
        query = f"username=alice&password={PASSWORD}"
        assert send("POST", "/login", {}, query=query)[0] == 400


class TestBearer:
    def test_me_is_the_user(self, send, token):
        """And nobody may keep the answer."""
        status, headers, user = send("GET", "/me", Authorization=f"bearer {token}")
        assert (status, user["username"]) == (200, "alice")
        assert (headers["Cache-Control"], headers["Vary"]) == ("no-store", "Authorization")

    @pytest.mark.parametrize("authorization", [None, "", BASIC, "Negotiate abc"])
    def test_nothing_presented_is_a_bare_challenge(self, send, authorization):
        """RFC 6750, section 3.1."""
        status, headers, body = send("GET", "/me", Authorization=authorization)
        assert (status, body["error"]) == (401, "not_authenticated")
        assert headers["WWW-Authenticate"] == 'Bearer realm="api"'

    @pytest.mark.parametrize("method_path", [("GET", "/me"), ("POST", "/logout")])
    @pytest.mark.parametrize(
        ("presented", "expected"),
        [
            ({"Authorization": "Bearer a.b.c"}, (401, "invalid_token")),
            ({"Authorization": "Bearer"}, (400, "invalid_request")),
            ({"Authorization": "Bearer a b"}, (400, "invalid_request")),
            ({"Authorization": "Bearer a.b.c, Bearer a.b.c"}, (400, "invalid_request")),
            ({"query": "access_token=a.b.c"}, (401, "not_authenticated")),
            (
                {"Authorization": "Bearer a.b.c", "query": "x=1&access%5ftoken=a"},
                (400, "invalid_request"),
            ),
            (
                {
                    "Authorization": "Bearer a.b.c",
                    "body": b"x=1&access_token=a.b.c",
                    "Content_Type": FORM,
                },
                (400, "invalid_request"),
            ),
            (
                {"body": b"access_token=a.b.c", "Content_Type": FORM},
                (401, "not_authenticated"),
            ),
            ({"Cookie": "access_token=a.b.c; tokenward=a.b.c"}, (401, "not_authenticated")),
        ],
    )
    def test_one_token_in_one_place(self, send, method_path, presented, expected):
        """RULES 26: in the header; also anywhere else is a 400; only elsewhere is nothing."""
        method, path = method_path
        presented = dict(presented)
        body = presented.pop("body", b"")
        status, _, answer = send(method, path, body, **presented)
        assert (status, answer["error"]) == expected

    def test_logout_needs_no_body(self, send, token):
        """The token in the header says it all; the second time it is refused."""
        bearer = {"Authorization": f"Bearer {token}"}
        assert send("POST", "/logout", **bearer)[::2] == (200, {"message": "Logged out."})
        for method, path in [("POST", "/logout"), ("GET", "/me")]:
            status, headers, body = send(method, path, **bearer)
            assert (status, body["error"]) == (401, "invalid_token")
            assert 'error="invalid_token"' in headers["WWW-Authenticate"]

    @pytest.mark.parametrize(
        ("body", "content_type", "expected"),
        [
            (b"{}", JSON, 200),
            (b"", JSON, 200),
            (b"", FORM, 200),
            (b"", None, 200),
            (b'{"refresh_token": "x"}', JSON, 200),
            (b'{"refresh_token": 1}', JSON, 400),
            (b'{"access_token": "x"}', JSON, 400),
            (b"{", JSON, 400),
            (b"{}", None, 415),
            (b"{}", "text/plain", 415),
            (b"refresh_token=x", FORM, 415),
            (b" " * 65_537, JSON, 413),
        ],
    )
    def test_logout_body_is_json_or_nothing(self, send, token, body, content_type, expected):
        """A body that is refused ends nothing."""
        bearer = {"Authorization": f"Bearer {token}"}
        assert send("POST", "/logout", body, Content_Type=content_type, **bearer)[0] == expected
        assert send("GET", "/me", **bearer)[0] == (401 if expected == 200 else 200)


class TestSessions:
    """What a login has led to."""

    @pytest.fixture
    def login(self, send):
        credentials = {"username": "alice", "password": PASSWORD}
        return lambda **more: send("POST", "/login", credentials, **more)[2]

    def test_refresh(self, send, login):
        """The next tokens, as a login gives them; the first ones are used up."""
        first = login()
        status, headers, body = send("POST", "/refresh", {"refresh_token": first["refresh_token"]})
        assert (status, headers["Cache-Control"], headers["Pragma"]) == (
            200,
            "no-store",
            "no-cache",
        )
        assert set(body) == set(first)
        assert body["user"] == first["user"]
        assert body["refresh_token"] != first["refresh_token"]

    def test_every_refusal_of_a_refresh_is_one_answer(self, send, login):
        """RULES 37: unknown, used twice, ended: the same body."""
        used, ended = login()["refresh_token"], login()
        send("POST", "/refresh", {"refresh_token": used})
        send("POST", "/logout", Authorization=f"Bearer {ended['access_token']}")
        tokens = ("nonsense", used, ended["refresh_token"], "x" * 16_384)
        answers = [send("POST", "/refresh", {"refresh_token": token}) for token in tokens]
        assert all(answer == answers[0] for answer in answers)
        assert (answers[0][0], answers[0][2]["error"]) == (400, "invalid_grant")

    @pytest.mark.parametrize("token", ["", None, 1, ["x"], {"$ne": None}, "x" * 16_385])
    def test_what_is_no_refresh_token_is_a_400(self, send, token):
        """Before any look-up."""
        status, _, body = send("POST", "/refresh", {"refresh_token": token})
        assert (status, body["error"]) == (400, "invalid_request")
        assert set(body["fields"]) == {"refresh_token"}

    def test_wrong_client_beside_a_refresh_is_a_401(self, send, login):
        """Basic, if sent, must be right."""
        members = {"refresh_token": login()["refresh_token"]}
        assert send("POST", "/refresh", members, Authorization=BASIC[:-4] + "AAAA")[0] == 401
        assert send("POST", "/refresh", members)[0] == 200

    def test_listed_and_ended_one_by_one(self, send, login):
        """By the session's id; the others go on."""
        kept, ended = login(), login()
        bearers = [{"Authorization": f"Bearer {g['access_token']}"} for g in (kept, ended)]
        status, headers, listed = send("GET", "/sessions", **bearers[0])
        assert (status, headers["Cache-Control"]) == (200, "no-store")
        mine, other = listed["sessions"][-2:]
        assert (mine["current"], other["current"]) == (True, False)
        assert set(mine) == {
            "sid",
            "client_id",
            "created_at",
            "used_at",
            "expires_at",
            "current",
        }
        status, headers, body = send("POST", "/sessions/end", {"sid": other["sid"]}, **bearers[0])
        assert (status, headers, body) == (
            204,
            {"Cache-Control": "no-store", "Vary": "Authorization"},
            None,
        )
        assert [send("GET", "/me", **bearer)[0] for bearer in bearers] == [200, 401]

    def test_somebody_elses_session_goes_on(self, send, service, login):
        """Whoever knows its id can do nothing with it, and is not told that it is one."""
        service.create_user("bob", email="bob@example.com", password=PASSWORD)
        theirs = send("POST", "/login", {"username": "bob", "password": PASSWORD})[2]
        bobs = {"Authorization": f"Bearer {theirs['access_token']}"}
        (session,) = send("GET", "/sessions", **bobs)[2]["sessions"]
        alices = {"Authorization": f"Bearer {login()['access_token']}"}
        answers = [
            send("POST", "/sessions/end", {"sid": sid}, **alices)
            for sid in (session["sid"], "no-session-at-all")
        ]
        assert answers[0] == answers[1]
        assert send("GET", "/me", **bobs)[0] == 200

    @pytest.mark.parametrize("members", [{}, {"sid": ""}, {"sid": 1}, {"sid": {"$ne": ""}}])
    def test_session_is_named_by_its_id(self, send, token, members):
        """And by nothing else."""
        bearer = {"Authorization": f"Bearer {token}"}
        status, _, body = send("POST", "/sessions/end", members, **bearer)
        assert (status, set(body["fields"])) == (400, {"sid"})

    def test_logout_ends_the_refresh_token_too(self, send, login):
        """Whether it comes along or not: the session is over."""
        for with_it in (True, False):
            granted = login()
            members = {"refresh_token": granted["refresh_token"]}
            bearer = {"Authorization": f"Bearer {granted['access_token']}"}
            assert send("POST", "/logout", members if with_it else {}, **bearer)[0] == 200
            assert send("POST", "/refresh", members)[0] == 400

    def test_logout_ends_another_session_of_ones_own_with_it(self, send, login):
        """Whose refresh token comes along; other sessions go on."""
        mine, other, third = login(), login(), login()
        members = {"refresh_token": other["refresh_token"]}
        send("POST", "/logout", members, Authorization=f"Bearer {mine['access_token']}")
        statuses = [
            send("GET", "/me", Authorization=f"Bearer {granted['access_token']}")[0]
            for granted in (mine, other, third)
        ]
        assert statuses == [401, 401, 200]


class TestPasswords:
    NEW = "violet staple lantern"

    @pytest.fixture
    def sent(self):
        """What was handed over for delivery."""
        return []

    @pytest.fixture
    def service(self, make, sent):
        arrived = threading.Condition()

        def deliver(purpose, user, token):
            with arrived:
                sent.append((purpose, user.username, token))
                arrived.notify_all()

        service = make(deliver=deliver)
        service.arrived = arrived
        return service

    def wait(self, service, sent, purpose):
        with service.arrived:
            found = lambda: [token for what, _, token in sent if what == purpose]  # noqa: E731
            assert service.arrived.wait_for(found, timeout=90)
            return found()[-1]

    def test_change(self, send, token):
        """204; what was issued until now dies, and the new password is the one that is taken."""
        bearer = {"Authorization": f"Bearer {token}"}
        members = {"current_password": PASSWORD, "new_password": self.NEW}
        status, headers, body = send("POST", "/password", members, **bearer)
        assert (status, headers, body) == (
            204,
            {"Cache-Control": "no-store", "Vary": "Authorization"},
            None,
        )
        assert send("GET", "/me", **bearer)[0] == 401
        credentials = {"username": "alice", "password": PASSWORD}
        assert send("POST", "/login", credentials)[0] == 401
        assert send("POST", "/login", credentials | {"password": self.NEW})[0] == 200

    def test_change_needs_the_password_of_now(self, send, token):
        """A stolen token is not enough."""
        bearer = {"Authorization": f"Bearer {token}"}
        members = {"current_password": "wrong", "new_password": self.NEW}
        status, _, body = send("POST", "/password", members, **bearer)
        assert (status, body["error"]) == (401, "invalid_credentials")
        assert send("GET", "/me", **bearer)[0] == 200

    @pytest.mark.parametrize(
        ("members", "fields"),
        [
            ({}, {"current_password", "new_password"}),
            ({"new_password": "short"}, {"current_password", "new_password"}),
            ({"current_password": PASSWORD, "new_password": "x" * 1_025}, {"new_password"}),
            ({"current_password": {"$ne": ""}, "new_password": NEW}, {"current_password"}),
            ({"current_password": PASSWORD, "new_password": NEW, "username": "bob"}, {"_"}),
        ],
    )
    def test_change_is_read_strictly(self, send, token, members, fields):
        """RULES 36: and it is always one's own."""
        bearer = {"Authorization": f"Bearer {token}"}
        status, _, body = send("POST", "/password", members, **bearer)
        assert (status, set(body["fields"])) == (400, fields)

    def test_forgotten_and_reset(self, send, service, sent):
        """What was sent is good once, and every session ends."""
        login = {"username": "alice", "password": PASSWORD}
        old = send("POST", "/login", login)[2]["access_token"]
        answer = send("POST", "/password/forgot", {"email": "alice@example.com"})
        assert answer == (204, {"Cache-Control": "no-store"}, None)
        members = {
            "token": self.wait(service, sent, "reset_password"),
            "new_password": self.NEW,
        }
        assert send("POST", "/password/reset", members)[0] == 204
        assert send("POST", "/login", login | {"password": self.NEW})[0] == 200
        assert send("GET", "/me", Authorization=f"Bearer {old}")[0] == 401
        status, _, body = send("POST", "/password/reset", members)
        assert (status, body["fields"]) == (
            400,
            {"token": "is not valid any more; ask for a new one"},
        )

    def test_nobody_learns_who_has_an_address(self, send):
        """RULES 33: always 204."""
        known, unknown = (
            send("POST", "/password/forgot", {"email": f"{name}@example.com"})
            for name in ("alice", "nobody")
        )
        assert known == unknown == (204, {"Cache-Control": "no-store"}, None)

    def test_email_is_verified_once(self, send, service, sent):
        """By POST only: whoever fetches links out of letters verifies nothing."""
        service.send_email_verification("alice")
        token = self.wait(service, sent, "verify_email")
        assert send("GET", "/email/verify", query=f"token={token}")[0] == 405
        answer = send("POST", "/email/verify", {"token": token})
        assert answer == (204, {"Cache-Control": "no-store"}, None)
        assert service.users.get_by_username("alice").email_verified
        assert send("POST", "/email/verify", {"token": token})[0] == 400

    @pytest.mark.parametrize("path", ["/email/verify", "/password/reset"])
    def test_token_is_for_one_purpose(self, send, service, sent, path):
        """RULES 41: one letter opens one door."""
        service.send_email_verification("alice")
        service.forgot_password("alice@example.com")
        purpose = "reset_password" if path == "/email/verify" else "verify_email"
        members = {"token": self.wait(service, sent, purpose)}
        if path == "/password/reset":
            members["new_password"] = self.NEW
        assert send("POST", path, members)[0] == 400


class TestPeers:
    @pytest.mark.parametrize(
        "case",
        [
            ((), "198.51.100.1", "192.0.2.7"),
            (["192.0.2.7"], "203.0.113.9, 198.51.100.1", "198.51.100.1"),
            (["10.0.0.1"], "198.51.100.1", "192.0.2.7"),
            (["192.0.2.7"], None, "192.0.2.7"),
        ],
    )
    def test_address_is_what_the_trusted_say(self, make, send, caplog, case):
        """RULES 40: of a proxy that is named, and of nobody else."""
        trusted, forwarded, peer = case
        caplog.set_level(logging.INFO, "tokenward.audit")
        credentials = {"username": "alice", "password": "wrong"}
        service = make(trusted_proxies=trusted)
        send("POST", "/login", credentials, to=service, X_Forwarded_For=forwarded)
        assert json.loads(caplog.messages[-1])["peer"] == peer


class TestPublished:
    def test_description_is_openapi(self, send):
        """For programs."""
        status, headers, body = send("GET", "/openapi.json")
        assert (status, headers["Content-Type"], body["openapi"][:3]) == (200, JSON, "3.1")

    def test_page_runs_nothing(self, send):
        """For people; a browser is told to load and run nothing else."""
        status, headers, page = send("GET", "/docs")
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "<script" not in page

    def test_known_description_is_a_304(self, send):
        """RFC 9110, section 15.4.5."""
        tag = send("GET", "/openapi.json")[1]["ETag"]
        status, headers, body = send("GET", "/openapi.json", If_None_Match=tag)
        assert (status, headers["ETag"], body) == (304, tag, None)

    def test_keys_are_kept_no_longer_than_a_next_one_waits(self, send):
        """RULES 18: the next key is published at least the set's max-age before its first use."""
        headers = send("GET", "/.well-known/jwks.json")[1]
        assert headers["Cache-Control"] == f"public, max-age={SET_MAX_AGE}"


class TestCrowdAtTheLogin:
    def test_others_are_answered_meanwhile(self, send, token, monkeypatch):
        """RULES 34: hashing is bounded; past that it is a 503, and tokens are still checked."""
        entered, released = threading.Event(), threading.Event()
        real = bcrypt.checkpw

        def slow(*arguments):
            entered.set()
            assert released.wait(90)
            return real(*arguments)

        monkeypatch.setattr(bcrypt, "checkpw", slow)
        credentials = {"username": "alice", "password": PASSWORD}
        first = []
        thread = threading.Thread(target=lambda: first.append(send("POST", "/login", credentials)))
        limit_hashing(concurrent=1, waiting=0)
        try:
            thread.start()
            assert entered.wait(90)
            status, headers, body = send("POST", "/login", credentials)
            assert (status, body["error"]) == (503, "temporarily_unavailable")
            assert int(headers["Retry-After"]) >= 1
            assert send("GET", "/me", Authorization=f"Bearer {token}")[0] == 200
            ask = {"Content_Type": FORM, "Authorization": BASIC}
            assert send("POST", "/introspect", f"token={token}".encode(), **ask)[2]["active"]
        finally:
            released.set()
            thread.join()
            limit_hashing()
        assert first[0][0] == 200


class TestHealth:
    def test_live_and_ready(self, send):
        """Both with a body for people."""
        assert send("GET", "/health/live")[::2] == (200, {"status": "live"})
        assert send("GET", "/health/ready")[::2] == (200, {"status": "ready"})

    def test_store_that_is_down_is_alive_but_not_ready(self, make, send):
        """An orchestrator takes it out of rotation and does not restart it."""
        service = make(users=Down())
        status, headers, body = send("GET", "/health/ready", to=service)
        assert (status, body["error"]) == (503, "temporarily_unavailable")
        assert int(headers["Retry-After"]) >= 1
        assert send("GET", "/health/live", to=service)[0] == 200


class TestUnexpected:
    """What a foreign exception does: nothing that the caller or a log reader could use."""

    @pytest.fixture
    def broken(self, make):
        class Broken(Down):
            def verify_credentials(self, credentials):
                try:
                    {}[credentials.password]
                except KeyError as error:
                    raise RuntimeError(f"cannot handle {credentials.password}") from error

        return make(users=Broken())

    def test_is_a_500_without_text(self, broken, send):
        """RULES 32."""
        credentials = {"username": "alice", "password": PASSWORD}
        status, headers, body = send("POST", "/login", credentials, to=broken)
        assert (status, body) == (500, {"error": "server_error"})
        assert headers["Cache-Control"] == "no-store"

    def test_is_logged_once_with_frames_and_without_secrets(self, broken, send, caplog):
        """An operator sees where; the exception's text may hold what was sent."""
        send("POST", "/login", {"username": "alice", "password": PASSWORD}, to=broken)
        (record,) = [r for r in caplog.records if r.name == "tokenward.endpoints"]
        assert "RuntimeError" in record.getMessage()
        assert "caused by KeyError" in record.getMessage()
        assert "in verify_credentials" in record.getMessage()
        assert PASSWORD not in caplog.text

    def test_our_own_configuration_error_is_logged_with_its_advice(self, make, send, caplog):
        """It says what to change and never holds a secret; the caller sees none of it."""
        service = make(claims=lambda _user: {"sub": "x"})
        credentials = {"username": "alice", "password": PASSWORD}
        status, _, body = send("POST", "/login", credentials, to=service)
        assert (status, body) == (500, {"error": "server_error"})
        assert "The claims hook returned sub" in caplog.text

    def test_outage_is_logged_once_a_minute(self, make, send, caplog):
        """With its hint; every caller gets the 503."""
        service = make(users=Down("met_in_this_test_only"))
        credentials = {"username": "alice", "password": PASSWORD}
        answers = [send("POST", "/login", credentials, to=service)[0] for _ in range(3)]
        lines = [r.getMessage() for r in caplog.records if r.name == "tokenward.endpoints"]
        assert answers == [503] * 3
        assert lines == ["/login: met_in_this_test_only: the disk is full"]

    def test_log_handler_that_fails_changes_no_answer(self, broken, send):
        """RULES 51."""

        class Failing(logging.Handler):
            def emit(self, record):
                raise OSError("disk full")

        handler = Failing()
        logging.getLogger("tokenward.endpoints").addHandler(handler)
        try:
            credentials = {"username": "alice", "password": PASSWORD}
            assert send("POST", "/login", credentials, to=broken)[0] == 500
        finally:
            logging.getLogger("tokenward.endpoints").removeHandler(handler)


def test_request_shows_neither_headers_nor_body():
    """A repr lands in logs; headers, query and body hold tokens."""
    request = Request("GET", "/me", {"Authorization": "Bearer s3cret"}, query="access_token=s3cret")
    assert repr(request) == "Request(GET '/me')"


def test_call_answers_for_one_row(service):
    """What an adapter with a router of its own uses."""
    (live,) = [endpoint for endpoint in ENDPOINTS if endpoint.name == "live"]
    assert call(live, service, Request("GET", "/anywhere", {})).status == 200


def test_foreign_value_error_is_not_quoted():
    """A validator's own sentence is sent; a library's may quote what was sent to us."""

    def decode(text):
        return text.encode("ascii").decode()

    class Model(BaseModel):
        name: Annotated[str, AfterValidator(decode)]

    with pytest.raises(InvalidRequest) as refused:
        read_members(Model, {"name": "s3cr\xe9t"})
    assert refused.value.fields == {"name": "is not valid"}
