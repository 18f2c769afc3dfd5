"""Secrets that are configured, and those that are made and known by digest (RULES 8, 9)."""

import base64
import hashlib
import secrets
import string
import uuid

import pytest

from tokenward._secrets import check_secret, digest_of_random_token, random_token
from tokenward.errors import ConfigurationError

PRINTABLE = string.ascii_letters + string.digits + string.punctuation


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ("", "shorter than 16 bytes"),
        ("x7$kQ2!mZ9pL4@v", "shorter than 16 bytes"),
        ("a" * 40, "repeats"),
        ("abababababababababab", "repeats"),
        ("0" * 16, "repeats"),
        ("changemechangeme", "placeholder"),
        ("change-me-change-me", "placeholder"),
        ("CHANGE_ME_PLEASE_NOW", "placeholder"),
        ("secretsecretsecret", "placeholder"),
        ("my-super-secret-key", "placeholder"),
        ("your-secret-key-here", "placeholder"),
        ("<your client secret here>", "placeholder"),
        ("django-insecure-change-me", "placeholder"),
        ("password12345678", "placeholder"),
        ("0123456789abcdef", "placeholder"),
        ("put-a-long-random-string-here", "placeholder"),
        ("secret-secret-secret-secret-secret", "placeholder"),
        ("changeme-2024-11!", "placeholder"),
        ("changeme123!@#$%", "placeholder"),
        ("**[changeme]**!?=+-~", "placeholder"),
        ("c/h/a/n/g/e/m/e/!/m/e", "placeholder"),
        ("!@#$%^&*()_+-=[]", "placeholder"),
        ("1234-5678-9012-3456", "placeholder"),
        ("abc-def-ghi-jkl-mno", "placeholder"),
        ("p-a-s-s-w-o-r-d-1-2-3-4", "placeholder"),
        ("P@ssw0rd!!!!!!!!!", "placeholder"),
        ("$ecret$ecret$ecret", "placeholder"),
        ("TODO: fill in!!!!", "placeholder"),
        ("<paste-here-1>...", "placeholder"),
        ("-----BEGIN KEY-----", "placeholder"),
        ("**** hidden ****", "placeholder"),
        ("2026-11-22 10:10:10", "placeholder"),
        ("${ORDERS_SIGNING_SEED}", "placeholder"),
        ("${{ secrets.ORDERS_SEED }}", "placeholder"),
        ("{{ .Values.orders.seed }}", "placeholder"),
        ("<%= ENV['ORDERS'] %>", "placeholder"),
        (None, "must be a string"),
        (b"kq3V-new-8fJ2_0pTzXw7Lm", "must be a string"),
        (12345678901234567890, "must be a string"),
    ],
)
def test_a_secret_that_is_none_stops_the_program(secret, says):
    """Short, uniform and placeholder secrets are refused with the way to make a real one."""
    with pytest.raises(ConfigurationError) as caught:
        check_secret(secret, what="service.keys.secrets")
    said = str(caught.value)
    assert said.startswith("service.keys.secrets ")
    assert says in said
    assert "token_urlsafe" in said
    assert not isinstance(secret, str) or not secret or secret not in said


@pytest.mark.parametrize(
    "make",
    [
        lambda: secrets.token_urlsafe(16),
        lambda: secrets.token_urlsafe(32),
        lambda: secrets.token_hex(16),
        lambda: str(uuid.uuid4()),
        lambda: "".join(secrets.choice(PRINTABLE) for _ in range(40)),
        lambda: "(bX;$/zF>G-Fd#/<",
        lambda: "G)-.*VpjP=~}&@D>k:{/",
        lambda: "K/Ey@hDI>[2l4mE*",
        lambda: "correct horse battery staple",
        lambda: "пароль-из-шестнадцати",
    ],
)
def test_a_real_secret_is_taken(make):
    """What generators make, and a passphrase, pass unchanged."""
    for _ in range(200):
        secret = make()
        assert check_secret(secret, what="a secret") == secret


def test_a_random_token_is_256_bits_and_comes_with_its_digest():
    """43 characters of base64url, without a dot as a JWT has; no two are alike."""
    made = [random_token() for _ in range(100)]
    assert 100 == len({token for token, _ in made})
    for token, digest in made:
        assert 32 == len(base64.urlsafe_b64decode(token + "="))
        assert 43 == len(token)
        assert hashlib.sha256(token.encode()).digest() == digest == digest_of_random_token(token)


@pytest.mark.parametrize(
    "token",
    [
        *("", "x" * 42, "x" * 44, "x" * 42 + ".", "x" * 42 + "=", "é" * 43, "x" * 43 + "\n"),
        *(None, 7, b"x" * 43, "\ud800" * 43, "a.b.c"),
    ],
)
def test_what_is_unlike_a_random_token_has_no_digest(token):
    """Nothing is looked up for it."""
    assert None is digest_of_random_token(token)
