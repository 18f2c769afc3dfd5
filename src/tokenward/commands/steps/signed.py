"""The checks of a verifier that checks signatures itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tokenward import _json
from tokenward._log import shown
from tokenward.commands.published import PublishedSet, read
from tokenward.commands.steps.step import (
    Step,
    claim_steps,
    claims_in,
    form,
    header_in,
    outage,
    subject_step,
    value,
    verdict_of,
)
from tokenward.errors import AuthError, AuthServiceUnavailable, InvalidToken

if TYPE_CHECKING:
    from tokenward.commands.steps.demands import Demands
    from tokenward.jwks import JWKSVerifier
    from tokenward.principal import Principal
    from tokenward.protocols import Request, Response, TokenVerifier

_SHOWN_KIDS: Final = 5
# What other kinds of tokens have; see `tokenward.claims.refuse_other_kinds`.
_MARKS: Final = (
    "typ",
    "token_use",
    "token_type",
    "type",
    "events",
    "at_hash",
    "c_hash",
    "s_hash",
)


@dataclass(frozen=True, slots=True)
class _Heard:
    """What a verifier was told by its issuer."""

    answers: list[tuple[str, Response]] = field(default_factory=list)

    @property
    def key_set(self) -> PublishedSet | None:
        """The keys, if they came."""
        for url, response in reversed(self.answers):
            try:
                members = _json.loads(response.body)
                if response.status == 200 and "keys" in members:
                    return read(url, members, response)
            except (ValueError, AuthServiceUnavailable):
                continue
        return None


def of_signed(
    decides: TokenVerifier,
    verifier: JWKSVerifier,
    demands: Demands,
    token: str,
    *,
    assertion: bool = False,
    groups: bool = False,
) -> tuple[list[Step], Principal | AuthError]:
    """Verify ``token``; return the checks that are made, and the verdict.

    Args:
        decides: The verifier, or what stands before it.
        verifier: Checks the signature; what it fetches is looked at from now on.
        demands: What the verifier was made to demand.
        token: The token.
        assertion: Whether it has to be one of Cloudflare Access, before anything else.
        groups: Whether its speaker's groups are asked for, after everything else.
    """
    heard = _overheard(verifier)
    verdict = verdict_of(decides, token)
    header, claims = header_in(token), claims_in(token)
    alg, kinds = header.get("alg"), "an access or ID token"
    # Of an algorithm that is allowed, the refusal is about the key.
    about_alg = alg not in demands.algorithms
    about_typ = not demands.admit(header)
    issuer = None if demands.issuer is None else (demands.issuer,)
    came = heard.key_set
    steps = [
        Step(
            "syntax",
            {"malformed", "too_large"},
            f"a JWT of up to {demands.max_token_bytes} bytes",
            form(token),
        ),
        Step("alg", _if(about_alg, "algorithm"), _or(demands.algorithms), value(header, "alg")),
        Step("crit", {"critical_header"}, "absent", value(header, "crit")),
        *([_of_assertion(header, claims)] if assertion else []),
        Step("typ", _if(about_typ, "wrong_type"), demands.types, value(header, "typ")),
        Step(
            "kind",
            _if(not about_typ, "wrong_type"),
            kinds if demands.accept_id_tokens else "an access token",
            _marks(claims),
        ),
        *claim_steps(
            claims,
            demands.leeway,
            demands.required,
            issuer,
            demands.audience,
            clients=demands.clients,
        ),
        *_of_keys(verifier, came, header, about_alg=about_alg, verdict=verdict),
        Step("signature", {"bad_signature"}, "that key's, over this content"),
        subject_step(claims),
        Step("denied", {"revoked"}, "no", "no, as far as this process was told"),
    ]
    if groups:
        steps.append(Step("groups", outage(verdict), f"those that {verifier.issuer} knows"))
    return steps, verdict


def _of_assertion(header: Mapping[str, Any], claims: Mapping[str, Any]) -> Step:
    # Only who has such an entry loads what knows Cloudflare.
    from tokenward.cloudflare import check_assertion  # noqa: PLC0415

    reasons: tuple[str, ...] = ()
    try:
        check_assertion(header, claims)
    except InvalidToken as refusal:
        reasons = (refusal.reason,)
    names = ("type", "sub", "email", "common_name")
    got = ", ".join(f"{name} {value(claims, name)}" for name in names)
    return Step("assertion", reasons, "type app, of a person or a service token", got)


def _marks(claims: Mapping[str, Any]) -> str:
    found = [f"{name} {value(claims, name)}" for name in _MARKS if name in claims]
    return ", ".join(found) or "nothing that says another kind"


def _overheard(verifier: JWKSVerifier) -> _Heard:
    """Return what keeps every answer that comes to ``verifier`` from now on."""
    heard = _Heard()
    # It keeps the keys, and not where they came from or what else was there; to ask again might
    # bring others.
    transport = verifier._transport  # noqa: SLF001 - see above
    send = transport.send

    def overheard(request: Request, *, deadline: float) -> Response:
        response = send(request, deadline=deadline)
        heard.answers.append((request.url, response))
        return response

    transport.send = overheard  # type: ignore[method-assign]
    return heard


def _of_keys(
    verifier: JWKSVerifier,
    came: PublishedSet | None,
    header: Mapping[str, Any],
    *,
    about_alg: bool,
    verdict: Principal | AuthError,
) -> list[Step]:
    alg, kid = header.get("alg"), value(header, "kid")
    if came is None:
        whence = None if isinstance(verdict, AuthServiceUnavailable) else "those configured"
        fitting = f"a key for {shown(alg)}"
    else:
        whence = _whence(came, verifier.keys_age())
        kids = [key.kid for key in came.used if key.kid is not None and alg in key.algorithms]
        more = (f"{len(kids) - _SHOWN_KIDS} more",) if len(kids) > _SHOWN_KIDS else ()
        fitting = _or((*kids[:_SHOWN_KIDS], *more)) or f"a key for {shown(alg)}"
        for key in came.keys:
            if key.state != "used" and key.is_named(header.get("kid")):
                kid += f", which is keys[{key.position}] of the set and not used: {key.text}"
    # With the keys at hand, it was somebody else who could not tell.
    no_keys = () if verifier.keys_age() is not None else outage(verdict)
    reasons = {"unknown_key", "ambiguous_key", *_if(not about_alg, "algorithm")}
    return [
        Step("keys", no_keys, f"keys of {verifier.issuer}", whence),
        Step("kid", reasons, fitting, kid),
    ]


def _whence(came: PublishedSet, age: float | None) -> str:
    number = len(came.used)
    found = f"{number} key{'s' if number != 1 else ''} for signatures"
    if len(came.keys) > number:
        found += f" and {len(came.keys) - number} not used"
    found += f", from {shown(came.url.partition('?')[0])}, asked {age or 0:.0f} s ago"
    return f"{found}, {came.age:g} s old when they came" if came.age else found


def _if(condition: bool, reason: str) -> frozenset[str]:  # noqa: FBT001 - it reads like one
    return frozenset({reason} if condition else ())


def _or(names: tuple[str, ...]) -> str:
    return " or ".join(names)
