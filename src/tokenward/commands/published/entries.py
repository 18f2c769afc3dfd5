"""The entries of a JWK Set: what each is, and whether it is used (RFC 7517, section 4)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from tokenward import _jose
from tokenward._jose.certificates import validity
from tokenward._log import shown
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward._jose import Key, KeySet

KID_CHARACTERS: Final = 64
"""How much of a ``kid`` is shown: most are thumbprints of 43."""

_SECRET: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_PEM: Final = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
_CERTIFICATE_CHARACTERS: Final = 16_384
_LATEST: Final = 253_402_300_799  # the end of the year 9999, which is as far as a date goes


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """What may be said of one entry of a JWK Set; nothing in it is secret, whatever the entry was.

    Attributes:
        position: Its place in the set, from 0.
        kid: Its name, escaped and cut; ``None`` where it has none.
        state: ``used``; ``skipped``; or ``exposed``: it is secret, and published all the same.
        algorithms: What tokens it verifies, sorted; nothing where it is not used.
        text: What it is; and why it is not used, where it is not.
        whole_kid: Its name as it is.
    """

    position: int
    kid: str | None
    state: Literal["used", "skipped", "exposed"]
    algorithms: tuple[str, ...]
    text: str
    whole_kid: str | None = field(repr=False)

    def is_named(self, kid: object) -> bool:
        """Tell whether a token with this ``kid`` means this entry."""
        return kid is not None and self.whole_kid == kid


def described(entries: list[Any], key_set: KeySet) -> Iterator[PublishedKey]:
    """Yield what may be said of each entry.

    Args:
        entries: Those of the document.
        key_set: What was made of them.
    """
    used = dict(zip(key_set.positions, key_set.keys, strict=True))
    # A name that several keys have means none of them, where they fit the same token.
    doubled = Counter((key.kid, alg) for key in key_set.keys for alg in key.algorithms)
    for position, entry in enumerate(entries):
        members = entry if isinstance(entry, Mapping) else {}
        whole = members.get("kid")
        whole = whole if isinstance(whole, str) else None
        kid = None if whole is None else shown(whole, limit=KID_CHARACTERS)
        key = used.get(position)
        if key is not None:
            text = ", ".join(_facts(members, key))
            if key.kid is not None and any(doubled[key.kid, alg] > 1 for alg in key.algorithms):
                text += "; another key has this kid too, so that neither is taken"
            yield PublishedKey(position, kid, "used", tuple(sorted(key.algorithms)), text, whole)
        elif _SECRET.isdisjoint(members):
            text = f"{_kind(members)}: {_why_not(position, entry)}"
            yield PublishedKey(position, kid, "skipped", (), text, whole)
        else:
            yield PublishedKey(position, kid, "exposed", (), _exposed(members), whole)


def _why_not(position: int, entry: object) -> str:
    # The set keeps the reasons of some entries only.
    if position >= _jose.MAX_ENTRIES:
        return f"after the first {_jose.MAX_ENTRIES} entries, and not looked at"
    try:
        _jose.key_from_jwk(entry)
    except _jose.JWKError as error:
        return str(error)
    return f"more than {_jose.MAX_KEYS} keys"


def _exposed(members: Mapping[str, Any]) -> str:
    if members.get("kty") == "oct":
        what = "a secret that signs tokens (kty oct)"
    else:
        what = f"the private half of a key ({_kind(members)})"
    return (
        f"{what} is published, and whoever read it can make tokens: its owner must replace it now."
        " It is not used here"
    )


def _facts(members: Mapping[str, Any], key: Key) -> Iterator[str]:
    yield f"{_kind(members)} for {'/'.join(sorted(key.algorithms))}"
    yield "use sig" if "use" in members else "no use, which is as good as sig"
    yield f"thumbprint {_jose.thumbprint(members)}"
    yield from _validity(members)


def _kind(members: Mapping[str, Any]) -> str:
    kty = members.get("kty")
    if kty == "RSA":
        bits = _bits(members.get("n"))
        return f"RSA {bits} bits" if bits else "RSA without a modulus"
    known = [
        shown(members[name], limit=KID_CHARACTERS) for name in ("kty", "crv") if name in members
    ]
    return " ".join(known) or "no kty"


def _bits(modulus: object) -> int:
    try:
        text = modulus if isinstance(modulus, str) else ""
        return int.from_bytes(_jose.decode(text.encode("ascii"))).bit_length()
    except ValueError:
        return 0


def _validity(members: Mapping[str, Any]) -> Iterator[str]:
    chain = members.get("x5c")
    if isinstance(chain, list | tuple) and chain:
        yield _of_certificate(chain[0])
    for name, word in (("iat", "made"), ("nbf", "good from"), ("exp", "good until")):
        moment = members.get(name)
        if type(moment) in (int, float) and 0 <= moment <= _LATEST:  # type: ignore[operator]
            yield f"{word} {_day(moment)}"  # type: ignore[arg-type]


def _of_certificate(der: object) -> str:
    text = str(der)[:_CERTIFICATE_CHARACTERS]
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    try:
        begins, ends = validity(_PEM.format(lines).encode("ascii"))
    except (ConfigurationError, UnicodeEncodeError):
        return "an x5c that cannot be read (nothing here needs it)"
    return f"certificate {_day(begins)} to {_day(ends)}"


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
