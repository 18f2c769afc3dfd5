"""docs/verifiers: options, reasons and methods are those of the code; examples are run."""

import inspect
import json
import re
import sys
import time
import types

import pytest
from doc_pages import DOCS, Page, settings, slugs

from tokenward import (
    AuthServiceUnavailable,
    ByIssuer,
    CloudflareAccess,
    ConfigurationError,
    InsufficientScope,
    IntrospectionClient,
    IntrospectionVerifier,
    InvalidClaim,
    InvalidToken,
    JWKSVerifier,
    LocalVerifier,
    NotAuthenticated,
    TokenRevoked,
    UserNotFound,
    _jose,
)
from tokenward.authenticator import Authenticator, Credential, header
from tokenward.by_issuer import _PATIENCE, MAX_REMEMBERED
from tokenward.cloudflare.identity import (
    _REFRESH_AHEAD,
    IDENTITY_TTL,
    MAX_IDENTITIES,
    REFUSAL_TTL,
)
from tokenward.config import Settings, build_authenticator, build_service
from tokenward.config.settings import (
    CloudflareEntry,
    CustomEntry,
    IntrospectionEntry,
    JWKSEntry,
    LocalEntry,
    SharedSecretEntry,
)
from tokenward.introspection._verdicts import _NOT_KEPT
from tokenward.jwks.memory import MAX_DENIED
from tokenward.jwks.sources import NOT_WRITTEN
from tokenward.keys import REREAD_SECONDS
from tokenward.keys.watch import RETRY_SECONDS
from tokenward.observe import OUTCOMES
from tokenward.protocols import CachingVerifier, TokenVerifier
from tokenward.testing import FakeAuthorizationServer
from tokenward.tokens.verifier import _MAX_CACHED

NAMES = ("introspection", "jwks", "cloudflare-access", "local", "by-issuer", "own")
PAGES = {name: Page(f"verifiers/{name}.md") for name in NAMES}
LOCAL, OWN = PAGES["local"], PAGES["own"]
PLACE = {"type", "source", "ambient"}

OF_THE_WHOLE = {"revocation_bus": "shared_cache", "shared_cache": "shared_cache"}
"""Arguments that come from a section for all entries, where its name is another."""

CLASSES = {
    "introspection": (IntrospectionVerifier, IntrospectionClient),
    "jwks": (JWKSVerifier,),
    "cloudflare-access": (CloudflareAccess,),
    "local": (LocalVerifier,),
    "by-issuer": (ByIssuer,),
    "own": (),
}
ENTRIES = {
    "introspection": IntrospectionEntry,
    "jwks": JWKSEntry,
    "cloudflare-access": CloudflareEntry,
    "local": LocalEntry,
    "own": CustomEntry,
}


def tables(name):
    """Return the rows of each table of options of a page: its cells, by the column's name."""
    found = []
    text = PAGES[name].text
    for table in re.findall(r"^\| Python \|.*\n(?:\|.*\n)+", text, re.MULTILINE):
        head, _, *lines = [line.strip("|").split(" | ") for line in table.splitlines()]
        columns = [cell.strip() for cell in head]
        assert all(len(columns) == len(line) for line in lines), table
        found.append([dict(zip(columns, map(str.strip, line), strict=True)) for line in lines])
    return found


def name_in(cell):
    """Return the one name that a cell is; ``None``: it says something else."""
    found = re.fullmatch(r"`(\w+)`", cell)
    return found and found[1]


def value_in(cell):
    """Return what a cell writes down as a default; ``...``: it says something else."""
    if not cell.startswith("`"):
        return ...
    text = cell.strip("`")
    known = {"True": True, "False": False, "time.time": time.time}
    return known[text] if text in known else json.loads(text)


def same(shown, actual):
    """Tell whether a default is the one that is shown; one string is a list of one."""
    if isinstance(actual, (list, tuple)):
        return list(actual) == (shown if isinstance(shown, list) else [shown])
    return shown == actual


OPTIONS = [
    pytest.param(rows, kind, name, id=kind.__name__)
    for name, kinds in CLASSES.items()
    for rows, kind in zip(tables(name), kinds, strict=False)
]


