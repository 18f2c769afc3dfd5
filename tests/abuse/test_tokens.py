"""Tokens of one kind where another belongs, and tokens that should be over."""

import threading

import pytest
from service_callers import AUDIENCE, ISSUER, ORDERS, PASSWORD, SHOP

from tokenward import _jose
from tokenward.keys import KeyRing
from tokenward.passwords import PasswordHasher
from tokenward.repositories._portable import KeptFamily

NEW = "violet staple lantern"
NONE = b'{"alg":"none","typ":"at+jwt"}'


@pytest.fixture
def name(attacker):
    return attacker.newcomer()


@pytest.fixture
def granted(attacker, name):
    return attacker.login(name)


def resigned(attacker, token, *, typ="at+jwt", drop=(), **claims):
    """Return a token under a good signature of the service's own key, changed."""
    said = _jose.parse(token).claims | claims
    said = {key: value for key, value in said.items() if key not in drop}
    return _jose.sign(said, attacker.service.keys.current, typ=typ)


def kinds(attacker, name, granted):
    """Return one good token of each kind that is no user's access token."""
    attacker.service.forgot_password(f"{name}@example.com")
    reset = attacker.letter(name, "reset_password")
    attacker.service.send_email_verification(name)
    access = granted["access_token"]
    return {
        "refresh token": granted["refresh_token"],
        "reset token": reset,
        "verification token": attacker.letter(name, "verify_email"),
        "session id": _jose.parse(access).claims["sid"],
        "client's token": attacker.token(grant_type="client_credentials").json["access_token"],
        "plain JWT": resigned(attacker, access, typ="JWT"),
        "ID token": resigned(attacker, access, typ="JWT", nonce="x", at_hash="x"),
        "logout token": resigned(attacker, access, typ="logout+jwt", events={}),
        "assertion": resigned(attacker, access, typ="client-authentication+jwt"),
        "another audience": resigned(attacker, access, aud="https://other.example"),
        "another issuer": resigned(attacker, access, iss="https://other.example"),
        "nobody's": resigned(attacker, access, sub="nobody", jti="nobody"),
        "another key": _jose.sign(
            _jose.parse(access).claims, KeyRing.generate().current, typ="at+jwt"
        ),
        "unsigned": ".".join([_jose.encode(NONE), access.split(".")[1], ""]),
    }


def test_only_a_users_access_token_is_a_bearer(attacker, name, granted):
    """At every endpoint that wants one; what was tried is good for its own purpose still."""
    for kind, token in kinds(attacker, name, granted).items():
        for path in ("/me", "/sessions"):
            answer = attacker.get(path, token)
            assert answer.status in {400, 401}, kind
        members = {"current_password": PASSWORD, "new_password": NEW}
        assert attacker.post("/password", members, token=token).status in {400, 401}, kind
        assert attacker.post("/sessions/end", {"sid": "x"}, token=token).status in {400, 401}, kind
        if kind != "client's token":
            assert attacker.post("/logout", {}, token=token).status in {400, 401}, kind
    assert attacker.get("/me", granted["access_token"]).status == 200
    assert attacker.refresh(granted["refresh_token"]).status == 200


def test_only_a_refresh_token_is_refreshed(attacker, name, granted):
    """At both endpoints that take one."""
    others = kinds(attacker, name, granted) | {"access token": granted["access_token"]}
    del others["refresh token"]
    for kind, token in others.items():
        assert attacker.refresh(token).error == (400, "invalid_grant"), kind
        answer = attacker.token(grant_type="refresh_token", refresh_token=token)
        assert answer.error == (400, "invalid_grant"), kind
    assert attacker.refresh(granted["refresh_token"]).status == 200


