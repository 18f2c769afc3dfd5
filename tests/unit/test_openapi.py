"""The description of the service: true to OpenAPI 3.1, to the models, and to what is enforced."""

import base64
import hashlib
import html
import html.parser
import json
import re
from functools import cache
from pathlib import Path

import jsonschema
import pytest
from drf_spectacular import validation

from tokenward.endpoints import ENDPOINTS, Request, call, openapi, routes
from tokenward.endpoints.openapi._page import render
from tokenward.errors import InvalidRequest
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.schemas import RegisterRequest, read_members
from tokenward.service import AuthService

ACCOUNT = {"username": "alice", "email": "alice@example.com", "password": "correct horse"}


@cache
def new_service(**options):
    repositories = open_repositories("memory://", bcrypt_cost=4)
    defaults = {"issuer": "https://auth.example", "audience": "orders"}
    return AuthService(
        repositories.users,
        keys=KeyRing.generate("ES256"),
        tokens=repositories.tokens,
        **{**defaults, **options},
    )


@pytest.fixture
def service():
    """One service for all tests here: none of them changes it."""
    return new_service()


@pytest.fixture
def document(service):
    return openapi.document(service)


def schemas_in(value):
    """Return every schema of a document, with the components in reach."""
    if isinstance(value, dict):
        if isinstance(value.get("schema"), dict):
            yield value["schema"]
        for inner in value.values():
            yield from schemas_in(inner)


def checker(document, schema):
    return jsonschema.Draft202012Validator(
        {**schema, "components": document["components"]},
        format_checker=jsonschema.FormatChecker(),
    )


def component(document, name):
    return checker(document, {"$ref": f"#/components/schemas/{name}"})


