"""docs/refusals.md: every reason that the code can give stands there, and no other."""

import ast
import re
import shlex
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from doc_pages import Page, slugs

import tokenward
from tokenward import AuthServiceUnavailable, InvalidToken, Principal, errors, service_client
from tokenward._http import failures
from tokenward.bearer import error_response
from tokenward.cli import main
from tokenward.client_auth import token_endpoint
from tokenward.commands import advice
from tokenward.endpoints.incoming import MAX_BODY_BYTES, MAX_FORM_FIELDS
from tokenward.introspection._replies import CLIENT_REFUSED_BACK_OFF
from tokenward.keys import watch
from tokenward.metadata import MAX_DOCUMENT_BYTES
from tokenward.observe import OUTCOMES
from tokenward.passwords.hashing import MAX_BYTES
from tokenward.repositories.mongo import _errors as mongo_errors
from tokenward.testing import FakeAuthorizationServer, StubVerifier
from tokenward.tokens import access_token

PAGE = Page("refusals.md")
ROOT = Path(tokenward.__file__).parent
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.AuthError)
}
NOBODY = "your code"

PARTS = {
    "request": ("bearer", "authenticator", "principal", "wsgi", "django/_guard", "django/drf"),
    "claims": ("claims",),
    "signed tokens": ("_jose", "jwks", "_spellings"),
    "issuer's keys": ("jwkset",),
    "discovery": ("metadata",),
    "introspection": ("introspection", "_spellings"),
    "Cloudflare": ("cloudflare",),
    "own tokens": ("tokens",),
    "by issuer": ("by_issuer",),
    "HTTP": ("_http",),
    "cache": ("cache",),
    "our credentials": ("client_auth",),
    "Redis": ("redis_cache",),
    "service": (
        *("service", "endpoints", "clients", "schemas", "throttle"),
        *("flask/_service", "django/_endpoint_views"),
    ),
    "keys": ("keys",),
    "passwords": ("passwords",),
    "stores": ("repositories", "django/repository", "django/_database"),
    "service client": ("service_client",),
    "Django": ("django/users", "django/_password_service", "django/sessions", "django/backends"),
    "functions": ("app",),
    "command line": ("commands", "cli"),
}
"""What the page calls the modules below ``src/tokenward``."""

UNAVAILABLE = "503 `temporarily_unavailable`"

# Where the reason is not written at the call: what is passed there.
PASSED = {
    ("_http/failures", "reason"): {
        *failures._HINTS,
        *(reason for reason, _ in failures._ROWS if reason != failures._LOST),
    },
    ("client_auth/token_endpoint", "reason"): {
        *token_endpoint._OUR_MISTAKE,
        *("bad_response", "client_refused"),
    },
    ("django/_database", "REASON"): {"store_unavailable"},
    ("django/repository", "REASON"): {"store_unavailable"},
    ("django/users/rows", "REASON"): {"store_unavailable"},
    ("endpoints/handlers/clients", "f'{name}_missing'"): {
        *("grant_type_missing", "refresh_token_missing", "token_missing")
    },
    ("introspection/_replies", "reason"): {"bad_response", "unsigned_response"},
    ("keys/watch", "reason"): {watch._NO_KEY, watch._STORE},
    ("repositories/mongo/_errors", "REASON"): {mongo_errors.REASON},
    ("repositories/mongo/_counters", "errors.REASON"): {mongo_errors.REASON},
    ("repositories/mongo/_store", "errors.REASON"): {mongo_errors.REASON},
    ("repositories/mongo/_tokens", "errors.REASON"): {mongo_errors.REASON},
    ("service/policy", "reason"): {"invalid_password"},
    ("tokens/access_token", "_REASONS[name]"): {*access_token._REASONS.values()},
    # What another part has said.
    ("django/backends", "why"): set(),
    ("django/drf", "error.reason"): set(),
}

KINDS = {"kind": "AuthServiceUnavailable", "SignInUnavailable": "AuthServiceUnavailable"}
"""What is called with a reason and is no class of `tokenward.errors` itself."""

# Never answered: `Clients` makes `InvalidClient` of it.
INTERNAL = {("client_refused", "401 `invalid_token`")}


