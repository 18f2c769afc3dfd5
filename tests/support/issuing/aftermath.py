"""What a store and a service are like after faults."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import requests
from issuing.people import NOT_ASKED, check_client_token, check_person
from issuing.processes import PATIENCE, Visitor

from tokenward.config.build.store import open_keys, open_store
from tokenward.jwks import JWKSVerifier
from tokenward.schemas import canonical_key
from tokenward.service import JWKS_PATH

AUDIENCE, ISSUER = "orders", "https://auth.example"


def check(site, process, load):
    """See that nothing acknowledged is lost, nothing half there, and nothing said that is secret.

    Args:
        site: The site.
        process: The one that serves it now.
        load: What was asked of it; everybody has gone home.
    """
    assert load.wrong == []

    with closing(open_store(site.settings.service, create=False)) as repositories:
        _check_keys(site, repositories, load)
        _check_users(repositories, load)
        _check_families(repositories, load)
        _check_signatures(process.url, load)
        _check_what_was_said(process.url, repositories.tokens, load)
    _check_log(process.log, load)


def _check_keys(site, repositories, load):
    version, stored = repositories.keys.load()
    states = [key.state for key in stored]
    assert (1, 1) == (states.count("current"), states.count("next"))
    # Each rotation is one version; one that nobody knows of was made, or was not.
    made = version - 1
    assert len(load.rotated) <= made <= len(load.rotated) + load.lost_rotations
    assert states.count("retired") == made
    assert all((key.published_until is None) == (key.state != "retired") for key in stored)
    assert set(load.rotated) <= {key.kid for key in stored}
    # Each opens.
    ring = open_keys(site.settings.service, repositories)
    assert set(ring.kids()) == {key.kid for key in stored}


def _everything(repositories, kind):
    records, after = repositories.store.records(kind)
    while after is not None:
        more, after = repositories.store.records(kind, after=after)
        records += more
    return records


def _check_users(repositories, load):
    users = _everything(repositories, "users")
    assert len(users) == repositories.users.count() == repositories.store.tally("users")
    asked_for = {"witness", *(person.name for person in load.people)}
    for user in users:
        assert user["username"] in asked_for
        assert user["username_key"] == canonical_key(user["username"])
        assert user["email_key"] == canonical_key(user["email"])
        assert re.fullmatch(r"\$tw1\$2b\$04\$.{53}", user["hashed_password"])
        for found in (
            repositories.users.get_by_id(user["id"]),
            repositories.users.get_by_username(user["username"]),
            repositories.users.get_by_email(user["email"]),
        ):
            assert (user["id"], user["username"]) == (found.id, found.username)
    for column in ("id", "username_key", "email_key"):
        assert len({user[column] for user in users}) == len(users)


def _check_families(repositories, load):
    families = _everything(repositories, "families")
    assert len(families) == repositories.store.tally("families")
    subjects = {user["id"] for user in _everything(repositories, "users")}
    assert {family["subject"] for family in families} <= subjects
    digests = [digest for f in families for digest in (f["current"], *f["used"])]
    assert len(set(digests)) == len(digests)
    assert len(families) >= sum(len(person.sessions) for person in load.people)


def _check_signatures(url, load):
    """A resource server that only knows the JWK Set verifies all, whatever key has signed it."""
    tokens = [t for p in load.people for s in p.sessions for t in s.access]
    tokens += [own.token for own in load.client_tokens]
    keys = requests.get(url + JWKS_PATH, timeout=PATIENCE).json()
    with closing(JWKSVerifier(jwks=keys, issuer=ISSUER, audience=AUDIENCE)) as verifier:
        for token in tokens:
            verifier.verify(token)


def _check_what_was_said(url, tokens, load):
    def one(person):
        with Visitor(url) as visitor:
            check_person(person, visitor, tokens)

    with Visitor(url) as visitor:
        for own in load.client_tokens:
            check_client_token(own, visitor)
        assert any(own.revoked != NOT_ASKED for own in load.client_tokens)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, load.people))


def _check_log(log, load):
    assert "Traceback" not in log
    assert "failed with" not in log
    for person in load.people:
        for secret in (person.password, *(s.current for s in person.sessions)):
            assert secret not in log