@pytest.mark.parametrize(("rows", "kind", "name"), OPTIONS)
def test_every_argument_has_a_row(rows, kind, name):
    """And every row is an argument; in the order of the signature as far as both have it."""
    shown = {name_in(row["Python"]) for row in rows} - {None}
    assert set(inspect.signature(kind).parameters) == shown


@pytest.mark.parametrize(("rows", "kind", "name"), OPTIONS)
def test_the_defaults_are_those_of_the_signature(rows, kind, name):
    """A literal is the value; what must be written has none; `none` is no literal."""
    parameters = inspect.signature(kind).parameters
    for row in rows:
        if (argument := name_in(row["Python"])) is None:
            continue
        default, shown = parameters[argument].default, value_in(row["default"])
        must = default is inspect.Parameter.empty
        assert must == (row["default"] == "must be written"), argument
        if shown is not ...:
            assert same(shown, default), argument
        elif not must:
            assert default in (None, (), NOT_WRITTEN), argument


@pytest.mark.parametrize("name", ENTRIES)
def test_every_setting_has_a_row(name):
    """And every row that names a setting names one of the entry."""
    rows = [row for table in tables(name) for row in table]
    shown = {name_in(row["configuration"]) for row in rows} - {None}
    expected = set(ENTRIES[name].model_fields) - PLACE
    assert shown - PLACE == expected


@pytest.mark.parametrize("name", ENTRIES)
def test_the_defaults_are_those_of_the_settings(name):
    """The same literal is the default in a file."""
    fields = ENTRIES[name].model_fields
    for row in (row for table in tables(name) for row in table):
        if (setting := name_in(row["configuration"])) is None:
            continue
        field, shown = fields[setting], value_in(row["default"])
        if setting != "introspection_endpoint":  # which ``issuer`` can stand for
            assert field.is_required() == (row["default"] == "must be written"), setting
        if shown is not ...:
            assert same(shown, field.get_default(call_default_factory=True)), setting
        elif not field.is_required():
            assert field.get_default(call_default_factory=True) in (None, (), {}), setting


@pytest.mark.parametrize("name", CLASSES)
def test_what_comes_from_the_whole_is_a_setting_of_it(name):
    """`shared_cache` and `on_event` stand beside `credentials`."""
    told = {
        name_in(row["Python"]): found[1]
        for table in tables(name)
        for row in table
        if (found := re.fullmatch(r"`(\w+)` of the whole", row["configuration"]))
    }
    for argument, setting in told.items():
        assert OF_THE_WHOLE.get(argument, argument) == setting
        assert setting in Settings.model_fields
    kinds = [set(inspect.signature(kind).parameters) for kind in CLASSES[name]]
    shared = {"shared_cache", "revocation_bus", "on_event"}
    assert set(told) == shared & set().union(*kinds)


def test_the_options_of_the_client_are_those_of_from_issuer():
    """As the sentence below the table says."""
    from tokenward.introspection.options import ClientOptions

    named = set(inspect.signature(IntrospectionClient).parameters)
    assert {*ClientOptions.__annotations__} == named - {
        *("introspection_endpoint", "issuer", "client_auth")
    }


def test_a_shared_secret_has_the_settings_that_are_listed():
    """The paragraph lists those of `jwks` that it has."""
    (text,) = re.findall(
        r"its other settings are those of\n`jwks`.*?\.\n", PAGES["jwks"].text, re.DOTALL
    )
    listed = set(slugs(text)) - {"jwks"}
    assert set(SharedSecretEntry.model_fields) - PLACE - {"secret", "algorithm"} == listed
    assert listed <= set(JWKSEntry.model_fields)
    assert '"HS256"' in PAGES["jwks"].text
    assert "HS256" == SharedSecretEntry.model_fields["algorithm"].default


# --- what they raise


REFUSALS = Page("refusals.md")
CLAIMS = {"claims", "your code"}
FETCHING = {"HTTP", "cache", "issuer's keys"}
# Never in a verdict: a body of JSON is what the service's client sends.
NOT_ASKED = {"bad_request"}