def answer_of(kind):
    """Return how the page writes the answer of an error class."""
    return f"{kind.status_code} `{kind.error}`"


def module_of(path):
    return path.relative_to(ROOT).with_suffix("").as_posix()


def parts_of(module):
    """Return what the page calls a module."""
    found = {
        name
        for name, modules in PARTS.items()
        if any(module == known or module.startswith(f"{known}/") for known in modules)
    }
    assert found, f"no part of the page is {module}; name it in PARTS"
    return found


def strings(value):
    """Return the literal strings that an expression can be; ``None``: it is no literal."""
    if isinstance(value, ast.IfExp):
        return strings(value.body) + strings(value.orelse)
    return [value.value] if isinstance(value, ast.Constant) else None


def calls(text):
    """Yield the class and the expression of its reason for each error that a module makes."""
    for node in ast.walk(ast.parse(text)):
        name, reason = None, None
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", None))
            reason = {keyword.arg: keyword.value for keyword in node.keywords}.get("reason")
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name):
            name = node.exc.id
        kind = CLASSES.get(name if reason is None else KINDS.get(name, name))
        assert kind or reason is None, f"{name} is given a reason; name it in KINDS"
        if kind is not None:
            yield kind, reason


@cache
def raised():
    """Return where each reason is given, by reason and answer; and what is no literal."""
    found, passed = defaultdict(set), set()
    for path in sorted(ROOT.rglob("*.py")):
        module, text = module_of(path), path.read_text("utf-8")
        # The doubles of tests give what tests tell them to.
        if module == "errors" or module.startswith("testing") or not any(map(text.count, CLASSES)):
            continue
        for kind, reason in calls(text):
            reasons = [kind.reason] if reason is None else strings(reason)
            if reasons is None:
                passed.add((module, ast.unparse(reason)))
                reasons = PASSED.get((module, ast.unparse(reason)), ())
            for each in reasons:
                found[each, answer_of(kind)] |= parts_of(module)
    # By what an auth service says of them: no call names these.
    for kind in service_client._SAID_BY_DESCRIPTION:
        found[kind.reason, answer_of(kind)].add("service client")
    for kind in CLASSES.values():
        found.setdefault((kind.reason, answer_of(kind)), {NOBODY})
    for pair in INTERNAL:
        del found[pair]
    return dict(found), passed


@cache
def rows():
    """Return the page's rows: reason, answer, why, what to do, given by."""
    found = []
    for section in re.split(r"^## ", PAGE.text, flags=re.MULTILINE)[1:]:
        heading, _, rest = section.partition("\n")
        for line in re.findall(r"^\| `(?!reason)\w+` \|.*$", rest, re.MULTILINE):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if len(cells) == 4:
                cells.insert(1, heading.partition(":")[0])
            assert 5 == len(cells), line
            found.append((*slugs(cells[0]), *cells[1:]))
    return found


def test_every_reason_of_the_code_is_on_the_page():
    """With the answer that it is given with; one that is new fails here."""
    found, _ = raised()
    assert set(found) - {row[:2] for row in rows()} == set()


def test_no_reason_of_the_page_is_invented():
    """Each is given somewhere, with that answer."""
    found, _ = raised()
    assert {row[:2] for row in rows()} - set(found) == set()


def test_each_stands_once():
    """One row for a reason and an answer, and with every cell filled."""
    pairs = [row[:2] for row in rows()]
    assert sorted(set(pairs)) == sorted(pairs)
    assert all(cell for row in rows() for cell in row)


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[0]}-{row[1][:3]}")
def test_it_is_given_by_the_parts_that_are_named(row):
    """Both ways: none is missing, and none is there for nothing."""
    found, _ = raised()
    assert found[row[:2]] == set(row[4].split(", "))


def test_what_is_passed_on_is_known():
    """A reason that is no literal is followed by hand, in `PASSED`."""
    assert raised()[1] == set(PASSED)


