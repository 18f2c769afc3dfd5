"""schemas.py: strict about what others send, silent about passwords (RULES 35, 36, 44)."""

import copy
import json
import logging
import pickle
import traceback
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from tokenward import schemas
from tokenward.errors import InvalidRequest
from tokenward.schemas import (
    MAX_PASSWORD_BYTES,
    MAX_USERNAME_CHARACTERS,
    ActiveStateMixin,
    IdentityMixin,
    IntrospectRequest,
    IntrospectResponse,
    LoginRequest,
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
    PasswordMixin,
    PublicUser,
    RegisterRequest,
    TokenPayload,
    User,
    canonical_key,
    read_members,
)

NOW = datetime(2024, 5, 6, tzinfo=UTC)
LEAK = "hunter2-LEAK"
RECEIVED = {
    RegisterRequest: {"username": "ada", "email": "ada@example.org", "password": LEAK},
    LoginRequest: {"username": "ada", "password": LEAK},
    LogoutRequest: {"refresh_token": LEAK},
    IntrospectRequest: {"token": LEAK},
}
FROM_OUTSIDE = [
    {"$ne": None},
    {"$gt": ""},
    ["ada"],
    None,
    1,
    1.5,
    True,
    b"ada",
]


def user(**members):
    """Return a user row with a hash."""
    known = {"id": "u1", "username": "ada", "hashed_password": LEAK}
    return User(**known | {"created_at": NOW, "updated_at": NOW} | members)


def fields_of(model, members):
    """Return what a caller is told about `members`."""
    with pytest.raises(InvalidRequest) as caught:
        read_members(model, members)
    return caught.value.fields


# --- usernames and addresses (RULES 35)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada", "ada"),
        (" ada\t", "ada"),
        ("\uff21da", "ada"),  # full-width
        ("stra\u00dfe", "STRASSE"),
        ("\u212bngstr\u00f6m", "\u00e5ngstro\u0308m"),  # Angstrom sign, decomposed umlaut
        ("\ufb01n", "FIN"),  # ligature
        ("\u03a3", "\u03c2"),  # final sigma
        ("\u00b2", "2"),
    ],
)
def test_names_a_reader_takes_for_the_same_have_one_key(one, other):
    """Case, width, composition and outer white space make no second account."""
    assert canonical_key(one) == canonical_key(other)


@pytest.mark.parametrize(("one", "other"), [("ada", "eda"), ("a.da", "ada"), ("a", "\u0430")])
def test_other_names_have_other_keys(one, other):
    """A dot counts, and so does an alphabet: the key is about encodings, not about looks."""
    assert canonical_key(one) != canonical_key(other)


@given(st.text(min_size=1, max_size=60))
def test_the_key_of_a_key_is_itself(name):
    """What a store has kept as a key is found by it."""
    try:
        key = canonical_key(name)
    except ValueError:
        return
    assert key == canonical_key(key)
    assert key == canonical_key(f" {name}\n")


@given(st.text(min_size=1, max_size=60))
@example("\u0390")  # casefold takes it apart
@example("\u1e9e\ufb01")
def test_a_key_is_clean(name):
    """No key holds white space, or a character that shows nothing or means nothing."""
    try:
        key = canonical_key(name)
    except ValueError:
        return
    assert key
    assert unicodedata.is_normalized("NFKC", key)
    assert not any(c.isspace() for c in key)
    assert not {unicodedata.category(c) for c in key} & {"Cc", "Cf", "Cs", "Co", "Cn"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "a b",
        "a\u00a0b",
        "a\u3000b",
        "a\tb",
        "a\x00b",
        "a\x7fb",
        "a\u200bb",  # zero width space
        "a\u202eb",  # right-to-left override
        "a\u00adb",  # soft hyphen
        "a\ufeffb",
        "a\u2028b",
        "a\ud800b",
        "a\ue000b",
        "a\u0378b",  # unassigned
        "\u00b4a",  # NFKC makes a space of it
    ],
)
@pytest.mark.parametrize("where", ["key", "register"])
def test_refused_characters(name, where):
    """Control, format, surrogate, unassigned and inner white space: refused."""
    if where == "key":
        with pytest.raises(ValueError, match="must not"):
            canonical_key(name)
    else:
        members = RECEIVED[RegisterRequest] | {"username": name}
        assert {"username"} == fields_of(RegisterRequest, members).keys()


def test_length_of_a_username():
    """1 to 150 characters, the white space around them not counted."""
    members = RECEIVED[RegisterRequest]
    longest = "a" * MAX_USERNAME_CHARACTERS

    assert 150 == MAX_USERNAME_CHARACTERS
    made = read_members(RegisterRequest, members | {"username": f"  {longest} "})
    assert longest == made.username
    told = fields_of(RegisterRequest, members | {"username": longest + "a"})
    assert {"username": "must have at most 150 characters"} == told


