"""errors.py: the tree is the contract, and an error is a value that can be copied."""

import copy
import inspect
import pickle
import re
from pathlib import Path

import pytest

from tokenward import errors
from tokenward.errors import (
    AuthError,
    AuthServiceUnavailable,
    ConfigurationError,
    InsufficientScope,
    InvalidClaim,
    InvalidRequest,
    InvalidToken,
    TooManyAttempts,
)

# Written out as in the public contract: class, parent, status, code.
TREE = [
    ("AuthError", "Exception", 401, "unauthorized"),
    ("NotAuthenticated", "AuthError", 401, "not_authenticated"),
    ("InvalidCredentials", "AuthError", 401, "invalid_credentials"),
    ("InvalidRequest", "AuthError", 400, "invalid_request"),
    ("InvalidAuthorizationHeader", "InvalidRequest", 400, "invalid_request"),
    ("PayloadTooLarge", "AuthError", 413, "payload_too_large"),
    ("UnsupportedMediaType", "AuthError", 415, "unsupported_media_type"),
    ("Forbidden", "AuthError", 403, "forbidden"),
    ("RegistrationClosed", "Forbidden", 403, "registration_closed"),
    ("CrossSiteRequest", "Forbidden", 403, "cross_site_request"),
    ("InvalidToken", "AuthError", 401, "invalid_token"),
    ("TokenExpired", "InvalidToken", 401, "invalid_token"),
    ("TokenRevoked", "InvalidToken", 401, "invalid_token"),
    ("InvalidSignature", "InvalidToken", 401, "invalid_token"),
    ("UserNotFound", "InvalidToken", 401, "invalid_token"),
    ("InvalidClaim", "InvalidToken", 401, "invalid_token"),
    ("InsufficientScope", "AuthError", 403, "insufficient_scope"),
    ("UserAlreadyExists", "AuthError", 409, "user_already_exists"),
    ("TooManyAttempts", "AuthError", 429, "too_many_attempts"),
    ("OAuthError", "AuthError", 400, "invalid_request"),
    ("InvalidClient", "OAuthError", 401, "invalid_client"),
    ("InvalidGrant", "OAuthError", 400, "invalid_grant"),
    ("InvalidScope", "OAuthError", 400, "invalid_scope"),
    ("InvalidTarget", "OAuthError", 400, "invalid_target"),
    ("UnsupportedGrantType", "OAuthError", 400, "unsupported_grant_type"),
    ("UnauthorizedClient", "OAuthError", 400, "unauthorized_client"),
    ("AuthServiceUnavailable", "AuthError", 503, "temporarily_unavailable"),
]
CLASSES = [getattr(errors, name) for name, *_ in TREE]

REMADE = {
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),  # noqa: S301 - our own bytes
    "oldest pickle": lambda error: pickle.loads(pickle.dumps(error, 0)),  # noqa: S301 - the same
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


class _OfYours(InvalidClaim):
    """A refusal that an application might derive for its `check=`."""

    def __init__(self, tenant, *, plan):
        super().__init__("tenant", "an active one", tenant, "the tenant is suspended")
        self.plan = plan


def raised():
    """Return one instance of each class, its evidence filled in."""
    special = {
        InvalidRequest: InvalidRequest({"email": "is required"}, "h", reason="r"),
        errors.InvalidAuthorizationHeader: errors.InvalidAuthorizationHeader({"a": "b"}, "h"),
        InvalidClaim: InvalidClaim("aud", ("a",), "b", "h", reason="audience_mismatch"),
        InsufficientScope: InsufficientScope(["b", "a"], "h", reason="r"),
        TooManyAttempts: TooManyAttempts(7, "h"),
        errors.OAuthError: errors.OAuthError("h", reason="r", description="Say grant_type."),
        AuthServiceUnavailable: AuthServiceUnavailable("h", reason="deadline", retry_after=9),
    }
    made = [special.get(c) or c("what to do", reason="some_reason") for c in CLASSES]
    return [*made, ConfigurationError("say audience"), _OfYours("acme", plan="gold")]


def test_tree_is_the_contract():
    """Every class has the parent, the status and the code that the contract gives it."""
    actual = [(c.__name__, c.__base__.__name__, c.status_code, c.error) for c in CLASSES]

    assert TREE == actual


def test_tree_is_whole():
    """There is no error class beside those of the contract."""
    defined = {
        n for n, c in vars(errors).items() if inspect.isclass(c) and c.__module__ == errors.__name__
    }

    assert {"ConfigurationError", *(name for name, *_ in TREE)} == defined


def test_tree_is_drawn_as_it_is():
    """The drawing at the top of the module has each class with its status and code."""
    drawn = re.findall(r"^ *[│├└─ ]*(\w+) +(\d{3}) +(\w+)", errors.__doc__, re.MULTILINE)
    names = re.findall(r"[├└]─ (\w+)", errors.__doc__)

    assert [name for name, *_ in TREE[1:]] == names
    for name, status, code in drawn:
        cls = getattr(errors, name)
        assert (int(status), code) == (cls.status_code, cls.error)