def test_every_part_is_explained():
    """What a row calls a part stands above the tables, and no more does."""
    legend = PAGE.text.partition("| | |\n")[2].partition("\n\n")[0]
    names = {n for line in legend.splitlines()[1:] for n in line.split(" | ")[0][2:].split(", ")}
    assert names == {*PARTS, NOBODY}


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_the_answer_is_what_is_sent(kind):
    """Status and code of the page are those of the HTTP answer."""
    sent = error_response(kind())
    assert f"{sent.status} `{kind.error}`" == answer_of(kind)
    assert f'"error":"{kind.error}"'.encode() in sent.body


def test_every_outcome_of_the_metrics_is_on_the_page():
    """Whoever sees a label finds what it means; `ok` is no refusal."""
    assert OUTCOMES - {"ok"} <= {row[0] for row in rows()}


def test_what_explain_advises_is_on_the_page():
    """The reasons that `--explain` knows more about are reasons."""
    tree = ast.parse(Path(advice.__file__).read_text("utf-8"))
    known = {node.value.value for node in ast.walk(tree) if isinstance(node, ast.MatchValue)}
    assert known
    assert known <= {row[0] for row in rows()}


def test_the_numbers_are_those_of_the_code():
    """Also where they are no arguments."""
    cells = {row[:2]: " ".join(row[2:4]) for row in rows()}
    told = f"nobody is asked for {CLIENT_REFUSED_BACK_OFF:g} seconds"
    assert told in cells["client_refused", UNAVAILABLE]
    assert f"{MAX_DOCUMENT_BYTES >> 20} MiB" in cells["too_large", UNAVAILABLE]
    assert f"more than {MAX_FORM_FIELDS} fields" in cells["malformed_form", "400 `invalid_request`"]
    assert f"1 to {MAX_BYTES:,} bytes" in cells["invalid_password", "400 `invalid_request`"]
    large = cells["payload_too_large", "413 `payload_too_large`"]
    assert f"beyond {MAX_BODY_BYTES >> 10} KiB" in large


def test_the_examples_run(capsys):
    """The first prints what a log should have; the last names outcomes that there are."""
    told = PAGE.run(PAGE.block("def told"), {})["told"]
    expired = errors.TokenExpired("expired 60 s ago")
    verifier = StubVerifier({"good": Principal("alice"), "old": expired})
    assert "alice" == told(verifier.verify, "good")
    told(verifier.verify, "old")
    assert "401 invalid_token expired expired 60 s ago\n" == capsys.readouterr().out
    PAGE.run(PAGE.block("OUTCOMES"), {})


@pytest.mark.parametrize("name", ["refusals.md", "verifiers/jwks.md"])
def test_the_command_of_the_page_names_the_reason(name, tmp_path, monkeypatch, capsys):
    """It is run as it stands, with a token of another audience on its standard input."""
    (line,) = re.findall(r"```console\n\$ (.*)\n```", Page(name).text)
    command, _, source = line.partition(" < ")
    monkeypatch.chdir(tmp_path)
    with FakeAuthorizationServer(audience="orders") as server:
        entry = f'type = "jwks"\nissuer = "{server.issuer}"\naudience = "orders"\n'
        Path("tokenward.toml").write_text(f"[[credentials]]\n{entry}", "utf-8")
        Path(source).write_text(server.token(aud="billing"), "ascii")
        with Path(source).open(encoding="ascii") as given:
            monkeypatch.setattr("sys.stdin", given)
            status = main(shlex.split(command)[1:])
    assert 1 == status
    assert "audience_mismatch" in "".join(capsys.readouterr())


def test_headers_are_as_the_page_says():
    """Challenges and `Retry-After`, by class."""
    for kind in CLASSES.values():
        headers = dict(error_response(kind()).headers)
        challenge = headers.get("WWW-Authenticate", "")
        assert ("Retry-After" in headers) == (kind.status_code in (429, 503))
        if kind.status_code == 401:
            assert challenge.startswith("Basic" if kind is errors.InvalidClient else "Bearer")
        named = InvalidToken | errors.InsufficientScope | errors.InvalidAuthorizationHeader
        assert (f'error="{kind.error}"' in challenge) == isinstance(kind(), named)
    assert AuthServiceUnavailable.reason in {row[0] for row in rows()}
