"""Names that only look different, and passwords that only look the same."""

import unicodedata

import pytest
from service_callers import PASSWORD

ALIKE = [
    ("muller", "MULLER"),
    ("muller", "\uff4d\uff55\uff4c\uff4c\uff45\uff52"),
    ("strasse", "straße"),
    ("fish", "\ufb01sh"),
    ("kelvin", "\u212aelvin"),
    ("émile", unicodedata.normalize("NFD", "Émile")),
    ("\u03c3\u03b9\u03c2", "\u03a3\u0399\u03a3"),
    ("trim", " trim\u00a0"),
    ("one1", "one\u2460"),
]
REFUSED = [
    "a\u202eb",
    "a\u200bb",
    "a\u0000b",
    "a b",
    "a\tb",
    "a\u00a0b",
    "\u3000",
    "",
    "a" * 151,
    "a\ue000",
    "\ufdfa" * 10,
]


def register(attacker, username, email, password=PASSWORD):
    return attacker.post("/register", {"username": username, "email": email, "password": password})


def emptied(attacker, name):
    """Throw the letter of welcome away."""
    attacker.letter(name, "verify_email")


@pytest.mark.parametrize(("first", "second"), ALIKE)
def test_name_that_reads_the_same_is_taken(attacker, first, second, request):
    """RULES 35: case-folded and compatibility-equal; both log the same person in."""
    at = f"{ALIKE.index((first, second))}"
    prefix = f"x{at}"
    made = register(attacker, prefix + first, f"alike{at}@example.com")
    assert made.status == 201
    emptied(attacker, made.json["username"])
    answer = register(attacker, f" {prefix.upper()}{second.strip()} ", f"other{at}@example.com")
    assert answer.error == (409, "user_already_exists")
    login = attacker.login(prefix + second.strip())
    assert login["user"] == made.json


@pytest.mark.parametrize(
    "email",
    ["Person@Example.COM", "\uff50erson@example.com", "person@EXAMPLE.com", "PERSON@example.com"],
)
def test_address_that_reads_the_same_is_taken(attacker, email):
    """One account, one address; whichever spelling owns it."""
    if attacker.service.users.get_by_email("person@example.com") is None:
        made = register(attacker, "owner-of-person", "person@example.com")
        emptied(attacker, made.json["username"])
    answer = register(attacker, "thief-of-person", email)
    assert answer.status in {400, 409}
    assert attacker.service.users.get_by_username("thief-of-person") is None


@pytest.mark.parametrize("name", REFUSED)
def test_name_that_hides_something_is_refused(attacker, name):
    """Control, format, private characters and white space; the name is not repeated."""
    answer = register(attacker, name, "hidden@example.com")
    assert answer.error == (400, "invalid_request")
    assert set(answer.json["fields"]) == {"username"}


@pytest.mark.parametrize(
    ("password", "wrong"),
    [
        ("a-long-one-" * 7 + "ends", "a-long-one-" * 7 + "differs"),
        ("quartz\0lantern one", "quartz\0lantern two"),
        ("quartz\0lantern", "quartz"),
        ("ü" * 36 + "x", "ü" * 36 + "y"),
        ("Quartz lantern", "quartz lantern"),
        ("quartz lantern ", "quartz lantern"),
    ],
)
def test_every_character_of_a_password_counts(attacker, password, wrong):
    """RULES 34: beyond 72 bytes and behind a NUL as well."""
    name = attacker.newcomer(password)
    assert attacker.login(name, password)
    answer = attacker.post("/login", {"username": name, "password": wrong})
    assert answer.error == (401, "invalid_credentials")


def test_password_is_the_same_however_it_is_composed(attacker):
    """RULES 34: NFC; keyboards differ."""
    name = attacker.newcomer(unicodedata.normalize("NFD", "Größenwahn zwölf"))
    assert attacker.login(name, unicodedata.normalize("NFC", "Größenwahn zwölf"))


@pytest.mark.parametrize("password", ["", "x" * 1_025, "ü" * 513, "x" * 60_000])
def test_oversized_password_costs_no_hash(attacker, hashes, password):
    """RULES 33: a 400 before any look-up; at every door that takes one."""
    name = attacker.newcomer()
    token = attacker.login(name)["access_token"]
    hashes.clear()
    email = "oversized@example.com"
    answers = [
        attacker.post("/login", {"username": name, "password": password}),
        attacker.post("/login", {"username": "nobody", "password": password}),
        register(attacker, "oversized", email, password),
        attacker.post("/password/reset", {"token": "x", "new_password": password}),
        attacker.post(
            "/password",
            {"current_password": password, "new_password": "violet staple"},
            token=token,
        ),
        attacker.post(
            "/password", {"current_password": PASSWORD, "new_password": password}, token=token
        ),
    ]
    assert {answer.status for answer in answers} == {400}
    assert hashes == []


def test_lone_surrogate_is_no_password(attacker, hashes):
    """Nor is it JSON text."""
    body = b'{"username":"alice","password":"\\ud800 lantern"}'
    answer = attacker.send("POST", "/login", body, content_type="application/json")
    assert (answer.status, hashes) == (400, [])


@pytest.mark.parametrize("password", ["123456", "Password1", "qwerty123", "short"])
def test_guessable_password_is_refused(attacker, password):
    """Where one is chosen: at the registration, at the change, at the reset."""
    name = attacker.newcomer()
    token = attacker.login(name)["access_token"]
    attacker.service.forgot_password(f"{name}@example.com")
    letter = attacker.letter(name, "reset_password")
    answers = [
        register(attacker, "guessable", "guessable@example.com", password),
        attacker.post(
            "/password", {"current_password": PASSWORD, "new_password": password}, token=token
        ),
        attacker.post("/password/reset", {"token": letter, "new_password": password}),
    ]
    assert [answer.status for answer in answers] == [400] * 3
    assert [set(a.json["fields"]) for a in answers] == [
        {"password"},
        {"new_password"},
        {"new_password"},
    ]
    assert attacker.login(name)
