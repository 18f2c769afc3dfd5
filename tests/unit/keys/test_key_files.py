"""Signing keys in PEM files (RULES 18)."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from key_stores import Clock

from tokenward import _jose
from tokenward.errors import ConfigurationError
from tokenward.keys import REREAD_SECONDS, KeyRing

RSA = _jose.generate_key("RS256")  # one for all: RSA keys take long to make


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a new key's file, for its owner only, and returns the path."""
    paths = (tmp_path / f"{number}.pem" for number in range(10))

    def file(algorithm="ES256", *, mode=0o600, data=None):
        path = next(paths)
        key = RSA if algorithm[:2] in {"RS", "PS"} else _jose.generate_key(algorithm)
        path.write_bytes(_jose.to_pem(key) if data is None else data)
        path.chmod(mode)
        return path

    return file


def kid(path):
    """Return the thumbprint of the key in a file."""
    return _jose.from_pem(path.read_bytes(), "ES256", "EdDSA", "RS256").kid


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "PS256", "EdDSA"])
def test_the_current_file_signs(algorithm, file):
    """With the algorithm that is named, under its thumbprint (RFC 7638)."""
    path = file(algorithm)
    ring = KeyRing.from_files(str(path), algorithm=algorithm)
    unverified = _jose.parse(_jose.sign({"sub": "a"}, ring.current, typ="at+jwt"))
    _jose.verify(unverified, ring.key_set, algorithms={algorithm})
    assert (unverified.alg, unverified.kid) == (algorithm, kid(path))


def test_next_and_retired_files_are_published(file):
    """For as long as they are named, and however often time passes."""
    clock = Clock()
    current, following, *retired = (file() for _ in range(4))
    ring = KeyRing.from_files(current, next=following, retired=retired, clock=clock)
    kids = tuple(kid(path) for path in (current, following, *retired))
    assert ring.kids() == kids
    clock.now += 1_000 * REREAD_SECONDS
    assert (ring.kids(), ring.current.kid) == (kids, kids[0])


def test_one_moves_to_another_algorithm_over_next_and_retired(file):
    """They may be of another one; the current key may not."""
    old, new, rsa = file("ES256"), file("EdDSA"), file("RS256")
    before = KeyRing.from_files(old, next=new, algorithm="ES256")
    after = KeyRing.from_files(new, next=rsa, retired=[old], algorithm="EdDSA")
    assert [key["alg"] for key in before.public_jwks()["keys"]] == ["ES256", "EdDSA"]
    assert [key["alg"] for key in after.public_jwks()["keys"]] == ["EdDSA", "RS256", "ES256"]
    beside = KeyRing.from_files(rsa, next=new, algorithm="PS256")
    assert [key["alg"] for key in beside.public_jwks()["keys"]] == ["PS256", "EdDSA"]


def test_a_next_file_is_for_the_algorithm_that_is_named_if_it_fits(file):
    """An RSA key could be for another as well."""
    other = file(data=_jose.to_pem(_jose.generate_key("PS256")))
    ring = KeyRing.from_files(file("PS256"), next=other, algorithm="PS256")
    assert [key["alg"] for key in ring.public_jwks()["keys"]] == ["PS256", "PS256"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o601, 0o777])
@pytest.mark.parametrize("role", ["current", "next", "retired"])
def test_a_file_that_others_may_read_stops_start_up(file, mode, role):
    """Whichever it is, and the message says what to run."""
    paths = {"current": file(), "next": file(), "retired": file()}
    paths[role].chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {paths[role]}"):
        KeyRing.from_files(paths["current"], next=paths["next"], retired=[paths["retired"]])


def test_a_link_is_judged_by_what_it_leads_to(file, tmp_path):
    """Secrets are often put in place as links."""
    link = tmp_path / "current.pem"
    link.symlink_to(file())
    assert KeyRing.from_files(link).kids()
    link.resolve().chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod"):
        KeyRing.from_files(link)


@pytest.mark.parametrize(
    ("path", "message"),
    [("missing.pem", "No such file"), (".", "cannot be read"), ("nul\0.pem", "cannot be read")],
)
def test_a_file_that_is_not_there_stops_start_up(tmp_path, path, message):
    """The message names it, and the state it was to be in."""
    tmp_path.chmod(0o700)
    with pytest.raises(ConfigurationError, match=f"current key file.*{message}") as caught:
        KeyRing.from_files(os.fspath(tmp_path / path))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256"])
def test_the_algorithm_fits_the_current_key(file, algorithm):
    """A key of another kind stops start-up."""
    with pytest.raises(ConfigurationError, match=f"not one for {algorithm}"):
        KeyRing.from_files(file("ES256"), algorithm=algorithm)


def test_the_algorithm_is_one_that_is_published(file):
    """A shared secret is no signing key."""
    with pytest.raises(ConfigurationError, match="published"):
        KeyRing.from_files(file(), algorithm="HS256")


def test_a_next_key_of_no_usual_kind_is_refused(file):
    """P-384 is for ES384, which nobody asked for."""
    with pytest.raises(ConfigurationError, match=r"next key file.*ES256 or EdDSA or RS256"):
        KeyRing.from_files(file(), next=file("ES384"))


def encrypted():
    """Return an encrypted PEM."""
    private = _jose.generate_key("ES256").private
    how = BestAvailableEncryption(b"a passphrase")
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


@pytest.mark.parametrize("data", [b"", b"secret-material", encrypted()])
def test_what_is_no_private_key_stops_start_up(file, data):
    """Nothing of it is in the message."""
    path = file(data=data)
    with pytest.raises(ConfigurationError, match="unencrypted PEM") as caught:
        KeyRing.from_files(path)
    assert str(path) in str(caught.value)
    assert "secret-material" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_file_that_is_far_too_large_is_not_read_to_its_end(file):
    """A key is never as large."""
    path = file()
    path.write_bytes(b"\n" * 70_000 + Path(path).read_bytes())
    with pytest.raises(ConfigurationError, match="unencrypted PEM"):
        KeyRing.from_files(path)


def test_a_key_is_named_once(file):
    """As current, next or retired."""
    path = file()
    for names in ({"next": path}, {"retired": [path]}):
        with pytest.raises(ConfigurationError, match="same signing key"):
            KeyRing.from_files(path, **names)


def test_keys_in_files_are_not_rotated_here(file):
    """The files are exchanged instead, which the message says."""
    ring = KeyRing.from_files(file(), next=file())
    before = ring.kids()
    for change in (
        ring.rotate,
        ring.prune,
        lambda: ring.rotate(force=True),
        lambda: ring.rotate(compromised=True),
    ):
        with pytest.raises(ConfigurationError, match="exchange these"):
            change()
    assert ring.kids() == before
