"""docs/verifiers/local.md: its code is run, and tokens of our own are taken as it says."""

import time

import pytest
from doc_pages import settings
from verifier_pages import PAGES

from tokenward import LocalVerifier, TokenRevoked, UserNotFound
from tokenward.config import build_authenticator, build_service

LOCAL = PAGES["local"]


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