GIVEN = {
    "introspection": (
        {*CLAIMS, "introspection"},
        {"client_mismatch"},
        {*FETCHING, "discovery", "introspection", "our credentials"},
        set(),
    ),
    "jwks": (
        {*CLAIMS, "signed tokens"},
        set(),
        {*FETCHING, "discovery"},
        {"algorithm_unsupported", "client_auth_unsupported"},
    ),
    "cloudflare-access": (
        {*CLAIMS, "signed tokens", "Cloudflare"},
        {"client_mismatch", "check_failed", "invalid_claim"},
        {*FETCHING, "Cloudflare"},
        set(),
    ),
    "local": (
        {*CLAIMS, "signed tokens", "own tokens"},
        {"client_mismatch"},
        {"own tokens", "keys", "stores"},
        set(),
    ),
}
"""Whose reasons a page lists, by `docs/refusals.md`, and which of them it cannot have."""


def listed(name):
    """Return the reasons of a page's table, by the status that they are answered with."""
    found = {"401": set(), "503": set()}
    for raised, answered, reasons in PAGES[name].rows("What it raises"):
        if raised != "`ConfigurationError`":
            found[answered[:3]] |= set(re.findall(r"`([a-z_]+)`", reasons)) - {"check"}
    return found


def given(heading, parts, but):
    """Return the reasons of a section of the refusals that these parts give."""
    rows = REFUSALS.rows(heading)
    found = {slugs(row[0])[0] for row in rows if parts & set(row[-1].split(", "))}
    return found - but


@pytest.mark.parametrize("name", GIVEN)
def test_the_reasons_of_a_page_are_those_that_its_parts_give(name):
    """Both ways, by the table of all refusals, which the code is compared with."""
    parts, never, asking, unasked = GIVEN[name]
    refused = "401 `invalid_token`: a token is refused"
    unavailable = "503 `temporarily_unavailable`: nobody could decide"
    expected = {
        "401": given(refused, parts, never),
        "503": given(unavailable, asking, NOT_ASKED | unasked | {"unavailable"}),
    }
    assert expected == listed(name)
    assert listed(name)["401"] <= OUTCOMES


def test_what_is_not_kept_is_named():
    """Of introspection: three reasons."""
    (text,) = re.findall(r"Three refusals are not kept.*?;", PAGES["introspection"].text, re.DOTALL)
    assert set(slugs(text)) == _NOT_KEPT


@pytest.mark.parametrize("name", [name for name, kinds in CLASSES.items() if kinds])
def test_every_method_has_a_row(name):
    """And every row is a method or a property."""
    kind = CLASSES[name][0]
    shown = {
        re.match(r"\w+", text)[0] for row in PAGES[name].rows("Methods") for text in slugs(row[0])
    }
    public = {n for n in dir(kind) if not n.startswith("_")} - {"after_fork"}
    # Attributes that are told of elsewhere on the page.
    assert public - {"issuer"} == shown


def test_every_page_is_looked_at_here():
    """A page that is new is compared with the code too."""
    assert set(NAMES) == {path.stem for path in (DOCS / "verifiers").glob("*.md")}


@pytest.mark.parametrize("name", NAMES)
def test_mappings_and_toml_are_configurations(name, monkeypatch):
    """Each of a page; what they name is asked for elsewhere."""
    for variable in ("AS_SECRET", "OLD_SECRET"):
        monkeypatch.setenv(variable, "f3a9c1e07b5d4826-of-a-test-and-long-enough")
    page = PAGES[name]
    assert all(compile(block, page.path, "exec") for block in page.blocks)
    for written in (*page.mappings(), *page.tomls()):
        assert settings(written).credentials