@pytest.mark.parametrize(
    ("path", "own"), [("/password/reset", "reset token"), ("/email/verify", "verification token")]
)
def test_only_its_own_one_time_token_opens_a_door(attacker, name, granted, path, own):
    """Used up by what it is for, and by nothing else."""
    made = kinds(attacker, name, granted) | {"access token": granted["access_token"]}
    right = made.pop(own)
    more = {"new_password": NEW} if path == "/password/reset" else {}
    for kind, token in made.items():
        assert attacker.post(path, {"token": token, **more}).status == 400, kind
    assert attacker.post(path, {"token": right, **more}).status == 204
    assert attacker.post(path, {"token": right, **more}).status == 400


def test_introspection_knows_access_tokens_only(attacker, name, granted):
    """To a resource server nothing else is active."""
    assert attacker.is_active(granted["access_token"])
    for kind, token in kinds(attacker, name, granted).items():
        if kind != "client's token":
            assert not attacker.is_active(token), kind


def test_access_token_of_a_client_is_nobodys_login(attacker, granted):
    """It speaks for no user, whatever it is presented to."""
    token = attacker.token(grant_type="client_credentials").json["access_token"]
    assert attacker.get("/me", token).error == (401, "invalid_token")
    assert attacker.get("/sessions", token).error == (401, "invalid_token")


def test_assertion_is_not_an_access_token_of_the_client(attacker):
    """An access token of its own does not authenticate a client either."""
    token = attacker.token(grant_type="client_credentials").json["access_token"]
    fields = {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": token,
        "token": "x",
    }
    for path in ("/token", "/introspect", "/revoke"):
        assert attacker.form(path, fields).error == (401, "invalid_client")


def test_replayed_refresh_token_ends_the_session(attacker, granted):
    """RULES 37: whoever comes second, the thief or the victim, both are out."""
    second = attacker.refresh(granted["refresh_token"]).json
    assert attacker.get("/me", second["access_token"]).status == 200
    assert attacker.refresh(granted["refresh_token"]).error == (400, "invalid_grant")
    for token in (granted["access_token"], second["access_token"]):
        assert attacker.get("/me", token).error == (401, "invalid_token")
        assert not attacker.is_active(token)
    assert attacker.refresh(second["refresh_token"]).error == (400, "invalid_grant")


@pytest.mark.parametrize("path", ["/refresh", "/token"])
def test_refreshed_twice_at_once_one_wins_and_the_session_ends(attacker, name, path):
    """The second of two is a replay, however close they are."""
    for _ in range(3):
        authorization = SHOP if path == "/token" else None
        granted = attacker.login(name, authorization=authorization)
        together, answers = threading.Barrier(4), []

        def ask(together=together, answers=answers, granted=granted):
            together.wait(120)
            if path == "/refresh":
                answers.append(attacker.refresh(granted["refresh_token"]))
            else:
                fields = {"refresh_token": granted["refresh_token"]}
                answers.append(attacker.token(grant_type="refresh_token", **fields))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status for answer in answers) == [200, 400, 400, 400]
        (won,) = [answer.json for answer in answers if answer.status == 200]
        assert attacker.get("/me", won["access_token"]).status == 401
        assert attacker.get("/me", granted["access_token"]).status == 401


def test_logged_out_is_over_everywhere(attacker, granted):
    """RULES 38: at the issuer at once: token, refresh token, session."""
    assert attacker.post("/logout", {}, token=granted["access_token"]).status == 200
    assert attacker.get("/me", granted["access_token"]).error == (401, "invalid_token")
    assert attacker.post("/logout", {}, token=granted["access_token"]).status == 401
    assert attacker.refresh(granted["refresh_token"]).error == (400, "invalid_grant")
    assert not attacker.is_active(granted["access_token"])


def test_logout_of_one_ends_no_other(attacker, name, granted):
    """Nor does somebody else's refresh token beside it."""
    other, mine = attacker.login(attacker.newcomer()), attacker.login(name)
    members = {"refresh_token": other["refresh_token"]}
    attacker.post("/logout", members, token=mine["access_token"])
    assert attacker.get("/me", other["access_token"]).status == 200
    assert attacker.refresh(other["refresh_token"]).status == 200
    assert attacker.get("/me", granted["access_token"]).status == 200