def test_a_name_that_grows_is_refused():
    """Normalization must not make a short name a long key."""
    with pytest.raises(ValueError, match="too long"):
        canonical_key("\ufdf2" * 100)  # one character that NFKC makes four of


@pytest.mark.parametrize(
    "address",
    [
        "ada",
        "ada@",
        "@example.org",
        "ada@example",
        "Ada <ada@example.org>",
        "<ada@example.org>",
        " ada@example.org",
        "ada@example.org\n",
        "ada@example.org,eve@example.org",
        '"a b"@example.org',
        "ada(comment)@example.org",
        "ada@example.org\r\nBcc: eve@example.org",
        "a\x00da@example.org",
        f"{'a' * 300}@example.org",
    ],
)
def test_only_a_bare_address(address):
    """An addr-spec and nothing else: what is kept is what mail is sent to."""
    members = RECEIVED[RegisterRequest] | {"email": address}
    told = fields_of(RegisterRequest, members)

    assert told["email"] in {"must be a bare e-mail address", "must be a valid e-mail address"}


# --- what others send (RULES 36)


@pytest.mark.parametrize("model", RECEIVED)
def test_requests_are_read(model):
    """The members of a request, and no others, arrive as they were sent."""
    made = read_members(model, RECEIVED[model])

    assert RECEIVED[model] == {name: getattr(made, name) for name in RECEIVED[model]}


@pytest.mark.parametrize("value", FROM_OUTSIDE, ids=repr)
@pytest.mark.parametrize(
    ("model", "name"), [(m, n) for m, members in RECEIVED.items() for n in members]
)
def test_operators_and_other_types_are_refused(model, name, value):
    """``{"$ne": null}`` is a 400 and reaches no query; nothing is turned into a string."""
    if value is None and model is LogoutRequest:
        assert read_members(model, {name: value}).refresh_token is None
        return
    told = fields_of(model, RECEIVED[model] | {name: value})

    assert {name} == told.keys()


@pytest.mark.parametrize(
    ("model", "name"),
    [(m, n) for m in (RegisterRequest, LoginRequest) for n in RECEIVED[m]],
)
def test_half_characters_are_refused(model, name):
    """What no store can keep and no hash can take is a 400, not a crash further down."""
    assert {name} == fields_of(model, RECEIVED[model] | {name: "abcdef\ud800"}).keys()


@pytest.mark.parametrize("model", RECEIVED)
def test_unknown_members_are_refused_without_their_name(model):
    """What a request may not say is refused; the answer does not repeat it."""
    told = fields_of(model, RECEIVED[model] | {"is_admin<script>": True, "roles": ["admin"]})

    assert {"_": "unknown members are refused"} == told


@pytest.mark.parametrize(
    ("model", "required"),
    [
        (RegisterRequest, {"username", "email", "password"}),
        (LoginRequest, {"username", "password"}),
        (IntrospectRequest, {"token"}),
    ],
)
def test_missing_members(model, required):
    """Every member that is missing is named."""
    assert dict.fromkeys(required, "is required") == fields_of(model, {})


@pytest.mark.parametrize("body", [None, [], "x", 1])
def test_what_is_no_object(body):
    """A body that is no object is a 400 like any other."""
    assert {"_"} == fields_of(LoginRequest, body).keys()


@pytest.mark.parametrize("model", RECEIVED)
def test_requests_are_frozen(model):
    """Nobody changes a request on its way through the service."""
    made = read_members(model, RECEIVED[model])

    with pytest.raises(ValidationError):
        setattr(made, next(iter(RECEIVED[model])), "other")


@pytest.mark.parametrize(
    ("model", "password", "accepted"),
    [
        (RegisterRequest, "12345", False),
        (RegisterRequest, "123456", True),
        (RegisterRequest, "\U0001f511" * 5, False),
        (RegisterRequest, "\U0001f511" * 6, True),
        (RegisterRequest, "\U0001f511" * 256, True),
        (RegisterRequest, "\U0001f511" * 256 + "a", False),
        (RegisterRequest, "a" * MAX_PASSWORD_BYTES, True),
        (RegisterRequest, "a" * (MAX_PASSWORD_BYTES + 1), False),
        (RegisterRequest, "nul\x00inside", True),
        (LoginRequest, "", False),
        (LoginRequest, "a", True),
        (LoginRequest, "é" * 512, True),
        (LoginRequest, "é" * 512 + "a", False),
    ],
)
def test_password_sizes(model, password, accepted):
    """6 characters to register, 1 byte to log in, 1,024 UTF-8 bytes for both."""
    members = RECEIVED[model] | {"password": password}

    if accepted:
        assert password == read_members(model, members).password
    else:
        assert {"password"} == fields_of(model, members).keys()