def test_the_numbers_of_the_tables_are_those_of_the_code():
    """Of what is kept, and for how long."""
    cloudflare, local = PAGES["cloudflare-access"].text, LOCAL.text
    kept = f"| an identity | {IDENTITY_TTL:g} seconds; asked for again in the last "
    assert f"{kept}{_REFRESH_AHEAD:g} of them | {MAX_IDENTITIES:,} |" in cloudflare
    assert f"| that a session is over | {REFUSAL_TTL:g} seconds |" in cloudflare
    assert f"| a revoked assertion | while the process lives | {MAX_DENIED:,} |" in cloudflare
    assert f"at most {MAX_IDENTITIES:,} of that" in cloudflare
    assert f"| {_MAX_CACHED:,} tokens |" in local
    assert f"| the keys | {REREAD_SECONDS:g} seconds;" in local
    assert 1 == RETRY_SECONDS
    assert f"at most {_jose.MAX_TOKEN_BYTES:,} bytes" in local
    assert f"| {MAX_REMEMBERED:,} |" in PAGES["by-issuer"].text
    assert f"more than {_PATIENCE:g} seconds" in PAGES["by-issuer"].text


# --- tokens of our own


@pytest.fixture
def local():
    """What the page's Python makes, up to the principal."""
    names = {}
    for text in ("KeyRing.generate()", "create_access_token("):
        block = LOCAL.block(text).replace("UserRepository()", "UserRepository(bcrypt_cost=4)")
        LOCAL.run(block, names)
    return names


def test_the_verifier_of_the_page_takes_the_token_of_the_page(local):
    """And says whose it is by the user's row."""
    principal = local["principal"]
    assert (local["alice"].id, "alice") == (principal.subject, principal.username)
    assert local["users"].get_by_id(principal.subject).public() == principal.user


def test_it_looks_into_the_stores_on_every_call(local):
    """A revocation, a user who is switched off, and one who is gone count at once."""
    verify = local["verifier"].verify
    local["tokens"].revoke(local["principal"].claims["jti"], time.time() + 60)
    with pytest.raises(TokenRevoked):
        verify(local["token"])
    made = local["create_access_token"]
    options = {"keys": local["keys"], "issuer": "https://auth.example", "audience": "orders"}
    token = made({"sub": local["alice"].id}, **options)
    assert verify(token, live=True).user
    local["users"].set_active("alice", active=False)
    with pytest.raises(UserNotFound) as switched_off:
        verify(token)
    assert "user_inactive" == switched_off.value.reason
    own = verify(made({"sub": "shop", "client_id": "shop"}, **options))
    assert ("client", None) == (own.kind, own.user)
    with pytest.raises(UserNotFound):
        verify(made({"sub": "nobody"}, **options))
    assert local["verifier"].cached(token) is None


def test_a_rule_of_yours_is_asked_on_every_call(local):
    """Unlike that of a `JWKSVerifier`, which is asked once for a token that is kept."""
    asked = []
    stores = {"users": None, "tokens": None}
    verifier = LocalVerifier(
        local["keys"], issuer=None, audience=None, check=asked.append, **stores
    )
    principals = [verifier.verify(local["token"]) for _ in "ab"]
    assert (2, None) == (len(asked), principals[0].user)


def test_the_mapping_of_local_is_a_service_and_its_tokens(tmp_path):
    """TOML says the same; an application with the store takes what the service issues."""
    (mapping,), (written,) = LOCAL.mappings(), LOCAL.tomls()
    assert mapping == written
    mapping["service"]["store"] = "memory://"
    service = build_service(settings(mapping))
    authenticator = build_authenticator(settings(mapping), service=service)
    (credential,) = authenticator.credentials
    assert isinstance(credential.verifier, LocalVerifier)
    del mapping["credentials"]
    (implied,) = build_authenticator(settings(mapping), service=service).credentials
    assert isinstance(implied.verifier, LocalVerifier)


# --- a verifier of your own


@pytest.fixture
def own():
    """What the page defines, over a `find` of three keys."""

    def find(digest):
        if digest == hashed("down"):
            raise ConnectionError
        return {hashed("good"): {"name": "shop", "scopes": ["read"]}}.get(digest)

    names = {"find": find}
    OWN.run(OWN.block("class APIKeys"), names)
    hashed = lambda key: names["hashlib"].sha256(key.encode()).hexdigest()  # noqa: E731
    return OWN.run(OWN.block("Authenticator("), names)