@pytest.mark.parametrize(
    "ended",
    ["deactivate_user", "set_password", "set_roles", "change", "reset"],
)
def test_live_tokens_die_with_what_they_stood_on(attacker, name, granted, ended):
    """RULES 37, 38: disabled, another password, other roles; and nothing revives them."""
    service = attacker.service
    if ended == "change":
        members = {"current_password": PASSWORD, "new_password": NEW}
        answer = attacker.post("/password", members, token=granted["access_token"])
        assert answer.status == 204
    elif ended == "reset":
        service.forgot_password(f"{name}@example.com")
        members = {"token": attacker.letter(name, "reset_password"), "new_password": NEW}
        assert attacker.post("/password/reset", members).status == 204
    else:
        more = {"deactivate_user": (), "set_password": (NEW,), "set_roles": (["admin"],)}[ended]
        getattr(service, ended)(name, *more)
    for again in (False, True):
        assert attacker.get("/me", granted["access_token"]).error == (401, "invalid_token")
        assert attacker.refresh(granted["refresh_token"]).error == (400, "invalid_grant")
        assert not attacker.is_active(granted["access_token"])
        if ended == "deactivate_user" and not again:
            assert attacker.post("/login", {"username": name, "password": PASSWORD}).status == 401
            service.reactivate_user(name)
    for secret in (ORDERS, SHOP):
        assert not attacker.is_active(granted["access_token"], secret)


@pytest.mark.parametrize("way", ["change", "reset"])
def test_lock_out_is_not_undone_by_what_was_under_way(attacker, name, granted, way, monkeypatch):
    """A new password that is being hashed when the operator takes the account's away is not set."""
    service, users = attacker.service, attacker.service.users
    if way == "change":
        path, token = "/password", granted["access_token"]
        members = {"current_password": PASSWORD, "new_password": NEW}
    else:
        service.forgot_password(f"{name}@example.com")
        path, token = "/password/reset", None
        members = {"token": attacker.letter(name, "reset_password"), "new_password": NEW}

    class Slow(PasswordHasher):
        def hash(self, password):
            service.set_password(name, None)
            return super().hash(password)

    with monkeypatch.context() as patch:
        patch.setattr(users, "hasher", Slow(cost=4))
        answer = attacker.post(path, members, token=token)
    assert answer.status == {"change": 401, "reset": 400}[way]
    assert users.get_by_username(name).hashed_password is None
    assert attacker.post("/login", {"username": name, "password": NEW}).status == 401
    assert attacker.post(path, members, token=token).status == answer.status


def test_digest_of_a_token_is_in_no_repr(attacker, name, granted):
    """What a store hands from hand to hand may end in a log."""
    (family,) = attacker.service.tokens.families(attacker.service.users.get_by_username(name).id)
    kept = KeptFamily(family, b"current", (b"used",))
    assert family.id in repr(kept)
    assert "b'" not in repr(kept)


def test_token_of_a_deployment_beside_this_one_is_refused(attacker, granted):
    """The same user, the same key; made for another issuer or audience."""
    claims = _jose.parse(granted["access_token"]).claims
    assert (claims["iss"], claims["aud"]) == (ISSUER, AUDIENCE)
    for changed in ({"iss": f"{ISSUER}/"}, {"aud": "Orders"}, {"aud": []}, {"exp": 1}):
        token = resigned(attacker, granted["access_token"], **changed)
        assert attacker.get("/me", token).error == (401, "invalid_token")


def test_session_that_the_token_does_not_name_is_refused(attacker, granted):
    """A signed token of a session that never was; only our own key can make one."""
    token = resigned(attacker, granted["access_token"], sid="never-was", jti="another")
    assert attacker.get("/me", token).error == (401, "invalid_token")