class TestTheDocument:
    @pytest.mark.parametrize("issuer", ["https://auth.example", "https://example.com/auth"])
    def test_it_is_openapi_3_1(self, issuer):
        """By the specification's own schema, and each schema in it by that of JSON Schema."""
        made = openapi.document(new_service(issuer=issuer))
        path = Path(validation.__file__).with_name("openapi_3_1_schema.json")
        jsonschema.Draft202012Validator(json.loads(path.read_text("utf-8"))).validate(made)
        schemas = [*schemas_in(made), *made["components"]["schemas"].values()]
        for schema in schemas:
            jsonschema.Draft202012Validator.check_schema(schema)
        assert len(schemas) > 2 * len(ENDPOINTS)

    def test_every_reference_leads_somewhere(self, document):
        """And every schema is used."""
        text = json.dumps(document)
        named = set(re.findall(r'"#/components/(\w+)/([\w-]+)"', text))
        kept = {(k, n) for k in ("schemas", "headers") for n in document["components"][k]}
        assert kept == named

    def test_it_has_every_endpoint_and_no_other(self, document):
        """With the method, the name and the status of success that the table says."""
        described = {
            (path, method.upper(), operation["operationId"])
            for path, item in document["paths"].items()
            for method, operation in item.items()
        }
        assert {(e.path, e.method, e.name) for e in ENDPOINTS} == described
        for endpoint in ENDPOINTS:
            operation = document["paths"][endpoint.path][endpoint.method.lower()]
            statuses = {endpoint.status, *endpoint.refusals, 500, 503}
            assert {str(status) for status in statuses} == set(operation["responses"])

    def test_the_server_is_the_issuer(self):
        """Without the slash that an issuer may end with: paths begin with one."""
        made = openapi.document(new_service(issuer="https://example.com/auth/"))
        assert [{"url": "https://example.com/auth"}] == made["servers"]

    def test_an_issuer_with_a_path_has_metadata_at_the_root_too(self):
        """RFC 8414, section 3.1: those two are not below the issuer."""
        service = new_service(issuer="https://example.com/auth")
        paths = openapi.document(service)["paths"]
        at_root = {path for path, item in paths.items() if "servers" in item}
        assert {
            "/.well-known/oauth-authorization-server/auth",
            "/.well-known/openid-configuration/auth",
        } == at_root
        assert all([{"url": "https://example.com"}] == paths[p]["servers"] for p in at_root)
        assert at_root <= set(routes(service))
        names = [o["operationId"] for i in paths.values() for o in i.values() if "tags" in o]
        assert len(names) == len(set(names))

    def test_security_by_endpoint(self, document):
        """A client may be named by the form instead, which OpenAPI has no word for."""

        def security(path):
            (operation,) = document["paths"][path].values()
            return operation["security"]

        assert ([], [{"bearer": []}]) == (security("/register"), security("/me"))
        assert [{"client": []}, {}] == security("/introspect")
        assert [{}, {"client": []}] == security("/login")
        assert {"bearer", "basic"} == {
            scheme["scheme"] for scheme in document["components"]["securitySchemes"].values()
        }

    def test_what_is_read(self, document):
        """JSON or a form, needed unless nothing in it is."""
        bodies = {
            path: operation["requestBody"]
            for path, item in document["paths"].items()
            for operation in item.values()
            if "requestBody" in operation
        }
        forms = {
            p for p, b in bodies.items() if "application/x-www-form-urlencoded" in b["content"]
        }
        assert {"/token", "/introspect", "/revoke"} == forms
        assert {"application/json"} == {
            m for p in bodies.keys() - forms for m in bodies[p]["content"]
        }
        assert {"/logout"} == {path for path, body in bodies.items() if not body["required"]}

    def test_every_refusal_has_the_one_body_and_its_header(self, document):
        """A challenge with each 401, a time with each 429 and 503."""
        needed = {"401": {"WWW-Authenticate"}, "429": {"Retry-After"}, "503": {"Retry-After"}}
        seen = set()
        for item in document["paths"].values():
            for operation in item.values():
                for status, answer in operation["responses"].items():
                    if status < "400":
                        continue
                    seen.add(status)
                    assert needed.get(status, set()) == set(answer.get("headers", ()))
                    name = "ServerError" if status == "500" else "Error"
                    schema = answer["content"]["application/json"]["schema"]
                    assert f"#/components/schemas/{name}" == schema["$ref"]
        assert {"400", "401", "403", "409", "413", "415", "429", "500", "503"} == seen

    def test_examples_are_what_may_be_sent(self, document):
        """Each is valid, and holds nothing that looks like a secret of somebody's."""
        for item in document["paths"].values():
            for operation in item.values():
                for content in operation.get("requestBody", {}).get("content", {}).values():
                    checker(document, content["schema"]).validate(content["example"])
                    assert set(checker(document, content["schema"]).schema) & {"$ref", "properties"}
        register = document["paths"]["/register"]["post"]["requestBody"]["content"]
        assert {"username", "email", "password"} == set(register["application/json"]["example"])
        assert not re.search(r"eyJ[\w-]+\.|[0-9a-f]{32}", json.dumps(document))

    def test_it_reads_well(self, document):
        """Without what the models' own schemas repeat, and in Markdown as OpenAPI has it."""
        for schema in document["components"]["schemas"].values():
            assert "title" not in schema
            assert not {"``", "\n"} & set(re.findall(r"``|\n", schema["description"]))
            assert not any(
                {"title", "default"} & set(m) for m in schema.get("properties", {}).values()
            )

    def test_each_caller_has_one_of_its_own(self, service):
        """Who changes it changes it for nobody else."""
        first = openapi.document(service)
        first["info"]["title"] = "changed"
        assert "Auth service" == openapi.document(service)["info"]["title"]


