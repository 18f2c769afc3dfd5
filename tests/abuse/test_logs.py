"""Everything once, with every logger at DEBUG: no secret is in any line."""

import base64
import hashlib
import logging

from service_callers import ORDERS, OTHER_SECRET, PASSWORD, SECRET, SHOP, basic

NEW = "violet staple lantern"
WRONG = "wr0ng-p4ssw0rd-typed"
WRONG_SECRET = "wr0ng-client-s3cret"


def spellings(secret):
    """Return a secret, and what it is kept and compared by."""
    digest = hashlib.sha256(secret.encode()).digest()
    return {
        secret,
        digest.hex(),
        base64.b64encode(digest).decode().rstrip("="),
        base64.urlsafe_b64encode(digest).decode().rstrip("="),
        repr(digest)[2:-1],
    }


def test_no_secret_is_in_any_log(attacker, caplog):
    """RULES 44: passwords, tokens, secrets, hashes and digests; those that were refused too."""
    caplog.set_level(logging.DEBUG)
    users = attacker.service.users
    name = attacker.newcomer()
    hashed = [users.get_by_username(name).hashed_password]
    secrets = [PASSWORD, NEW, WRONG, SECRET, OTHER_SECRET, WRONG_SECRET]

    first = attacker.login(name)
    second = attacker.refresh(first["refresh_token"]).json
    attacker.get("/me", second["access_token"])
    attacker.get("/sessions", second["access_token"])
    attacker.form("/introspect", {"token": second["access_token"]}, authorization=ORDERS)
    attacker.form("/introspect", {"token": second["refresh_token"]}, authorization=ORDERS)
    attacker.form("/revoke", {"token": second["access_token"]}, authorization=SHOP)
    members = {"current_password": PASSWORD, "new_password": NEW}
    attacker.post("/password", members, token=second["access_token"])
    hashed.append(users.get_by_username(name).hashed_password)
    attacker.service.send_email_verification(name)
    verify = attacker.letter(name, "verify_email")
    attacker.post("/email/verify", {"token": verify})
    attacker.service.forgot_password(f"{name}@example.com")
    reset = attacker.letter(name, "reset_password")
    attacker.post("/password/reset", {"token": reset, "new_password": PASSWORD})
    third = attacker.login(name, authorization=SHOP)
    machine = attacker.token(grant_type="client_credentials").json["access_token"]
    attacker.form("/revoke", {"token": third["refresh_token"]}, authorization=SHOP)
    made = [
        *(
            granted[kind]
            for granted in (first, second, third)
            for kind in ("access_token", "refresh_token")
        ),
        machine,
        reset,
        verify,
    ]

    attacker.post("/login", {"username": name, "password": WRONG})
    attacker.refresh(first["refresh_token"])
    attacker.post("/password/reset", {"token": reset, "new_password": WRONG})
    attacker.form("/token", {}, authorization=basic("shop", WRONG_SECRET))
    attacker.form("/token", {"client_id": "shop", "client_secret": WRONG_SECRET})
    attacker.get("/me", first["access_token"])
    attacker.get("/me", first["access_token"][:-4] + "AAAA", query=f"access_token={machine}")
    attacker.form("/introspect", authorization=ORDERS, query=f"token={machine}")
    attacker.post("/login", {"username": name, "password": WRONG, WRONG: 1})
    attacker.send(
        "POST", "/login", f'{{"password":"{WRONG}"'.encode(), content_type="application/json"
    )

    secrets += [*made, *hashed]
    # A JWT's claims and signature, each by itself, are as telling as the whole.
    secrets += [part for token in made if token.count(".") == 2 for part in token.split(".")[1:]]
    said = "\n".join(
        f"{record.name} {record.getMessage()} {record.exc_info} {record.args}"
        for record in caplog.records
    )
    assert "login_failed" in said
    found = {
        (secret[:6], record.name)
        for secret in secrets
        for spelling in spellings(secret)
        for record in caplog.records
        if spelling in f"{record.getMessage()} {record.args}"
    }
    assert found == set()