def test_login_takes_any_name_that_may_be_looked_up():
    """Login does not apply the registration policy to names; it bounds their length."""
    made = read_members(LoginRequest, {"username": "no such\tname", "password": "x"})

    assert "no such\tname" == made.username
    told = fields_of(LoginRequest, {"username": "a" * 301, "password": "x"})
    assert {"username": "is too long"} == told


# --- silence (RULES 44)


@pytest.mark.parametrize("model", RECEIVED)
def test_secrets_are_in_no_repr_and_no_message(model):
    """Neither the request nor any complaint about it shows a secret."""
    made = read_members(model, RECEIVED[model])
    with pytest.raises(InvalidRequest) as caught:
        read_members(model, RECEIVED[model] | {"x": LEAK})
    shown = "".join(traceback.format_exception(caught.value))

    assert LEAK not in f"{made!r} {made} {caught.value!r} {caught.value.fields} {shown}"
    seen = caught.value
    while seen := seen.__cause__ or seen.__context__:
        assert LEAK not in f"{seen!r} {vars(seen)}"


@pytest.mark.parametrize(
    "wrong",
    [{"password": LEAK * 100}, {"password": [LEAK]}, {"email": LEAK}, {"username": LEAK * 20}],
)
def test_no_input_is_repeated(wrong):
    """Validation errors leave without what was sent."""
    told = fields_of(RegisterRequest, RECEIVED[RegisterRequest] | wrong)

    assert LEAK not in json.dumps(told)


def test_pydantic_errors_hide_their_input_too():
    """Even the library's own message, were it logged, has no input in its text."""
    with pytest.raises(ValidationError) as caught:
        LoginRequest.model_validate({"username": "ada", "password": LEAK * 100})

    assert LEAK not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("model", [RegisterRequest, LoginRequest])
def test_passwords_are_in_no_dump(model):
    """A password is used, never written down."""
    made = read_members(model, RECEIVED[model])

    assert "password" not in made.model_dump()
    assert LEAK not in made.model_dump_json()
    assert LEAK not in json.dumps(made.model_dump(mode="json"))


def test_hashes_are_in_no_repr_and_no_dump():
    """A user row is logged and dumped without its hash."""
    row = user()

    assert LEAK == row.hashed_password
    assert LEAK not in f"{row!r} {row} {row.model_dump()} {row.model_dump_json()}"
    assert LEAK not in repr(row.model_copy(update={"username": "eve"}))


@pytest.mark.parametrize(
    "holder",
    [
        user(),
        RegisterRequest(**RECEIVED[RegisterRequest]),
        LoginRequest(**RECEIVED[LoginRequest]),
        PasswordMixin(password=LEAK),
    ],
    ids=lambda h: type(h).__name__,
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_passwords_and_hashes_are_in_no_pickle(holder, protocol):
    """A cache or a task queue gets no password, and says so at once."""
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(holder, protocol)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, User.model_copy])
def test_rows_can_be_copied(copied):
    """Within the process a row is an ordinary value."""
    assert user() == copied(user())


def test_tokens_are_in_no_repr():
    """A login response in a log line shows no token."""
    response = LoginResponse(access_token=LEAK, refresh_token=LEAK, expires_in=900)

    assert LEAK not in f"{response!r} {response}"
    assert LEAK == response.model_dump()["access_token"]


def test_logging_a_request_shows_nothing(caplog):
    """What logging makes of a request, it makes of its repr."""
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").debug("%s %r", *[LoginRequest(**RECEIVED[LoginRequest])] * 2)

    assert LEAK not in caplog.text


# --- users


@pytest.mark.parametrize(
    "made",
    [
        lambda u: u.public(),
        lambda u: PublicUser.model_validate(u, from_attributes=True),
        PublicUser.model_validate,
        lambda u: LoginResponse(access_token="a", expires_in=1, user=u).user,
        lambda u: IntrospectResponse(active=True, user=u).user,
    ],
    ids=["public", "from_attributes", "validate", "login", "introspection"],
)
def test_a_public_user_is_a_real_one(made):
    """What leaves the service is a PublicUser, not a row that merely is one as well."""
    row = user(email="ada@example.org", email_verified=True, roles=("r",), is_active=False)
    public = made(row)

    assert PublicUser is type(public)
    assert not hasattr(public, "hashed_password")
    expected = PublicUser(
        id="u1",
        username="ada",
        email="ada@example.org",
        email_verified=True,
        roles=("r",),
        is_active=False,
    )
    assert expected == public