class TestWhatIsEnforced:
    """The schema of a request refuses what the model refuses, and no more."""

    @pytest.mark.parametrize(
        ("member", "value", "allowed"),
        [
            ("username", "a", True),
            ("username", "x" * 150, True),
            ("username", " alice\t", True),
            ("username", "\x1calice\x85", True),
            ("username", "x" * 151, False),
            ("username", "", False),
            ("username", " ", False),
            ("username", "al ice", False),
            ("username", "al\x00ice", False),
            ("username", "al\x9fice", False),
            ("username", 7, False),
            ("email", "a@example.com", True),
            ("email", "Alice <a@example.com>", False),
            ("email", "a b@example.com", False),
            ("email", "alice", False),
            ("email", "a@" + "example." * 32 + "com", False),
            ("password", "sixsix", True),
            ("password", "five5", False),
            ("password", "p" * 1024, True),
            ("password", "p" * 1025, False),
            ("password", "nul\x00 and ü", True),
            ("roles", ["admin"], False),
        ],
    )
    def test_register(self, document, member, value, allowed):
        """Member by member, at the limits."""
        members = {**ACCOUNT, member: value}
        assert allowed == component(document, "RegisterRequest").is_valid(members)
        if allowed:
            read_members(RegisterRequest, members)
        else:
            with pytest.raises(InvalidRequest):
                read_members(RegisterRequest, members)

    def test_white_space_around_a_name_for_readers_who_know_less_of_it(self, document):
        """To whom white space is what ASCII has of it, the rest is named."""
        pattern = document["components"]["schemas"]["RegisterRequest"]["properties"]["username"]
        assert re.search(pattern["pattern"], "\x1calice\x85", re.ASCII)

    def test_a_field_that_is_needed_is_not_empty(self, document):
        """An empty one counts as absent (RFC 6749, section 3.2)."""
        (content,) = document["paths"]["/revoke"]["post"]["requestBody"]["content"].values()
        form = checker(document, content["schema"])
        assert form.is_valid({"token": "t", "token_type_hint": ""})
        assert not form.is_valid({"token": ""})

    @pytest.mark.parametrize("name", ["RegisterRequest", "ChangePasswordRequest"])
    def test_the_length_that_this_service_wants(self, name):
        """Of a new password, wherever one is sent; not of the one that somebody has."""
        made = openapi.document(new_service(password_min_length=12))
        members = made["components"]["schemas"][name]["properties"]
        new = members.get("new_password", members.get("password"))
        assert (12, 1024) == (new["minLength"], new["maxLength"])
        assert 1 == members.get("current_password", {"minLength": 1})["minLength"]

    @pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
    def test_requests_take_nothing_unknown(self, document, endpoint):
        """JSON: `additionalProperties` is false. A form may hold more (RFC 6749, section 3.2)."""
        if isinstance(endpoint.takes, type):
            schema = document["components"]["schemas"][endpoint.takes.__name__]
            assert schema["additionalProperties"] is False
        elif endpoint.takes is not None:
            body = document["paths"][endpoint.path]["post"]["requestBody"]
            (content,) = body["content"].values()
            assert "additionalProperties" not in content["schema"]
            assert {f.name for f in endpoint.takes} == set(content["schema"]["properties"])
            assert [f.name for f in endpoint.takes if f.required] == content["schema"]["required"]

    def test_grant_types(self, document):
        """Of the token endpoint, exactly those that it knows."""
        (content,) = document["paths"]["/token"]["post"]["requestBody"]["content"].values()
        known = content["schema"]["properties"]["grant_type"]["enum"]
        assert ["client_credentials", "refresh_token"] == known


class TestAnswers:
    def test_what_is_left_out_and_what_is_null(self, document):
        """A login leaves out what there is not; a user without an address has null there."""
        login = component(document, "LoginResponse")
        answer = {"access_token": "t", "token_type": "Bearer", "expires_in": 900}
        assert login.is_valid(answer)
        assert not login.is_valid({**answer, "refresh_token": None})
        assert not login.is_valid({**answer, "token_type": "MAC"})
        user = {"id": "1", "username": "alice", "email": None, "email_verified": False}
        public = component(document, "PublicUser")
        assert not public.is_valid(user)
        assert public.is_valid({**user, "is_active": True, "roles": []})
        assert not component(document, "SessionsResponse").is_valid({})

    def test_an_inactive_token_says_only_that(self, document):
        """Nothing but `active` is required of an introspection."""
        assert component(document, "IntrospectResponse").is_valid({"active": False})

    def test_a_set_with_a_private_member_is_none(self, document):
        """Public keys only."""
        key = {"kty": "EC", "kid": "1", "alg": "ES256", "use": "sig"}
        assert component(document, "JWKSet").is_valid({"keys": [key]})
        assert not component(document, "JWKSet").is_valid({"keys": [{**key, "d": "x"}]})

    @pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.tag in ("published", "health")])
    def test_what_is_published_is_what_is_described(self, document, endpoint):
        """By asking each endpoint that asks for nothing."""
        answer = call(endpoint, new_service(), Request("GET", endpoint.path, {}))
        assert endpoint.status == answer.status
        described = document["paths"][endpoint.path]["get"]["responses"]["200"]
        (media,) = described["content"]
        assert media == dict(answer.headers)["Content-Type"].partition(";")[0]
        if media == "application/json":
            schema = described["content"][media]["schema"]
            checker(document, schema).validate(json.loads(answer.body))

    def test_codes_of_refusals(self, document):
        """Those that an endpoint's own errors have."""

        def codes(path, status):
            (operation,) = document["paths"][path].values()
            content = operation["responses"][status]["content"]["application/json"]
            assert (
                content["schema"]["properties"]["error"]["enum"][0] == content["example"]["error"]
            )
            return set(content["schema"]["properties"]["error"]["enum"])

        assert {"invalid_credentials", "invalid_client"} == codes("/login", "401")
        assert {"not_authenticated", "invalid_token"} == codes("/me", "401")
        assert {"invalid_credentials", *codes("/me", "401")} == codes("/password", "401")
        assert {"invalid_client"} == codes("/introspect", "401")
        assert {"invalid_request", "invalid_grant"} <= codes("/refresh", "400")
        assert {
            "invalid_request",
            "invalid_grant",
            "invalid_scope",
            "invalid_target",
            "unauthorized_client",
            "unsupported_grant_type",
        } == codes("/token", "400")