def test_the_verifier_of_the_page_decides(own):
    """Accepted, refused, and nobody could say."""
    authenticate = own["authenticator"].authenticate
    found = authenticate({"X-Api-Key": "good"}, method="POST").principal
    expected = ("shop", "https://shop.example/keys", {"read"})
    assert expected == (found.subject, found.issuer, found.scopes)
    with pytest.raises(InvalidToken) as refused:
        authenticate({"X-Api-Key": "bad"})
    assert "unknown_api_key" == refused.value.reason
    with pytest.raises(AuthServiceUnavailable):
        authenticate({"X-Api-Key": "down"})


def test_it_is_a_verifier(own):
    """By the protocol; the one with `cached` is another."""
    verifier = own["APIKeys"](None)
    assert isinstance(verifier, TokenVerifier)
    assert not isinstance(verifier, CachingVerifier)


def test_the_test_of_the_page_passes(own):
    """It is run as it stands."""
    names = {"APIKeys": own["APIKeys"]}
    OWN.run(OWN.block("def test_an_unknown_key"), names)["test_an_unknown_key_is_refused"]()


class Answers:
    """A verifier that returns or raises one thing."""

    def __init__(self, outcome):
        self.outcome = outcome

    def verify(self, token, /, *, live=False):
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "kind", "reason"),
    [
        (None, InvalidToken, "no_subject"),
        (True, InvalidToken, "no_subject"),
        (NotAuthenticated(), InvalidToken, "invalid_token"),
        (InsufficientScope(), InsufficientScope, "insufficient_scope"),
        (KeyError("tenant"), KeyError, None),
        (ConfigurationError("no live"), ConfigurationError, None),
    ],
)
def test_what_else_a_verifier_does_admits_nobody(outcome, kind, reason):
    """As the contract says."""
    authenticator = Authenticator(Credential(header("X-Key"), Answers(outcome), ambient=False))
    with pytest.raises(kind) as raised:
        authenticator.authenticate({"X-Key": "anything"})
    assert reason == getattr(raised.value, "reason", None)


def test_every_optional_member_is_looked_for():
    """Those of the table are read somewhere in the package, by that name."""
    rows = OWN.rows("The contract")
    named = {re.match(r"\w+", slugs(row[0])[0])[0] for row in rows}
    import tokenward

    root = DOCS.parent / "src" / "tokenward"
    assert tokenward.__file__.startswith(str(root))
    text = "".join(path.read_text("utf-8") for path in root.rglob("*.py"))
    looked_for = set(re.findall(r"getattr\([\w.]*verifier, \"(\w+)\"", text))
    assert looked_for - {"verify"} == named


@pytest.fixture
def myapp(monkeypatch):
    """A module ``myapp.auth`` with the factory of the page."""
    module = types.ModuleType("myapp.auth")
    module.__dict__.update(OWN.run(OWN.block("def make_verifier"), {}))
    monkeypatch.setitem(sys.modules, "myapp", types.ModuleType("myapp"))
    monkeypatch.setitem(sys.modules, "myapp.auth", module)


@pytest.mark.usefixtures("myapp")
def test_the_entry_of_the_page_makes_a_verifier():
    """The factory is called with the options, and its rule holds."""
    with FakeAuthorizationServer(audience="orders") as server:
        written = json.dumps(OWN.tomls()[0]).replace("https://login.example", server.issuer)
        authenticator = build_authenticator(settings(json.loads(written)))

        def subject_of(token):
            return authenticator.authenticate({"Authorization": f"Bearer {token}"}).principal

        assert "alice" == subject_of(server.token(sub="alice", tenant="acme")).subject
        with pytest.raises(InvalidClaim) as refused:
            subject_of(server.token(tenant="globex"))
    assert "wrong_tenant" == refused.value.reason


def test_the_reasons_around_a_verifier_are_reasons_of_the_request():
    """Those that the page names come from reading the request, or after it."""
    part = OWN.text.partition("## What it raises")[2].partition("## ")[0]
    rows = REFUSALS.rows("The request is refused")
    of_the_request = {slugs(row[0])[0] for row in rows if "request" in row[-1].split(", ")}
    assert set(slugs(part)) == of_the_request - {"not_authenticated"}