def test_public_users_come_from_objects_of_others():
    """Any object with the attributes will do, an ORM row say."""

    class Row:
        id, username, email, is_active, roles = "7", "ada", None, True, ["a", "b"]

    made = PublicUser.model_validate(Row(), from_attributes=True)

    assert PublicUser(id="7", username="ada", roles=("a", "b")) == made


def test_public_user_crosses_processes():
    """It is part of a principal, and that is pickled."""
    public = user().public()

    assert public == pickle.loads(pickle.dumps(public))  # noqa: S301 - our own bytes


def test_defaults_of_a_public_user():
    """A user of whom nothing but a name is known."""
    expected = {
        "id": "",
        "username": "ada",
        "email": None,
        "is_active": True,
        "email_verified": False,
        "roles": [],
    }

    assert expected == json.loads(PublicUser(username="ada").model_dump_json())


@pytest.mark.parametrize("model", [PublicUser, LoginResponse, LogoutResponse, TokenPayload, User])
def test_what_is_read_may_grow(model):
    """An issuer or a store of a later version may say more; it is ignored."""
    known = {
        "username": "ada",
        "created_at": NOW,
        "updated_at": NOW,
        "access_token": "a",
        "expires_in": 1,
        "sub": "u1",
        "exp": 2,
        "iat": 1,
        "jti": "j",
    }
    made = model.model_validate(known | {"from_the_future": 1})

    assert not hasattr(made, "from_the_future")
    with pytest.raises(ValidationError):
        made.model_config_name = 1


# --- responses


def test_login_response_is_rfc_6749():
    """The members and the token type are those of RFC 6749, section 5.1."""
    response = LoginResponse(access_token="a", expires_in=900)

    assert {
        "access_token": "a",
        "token_type": "Bearer",
        "expires_in": 900,
        "refresh_token": None,
        "scope": None,
        "user": None,
    } == response.model_dump()


def test_inactive_says_nothing_else():
    """An inactive token is ``{"active": false}`` (RFC 7662, section 2.2)."""
    assert '{"active":false}' == IntrospectResponse(active=False).model_dump_json()


def test_an_introspection_answer_has_only_what_is_known():
    """Members without a value are absent, not null."""
    answer = IntrospectResponse(active=True, sub="u1", exp=2, aud=["a"], user=user())
    said = json.loads(answer.model_dump_json())

    assert {"active", "sub", "exp", "aud", "user"} == said.keys()
    assert LEAK not in json.dumps(said)


def test_token_payload_has_the_contract_members():
    """The members are those of the public contract, times whole seconds."""
    expected = [
        "sub",
        "exp",
        "iat",
        "iss",
        "aud",
        "jti",
        "client_id",
        "scope",
        "roles",
        "sid",
        "ver",
    ]

    assert sorted(expected) == sorted(TokenPayload.model_fields)
    with pytest.raises(ValidationError):
        TokenPayload(sub="u", exp=1.5, iat=1, jti="j")


@pytest.mark.parametrize(
    ("mixin", "members"),
    [
        (IdentityMixin, {"username": "ada", "email": "ada@example.org"}),
        (PasswordMixin, {"password": LEAK}),
        (ActiveStateMixin, {"is_active": False}),
    ],
)
def test_mixins_serve_models_of_yours(mixin, members):
    """A model of an application gets the same checks and the same silence."""

    class Profile(mixin, BaseModel):
        nickname: str = ""

    made = Profile(nickname="a", **members)

    assert members == {name: getattr(made, name) for name in members}
    assert LEAK not in f"{made!r} {made.model_dump()}"


@given(st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.none(), max_size=4))
def test_reading_raises_one_error(members):
    """Whatever comes, the way in raises InvalidRequest and nothing else."""
    for model in RECEIVED:
        try:
            made = read_members(model, members)
        except InvalidRequest as error:
            told = error.fields
        else:
            assume(made is not None)
            continue
        assert told
        assert told.keys() <= {*model.model_fields, "_"}


def test_every_model_hides_its_input():
    """A model that is added later must not show inputs in its errors either."""
    models = [m for m in vars(schemas).values() if isinstance(m, type) and issubclass(m, BaseModel)]
    bare = {"IdentityMixin", "PasswordMixin", "ActiveStateMixin"}
    showing = {m.__name__ for m in models if not m.model_config.get("hide_input_in_errors")}

    assert len(models) > 10
    assert bare == showing