def test_oauth_error_may_say_which_field_is_meant():
    """In a fixed text of ours, which takes the place of the class's for that one error."""
    error = errors.OAuthError("hint", reason="r", description="The form field token is required.")

    assert "The form field token is required." == error.description
    assert "The request is malformed." == errors.OAuthError().description


def test_configuration_error_is_no_refusal():
    """What stops a start-up can never be turned into a response."""
    assert issubclass(ConfigurationError, ValueError)
    assert not issubclass(ConfigurationError, AuthError)


@pytest.mark.parametrize("cls", CLASSES)
def test_no_argument_changes_what_is_sent(cls):
    """Hint and reason come from outside; code, description and status do not move."""
    error = cls(hint="hint\r\nSet-Cookie: x", **({} if cls is TooManyAttempts else {"reason": "r"}))

    assert (cls.status_code, cls.error, cls.description) == (
        error.status_code,
        error.error,
        error.description,
    )
    assert "Set-Cookie" not in str(error) + repr(error) + error.description


@pytest.mark.parametrize("cls", CLASSES)
def test_descriptions_can_stand_in_a_quoted_string(cls):
    """A description is one printable ASCII sentence without quotes (RFC 6750, section 3)."""
    assert re.fullmatch(r"[A-Z][\x20-\x21\x23-\x5b\x5d-\x7e]+\.", cls.description)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_has_a_reason_of_its_own_kind(cls):
    """A reason is a stable slug."""
    assert re.fullmatch(r"[a-z0-9_]+", cls.reason)


@pytest.mark.parametrize("how", REMADE)
@pytest.mark.parametrize("error", raised(), ids=lambda e: type(e).__name__)
def test_copies_carry_everything(how, error):
    """A copy, or one that went through a pickle, is the same error with the same evidence."""
    remade = REMADE[how](error)

    assert type(error) is type(remade)
    assert vars(error) == vars(remade)
    assert (error.args, str(error)) == (remade.args, str(remade))


def test_copy_leaves_the_traceback_behind():
    """The frames of the original hold the token; a copy that is cached must not."""
    with pytest.raises(InvalidToken) as caught:
        raise InvalidToken("inactive")

    assert caught.value.__traceback__ is not None
    assert copy.copy(caught.value).__traceback__ is None


def test_copies_are_told_apart():
    """Changing a copy changes no other: each request gets one of its own."""
    first = InvalidToken("hint")
    second = copy.copy(first)
    second.hint = "another"

    assert "hint" == first.hint


def test_str_names_the_reason():
    """A line in a log says what happened without the hint."""
    assert "The access token has expired. [expired]" == str(errors.TokenExpired("secret hint"))


def test_invalid_claim_keeps_its_evidence_in_attributes_only():
    """What was expected and what came is for programs, never for text."""
    error = InvalidClaim("aud", "orders", "LEAK", "hint", reason="audience_mismatch")

    assert ("aud", "orders", "LEAK") == (error.claim, error.expected, error.actual)
    assert "LEAK" not in f"{error!r} {error} {error.description} {error.hint}"


def test_evidence_is_detached_from_the_argument():
    """What is done to the arguments afterwards does not reach the error."""
    fields, required = {"a": "b"}, ["orders:read"]
    bad, narrow = InvalidRequest(fields), InsufficientScope(required)
    fields.clear()
    required.clear()

    assert ({"a": "b"}, ("orders:read",)) == (bad.fields, narrow.required)


def test_no_other_module_defines_an_auth_error():
    """Every error that can reach a response is in the tree at the top of errors.py."""
    source = Path(errors.__file__).parent
    parents = "|".join(name for name, *_ in TREE)
    found = [
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        # A command may have one for its own use; what it raises reaches no adapter.
        if path.parts[len(source.parts)] != "commands"
        and re.search(rf"^class \w+\(({parents})\)", path.read_text("utf-8"), re.MULTILINE)
    ]

    assert ["errors.py"] == found


def test_a_claim_that_says_nothing_is_explained_all_the_same():
    """With what it is and what is expected; what came is told nobody."""
    error = InvalidClaim("tenant", "acme", "LEAK", reason="wrong_tenant")
    assert "the claim 'tenant' is not what is expected: 'acme'" == error.hint
    assert "the claim 'tenant' is not what is expected" == InvalidClaim("tenant").hint
    assert "" == InvalidClaim().hint
    assert "said" == InvalidClaim("tenant", "acme", "LEAK", "said").hint
    assert len(InvalidClaim("tenant", ["x" * 100] * 100).hint) < 300
    assert error.hint == copy.copy(error).hint
