"""Entries of type `custom`: a verifier of the application's own."""

import sys
import warnings

import pytest
from configurations import custom, jwks, parsed, refused

from tokenward.by_issuer import Unreserved
from tokenward.config import build_authenticator, build_verifier
from tokenward.errors import ConfigurationError, InvalidToken
from tokenward.principal import Principal
from tokenward.protocols import serves_live

THEIRS = "https://partner.example"
LEAK = "the-secret-of-a-module"

MODULE = f"""
import functools
from tokenward.errors import ConfigurationError, InvalidToken
from tokenward.principal import Principal

class Verifier:
    serves_live = False
    def __init__(self, *, issuer="{THEIRS}", subject="ada", limits=()):
        self.names, self.subject, self.limits = issuer, subject, limits
    def verify(self, token, /, *, live=False):
        if token != "good":
            raise InvalidToken("no", reason="unknown_token")
        return Principal(self.subject, issuer=self.names)

def make(**options):
    return Verifier(**options)

def changes_them(*, limits):
    limits["a"].append(1)
    return Verifier(limits=limits)

def needs(*, url, key):
    return Verifier()

def returns_nothing():
    pass

def returns_a_class():
    return Verifier

def returns_a_string():
    return "{LEAK}"

def returns_a_coroutine():
    return make_later()

async def make_later():
    return Verifier()

def fails():
    raise RuntimeError("{LEAK}")

def refuses():
    raise ConfigurationError("write the url of the partner")

class Odd:
    async def later(self, token, /, *, live=False): ...
    def not_live(self, token, key="{LEAK}"): ...
    def without(self): ...
    def anything(self, *args, **kwargs):
        return Principal("any", issuer="{THEIRS}")
    def partial_of(self, extra, token, /, *, live=False):
        return Principal(extra, issuer="{THEIRS}")

class Other:
    def __init__(self, verify):
        self.verify = verify

def async_verify():
    return Other(Odd().later)
def not_live():
    return Other(Odd().not_live)
def takes_nothing():
    return Other(Odd().without)
def takes_anything():
    return Other(Odd().anything)
def partly():
    return Other(functools.partial(Odd().partial_of, "part"))
def not_callable():
    return Other(5)

class Within:
    make = staticmethod(make)
number = 5
"""


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    """Make modules of the application's, and forget them afterwards."""
    (tmp_path / "partner_shop.py").write_text(MODULE)
    (tmp_path / "broken_partner.py").write_text(f"raise RuntimeError('{LEAK}')")
    (tmp_path / "missing_partner.py").write_text("import no_such_module_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("partner_shop", "broken_partner", "missing_partner"):
        sys.modules.pop(name, None)


def build(read, **changes):
    return build_verifier(read(custom(**changes)).credentials[0])


def told(**changes):
    """Return what is said when the parts are made, which is not what the module said."""
    settings = parsed(custom(**changes))
    with pytest.raises(ConfigurationError) as caught:
        build_authenticator(settings)
    assert (None, None) == (caught.value.__cause__, caught.value.__context__)
    assert LEAK not in str(caught.value)
    return str(caught.value)


# --- what is made


@pytest.mark.parametrize("name", ["make", "Verifier", "Within.make"])
def test_a_function_or_a_class_makes_the_verifier(read, name):
    """Whatever is called and returns one."""
    verifier = build(read, factory=f"partner_shop:{name}")
    assert "ada" == verifier.verify("good").subject
    with pytest.raises(InvalidToken):
        verifier.verify("bad")


def test_options_are_passed_as_keywords(read):
    """As they are written."""
    options = {"subject": "bob", "issuer": "https://b.example", "limits": [1, {"a": "b"}]}
    verifier = build(read, options=options)
    assert ("bob", "https://b.example") == (verifier.subject, verifier.names)
    assert [1, {"a": "b"}] == verifier.limits


def test_what_a_factory_does_with_its_options_changes_no_settings():
    """Nor what the application does with its mapping."""
    written = {"limits": {"a": []}}
    entry = parsed(custom(factory="partner_shop:changes_them", options=written)).credentials[0]
    written["limits"]["b"] = []
    made = [build_verifier(entry) for _ in range(2)]
    assert [{"a": [1]}, {"a": [1]}] == [verifier.limits for verifier in made]
    assert {"limits": {"a": []}} == entry.options


@pytest.mark.parametrize(("name", "subject"), [("takes_anything", "any"), ("partly", "part")])
def test_verify_is_judged_by_what_it_takes(read, name, subject):
    """However it is written."""
    verifier = build(read, factory=f"partner_shop:{name}")
    assert subject == verifier.verify("x", live=True).subject


def test_it_says_itself_whether_it_can_ask():
    """Whoever looks for `live` views asks it."""
    (credential,) = build_authenticator(parsed(custom())).credentials
    assert serves_live(credential.verifier) is False


def test_nothing_is_imported_before_the_parts_are_made():
    """Settings can be read where the application is not."""
    assert parsed(custom(factory="no.such.module:make")).credentials


# --- what cannot be meant


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factory": ...}, "credentials[0].factory: is missing"),
        ({"factory": "partner_shop.make"}, "credentials[0].factory: 'partner_shop.make' is not"),
        ({"factory": "partner_shop:"}, "credentials[0].factory: 'partner_shop:' is not MODULE:"),
        ({"factory": "a b:c"}, "credentials[0].factory: "),
        ({"factory": 5}, "credentials[0].factory: "),
        ({"options": [1]}, "credentials[0].options: "),
        ({"options": {5: 1}}, "credentials[0].options"),
        ({"option": {}}, "'option' is not a setting; did you mean 'options'?"),
        ({"issuer": ""}, "credentials[0].issuer: "),
        ({"audience": "x"}, "'audience' is not a setting; known here: ambient, factory, issuer"),
    ],
    ids=str,
)
def test_values_that_cannot_be_meant(changes, message):
    """The path of the setting, and what to write."""
    assert message in refused({"credentials": [custom(**changes)]})


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("no_such_module_at_all:make", "cannot be imported (ModuleNotFoundError: No module named"),
        ("missing_partner:make", "cannot be imported (ModuleNotFoundError: No module named"),
        ("broken_partner:make", "cannot be imported (RuntimeError)"),
        ("partner_shop:none", "cannot be imported (AttributeError)"),
        ("partner_shop:number", "is of type int; write MODULE:NAME of a function or class"),
        ("partner_shop:make_later", "is async; write MODULE:NAME of a function or class"),
        ("partner_shop:fails", "failed with RuntimeError; what it said is not shown"),
        ("partner_shop:refuses", "'partner_shop:refuses': write the url of the partner"),
        ("partner_shop:returns_nothing", "returned nothing; return an object with verify(token, *"),
        ("partner_shop:returns_a_class", "returned a class and no instance of it"),
        (
            "partner_shop:returns_a_string",
            "returned something of type str; return an object",
        ),
        (
            "partner_shop:returns_a_coroutine",
            "returned something of type coroutine; return",
        ),
        ("partner_shop:not_callable", "returned something of type Other; return an object"),
        ("partner_shop:async_verify", "the verify of 'partner_shop:async_verify' is async"),
        ("partner_shop:not_live", "takes (token, key); write verify(token, *, live=False)"),
        ("partner_shop:takes_nothing", "takes (); write verify(token, *, live=False)"),
    ],
)
def test_what_makes_no_verifier_stops_the_start(factory, message):
    """It says where, what came, and what to write; not what the module said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = told(factory=factory)
    assert said.startswith("credentials[0]: factory: ")
    assert message in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "x"}, "argument: 'key'"),
        ({"url": "x", "key": LEAK, "kye": LEAK}, "got an unexpected keyword argument 'kye'"),
    ],
    ids=["missing", "surplus"],
)
def test_options_that_the_factory_does_not_take(options, message):
    """By their names, without what they hold."""
    said = told(factory="partner_shop:needs", options=options)
    assert said.startswith("credentials[0]: options: 'partner_shop:needs' cannot be called")
    assert message in said


def test_options_are_in_no_repr():
    """They may hold secrets."""
    settings = parsed(custom(factory="partner_shop:make", options={"subject": LEAK}))
    assert LEAK not in f"{settings!r} {settings.credentials[0]!r} {build_authenticator(settings)!r}"


# --- whose tokens


def test_the_issuer_is_known_to_the_settings(read):
    """None where it is not written."""
    assert [(THEIRS,), (None,)] == [read(custom(issuer=i)).issuers for i in (THEIRS, None)]
    assert (None,) == read(custom()).issuers


@pytest.mark.parametrize("issuer", [None, THEIRS])
def test_it_cannot_name_an_issuer_that_is_configured_elsewhere(issuer):
    """Else a partner's people would be ours."""
    options = {"issuer": "https://login.example"}
    partner = custom(source="header:X-Partner", issuer=issuer, options=options)
    made = build_authenticator(parsed(jwks(), partner)).credentials[1]
    assert Unreserved is type(made.verifier)
    with pytest.raises(InvalidToken) as caught:
        made.verifier.verify("good")
    assert "unknown_issuer" == caught.value.reason


def test_it_may_name_its_own():
    """What is written as its issuer, and what nobody else has."""
    partner = custom(source="header:X-Partner", issuer=THEIRS)
    made = build_authenticator(parsed(jwks(), partner)).credentials[1]
    assert Principal("ada", issuer=THEIRS) == made.verifier.verify("good")
