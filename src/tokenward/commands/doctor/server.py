"""An authorization server as anybody can see it: its metadata, its keys, its clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

from tokenward._http import epoch_of
from tokenward._log import shown
from tokenward.commands.doctor.finding import Finding
from tokenward.commands.published import fetch
from tokenward.errors import AuthServiceUnavailable
from tokenward.metadata import IssuerMetadata

if TYPE_CHECKING:
    from tokenward.commands.published import PublishedKey, PublishedSet
    from tokenward.commands.witness import Witness
    from tokenward.metadata import Metadata

MAX_SKEW = 10.0
"""Seconds by which another machine's clock may differ before that is worth a word."""

_SHOWN_ENTRIES: Final = 10
_LATER: Final = frozenset({408, 425, 429})
# Somebody has to change something; everything else may pass by itself.
_LASTING = frozenset(
    {
        "algorithm_unsupported",
        "bad_response",
        "bad_url",
        "client_auth",
        "client_auth_unsupported",
        "client_refused",
        "endpoint_missing",
        "endpoint_refused",
        "issuer_mismatch",
        "no_metadata",
        "no_usable_key",
        "too_large",
        "unsigned_response",
    }
)


def metadata_of(issuer: str, witness: Witness, *, timeout: float) -> Metadata:
    """Return what an issuer publishes about itself.

    Raises:
        AuthServiceUnavailable: It publishes nothing that may be used, or cannot be reached.
    """
    return IssuerMetadata(issuer, transport=witness, timeout=timeout).get()


def failed(
    error: AuthServiceUnavailable,
    setting: str,
    advice: str = "",
    *,
    witness: Witness | None = None,
) -> Finding:
    """Return the finding that a server cannot be used, and whether that may pass by itself.

    Args:
        error: What is wrong.
        setting: What it is about.
        advice: What to write instead.
        witness: What got the last answer, where one that says that it is overloaded counts as one
            that may pass.
    """
    if is_lasting(error, witness):
        return Finding("FAIL", setting, f"{error.hint}{advice and f'; {advice}'}")
    text = f"cannot be reached ({error.reason}): {error.hint}"
    return Finding("FAIL", setting, text, outage=True)


def is_lasting(error: AuthServiceUnavailable, witness: Witness | None = None) -> bool:
    """Tell whether somebody has to change something before a server can be used."""
    if error.reason == "bad_response" and witness is not None and witness.response is not None:
        status = witness.response.status
        return status < 500 and status not in _LATER
    return error.reason in _LASTING


def listed(metadata: Metadata, name: str) -> list[str]:
    """Return the strings that a member of the metadata lists; none where it lists nothing."""
    value = metadata.raw.get(name)
    if not isinstance(value, list | tuple):
        return []
    return [shown(entry) for entry in value if isinstance(entry, str)]


def methods_at(metadata: Metadata, endpoint: str) -> list[str]:
    """Return how clients authenticate at an endpoint, as far as can be told.

    Most servers describe their token endpoint alone, and treat the others like it.
    """
    suffix = "_auth_methods_supported"
    return listed(metadata, endpoint + suffix) or listed(metadata, "token_endpoint" + suffix)


def of_keys(
    url: str,
    witness: Witness,
    setting: str,
    *,
    timeout: float,
    algorithms: Collection[str] | None = None,
) -> tuple[list[Finding], PublishedSet | None]:
    """Fetch a JWK Set, and say what is in it.

    Args:
        url: Where it is.
        witness: Sends the request.
        setting: What names it.
        timeout: Seconds.
        algorithms: What tokens may be signed with; ``None``: whatever there is.

    Returns:
        What was found; and the set, if it could be fetched.
    """
    try:
        published = fetch(url, witness, timeout=timeout)
    except AuthServiceUnavailable as error:
        return [failed(error, setting, witness=witness)], None
    findings = [_of_set(published, setting, algorithms)]
    for key in published.exposed:
        at = f"{setting}.keys[{key.position}]"
        findings.append(Finding("warn", at, f"{_named(key)}{key.text}"))
    for key in published.skipped[:_SHOWN_ENTRIES]:
        at = f"{setting}.keys[{key.position}]"
        findings.append(Finding("ok", at, f"{_named(key)}not used: {key.text}"))
    return findings, published


def _of_set(published: PublishedSet, setting: str, algorithms: Collection[str] | None) -> Finding:
    # A query may hold a key.
    url, used = published.url.partition("?")[0], published.used
    unused = [*published.exposed, *published.skipped]
    if not used:
        why = f" ({unused[0].text})" if unused else ""
        return Finding("FAIL", setting, f"{url} has no key that can be used{why}")
    counted = Counter("/".join(key.algorithms) for key in used)
    what = ", ".join(f"{number} for {names}" for names, number in sorted(counted.items()))
    if algorithms is not None and published.algorithms.isdisjoint(algorithms):
        found = f"{url} has no key for {', '.join(algorithms)}: it has {what}"
        advice = "write the algorithms that the tokens have"
        return Finding("FAIL", setting, f"{found}; {advice}")
    skipped = f"; {len(unused)} more cannot be used" if unused else ""
    return Finding("ok", setting, f"{url} has keys: {what}{skipped}")


def _named(key: PublishedKey) -> str:
    return "" if key.kid is None else f"{key.kid}: "


def of_clock(witness: Witness, setting: str, *, leeway: float | None = None) -> Iterator[Finding]:
    """Compare the server's clock with ours; most servers say what time it is.

    Args:
        witness: What got its answers.
        setting: What the finding is about.
        leeway: By how many seconds clocks may differ before tokens are refused; ``None``: that is
            not known.
    """
    if witness.date is None:
        return
    said, came = epoch_of(witness.date[0]), witness.date[1]
    if said is None:
        return
    skew = came - witness.age - said
    # A Date has no fractions, and an answer takes its time.
    if abs(skew) <= (MAX_SKEW if leeway is None else min(MAX_SKEW, max(leeway, 2))):
        yield Finding("ok", setting, "the server's clock and this one agree")
        return
    which = "ahead of" if skew > 0 else "behind"
    found = f"this clock is {abs(skew):.0f} s {which} the server's"
    if leeway is not None and abs(skew) > leeway:
        found += f", and leeway is {leeway:g} s: " + (
            "tokens expire here before their time"
            if skew > 0
            else "new tokens are refused as issued in the future"
        )
    advice = "set the one that is wrong, or write a larger leeway"
    yield Finding("warn", setting, f"{found}; {advice}")