class Tags(html.parser.HTMLParser):
    """What a page is made of; it must be well-formed."""

    VOID = ("meta",)

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open = [], [], []
        self.feed(text)
        self.close()
        assert [] == self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend((tag, *attr) for attr in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag == self.open.pop()

    def all(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]


class TestThePage:
    def test_it_holds_nothing_that_runs_or_is_loaded(self, service):
        """No script, no form, no image, no handler, no style beside its own."""
        page = Tags(openapi.page(service))
        unwanted = {"script", "form", "img", "link", "iframe", "object", "base", "input"}
        assert set() == unwanted & set(page.tags)
        used = {attribute for _, attribute, _ in page.attributes}
        assert {"charset", "class", "content", "href", "id", "lang", "name", "aria-label"} == used
        assert all(link.startswith("#") or link == "openapi.json" for link in page.all("href"))

    def test_its_policy_allows_its_own_style_and_no_more(self, service):
        """By the digest of what stands between the tags (CSP 3, section 8.4)."""
        (style,) = re.findall(r"<style>(.*?)</style>", openapi.page(service), re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = dict(openapi.PAGE_HEADERS)["Content-Security-Policy"]
        expected = [
            "default-src 'none'",
            f"style-src 'sha256-{digest}'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
        assert expected == policy.split("; ")
        assert "nosniff" == dict(openapi.PAGE_HEADERS)["X-Content-Type-Options"]

    def test_every_link_on_it_leads_somewhere(self, service):
        """And no place has the name of another."""
        page = Tags(openapi.page(service))
        places = page.all("id")
        assert len(places) == len(set(places))
        assert {link[1:] for link in page.all("href") if link.startswith("#")} <= set(places)
        assert {e.name for e in ENDPOINTS} <= set(places)

    def test_it_is_escaped(self):
        """Whatever the issuer's URL holds stays text."""
        service = new_service(issuer="https://auth.example/<b>&'\"")
        page = openapi.page(service)
        assert "<b>" not in page
        assert "&lt;b&gt;&amp;" in page

    def test_its_texts_are_escaped(self, document):
        """In code and outside of it."""
        document["paths"]["/me"]["get"]["summary"] = "<i> of `<b>`"
        page = render(document)
        assert "<p>&lt;i&gt; of <code>&lt;b&gt;</code></p>" in page

    def test_it_says_what_the_document_says(self, service, document):
        """Every path, every member, every code."""
        page = openapi.page(service)
        for path in document["paths"]:
            assert f"<code>{path}</code>" in page
        for schema in document["components"]["schemas"].values():
            for member in schema.get("properties", {}):
                assert f"<code>{member}</code>" in page
        assert "6 to 1,024 characters" in page
        assert '"password": "nine green kettles"' in html.unescape(page)


class TestPublishing:
    @pytest.mark.parametrize("answer", [openapi.answer_document, openapi.answer_page])
    def test_it_is_known_by_its_tag(self, service, answer):
        """RFC 9110, section 13.1.2: 304 for who has it already, compared weakly."""

        def ask(known=None):
            headers = {} if known is None else {"If-None-Match": known}
            return answer(service, Request("GET", "/", headers))

        whole = ask()
        headers = dict(whole.headers)
        assert (200, "public, max-age=300") == (whole.status, headers["Cache-Control"])
        tag = headers["ETag"]
        assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            assert (304, b"") == (ask(known).status, ask(known).body)
            assert tag == dict(ask(known).headers)["ETag"]
        for known in ('"other"', "", tag.strip('"')):
            assert 200 == ask(known).status

    def test_it_is_made_once_for_a_service(self, service):
        """The bytes of an answer are those of the one before."""
        request = Request("GET", "/", {})
        first, second = (openapi.answer_document(service, request).body for _ in range(2))
        assert first is second
        assert openapi.document(service) == json.loads(first)

    def test_two_services_have_two(self):
        """Each is told of its own URL."""
        other = new_service(issuer="https://other.example")
        answers = [openapi.answer_page(s, Request("GET", "/", {})) for s in (new_service(), other)]
        assert len({dict(answer.headers)["ETag"] for answer in answers}) == 2
        assert dict(openapi.PAGE_HEADERS).items() <= dict(answers[0].headers).items()
