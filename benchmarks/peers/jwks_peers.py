"""What others need for a signed token, beside tokenward in the same process."""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata

from benchmarks.harness import Result, interleaved, micro
from benchmarks.peers import tell
from benchmarks.peers.introspection import by_hand, in_a_kept_loop
from benchmarks.peers.jwks import (
    AUTH_JWKS_ALGORITHMS,
    Ask,
    auth_jwks,
    clasp_client,
    clasp_key,
    fetched,
    joserfc,
    jwk_client,
)
from benchmarks.rows.first_verify import BARS
from benchmarks.rows.import_time import imported
from benchmarks.rows.unknown_kids import TOKENS
from benchmarks.signed import (
    AUDIENCE,
    LONG_CHARACTERS,
    Signer,
    pinned_verifier,
    pyjwt_decode,
    signer,
)
from benchmarks.upstream import Upstream, running

AUTH_JWKS = f"auth-jwks {metadata.version('auth-jwks')}"
CLASP = f"clasp-jwt {metadata.version('clasp-jwt')}"
JOSERFC = f"joserfc {metadata.version('joserfc')}"
JWK_CLIENT = f"PyJWKClient and decode {metadata.version('PyJWT')}"
PYJWT = f"PyJWT decode {metadata.version('PyJWT')}"


def first_verify(rounds: int) -> Iterator[Result]:
    """Compare with PyJWT's ``decode``, by the CPU time of the thread."""
    with running() as upstream:
        for algorithm in BARS:
            by = signer(algorithm)
            token, for_clasp = by.token(), by.token(audience=None)
            peers = {
                name: (ask, for_clasp if name.startswith(CLASP) else token)
                for name, ask in _peers(by, upstream, token).items()
            }
            calls = {
                PYJWT: (pyjwt_decode(by), token),
                "tokenward": (pinned_verifier(by, cache_entries=0).verify, token),
            }
            taken = interleaved(
                {name: _call(*asked) for name, asked in (calls | peers).items()},
                number=50,
                rounds=rounds,
                clock=time.thread_time,
            )
            beside = f"tokenward beside it {taken.over('tokenward', PYJWT):.3g} x"
            for name in peers:
                yield Result(
                    f"first verify, {algorithm}: {name}",
                    taken.over(name, PYJWT),
                    "x PyJWT decode",
                    None,
                    detail=f"{micro(taken[name])} over {micro(taken[PYJWT])}; {beside}",
                )


def cached_verify(rounds: int) -> Iterator[Result]:
    """Compare a token that was verified before: none of the others keeps what it found out."""
    by = signer("RS256")
    token, for_clasp = by.token(), by.token(audience=None)
    with running() as upstream:
        calls = {"tokenward": _call(pinned_verifier(by).verify, token)}
        calls[PYJWT] = _call(pyjwt_decode(by), token)
        for name, ask in _peers(by, upstream, token).items():
            calls[name] = _call(ask, for_clasp if name.startswith(CLASP) else token)
        taken = interleaved(calls, number=50, rounds=rounds, clock=time.thread_time)
    for name in calls:
        if name != "tokenward":
            yield Result(
                f"cached verify, a signed token: {name}",
                taken.over(name, "tokenward"),
                "x tokenward",
                None,
                detail=f"{micro(taken[name])} over {micro(taken['tokenward'])}, RS256",
            )


def imports(rounds: int) -> Iterator[Result]:
    """Compare what it takes to have them."""
    needs = {
        "tokenward": "from tokenward import JWKSVerifier",
        JWK_CLIENT: "from jwt import PyJWKClient",
        JOSERFC: "from joserfc import jwt, jwk",
        AUTH_JWKS: "from auth_jwks import JWKS",
        CLASP: "import clasp",
    }
    net = imported(needs, rounds=rounds)
    for name, statement in needs.items():
        if name != "tokenward":
            yield Result(
                f"{statement}: {name}",
                net.over(name, "tokenward"),
                "x from tokenward import JWKSVerifier",
                None,
                detail=f"{net[name] * 1e3:.0f} ms over {net['tokenward'] * 1e3:.0f} ms",
            )


def long_token(rounds: int) -> Iterator[Result]:
    """Compare a long token with a short one."""
    by = signer("RS256")
    short, long = by.token(), by.token(characters=LONG_CHARACTERS)
    for name, ask in ((PYJWT, pyjwt_decode(by)), (JOSERFC, joserfc(by))):
        taken = interleaved(
            {"short": _call(ask, short), "long": _call(ask, long)},
            number=50,
            rounds=rounds,
            clock=time.thread_time,
        )
        yield Result(
            f"5 kB token, RS256: {name}",
            taken.over("long", "short"),
            "x a 0.8 kB token",
            None,
            detail=f"{micro(taken['long'])} over {micro(taken['short'])}",
        )


def unknown_kids(_rounds: int) -> Iterator[Result]:
    """Count the fetches; the keys were fetched just before."""
    # Whoever logs each of them would do so here.
    logging.disable()
    by = signer("RS256")
    with running() as upstream:
        peers: dict[str, tuple[Ask, str | None]] = {
            AUTH_JWKS: (in_a_kept_loop(auth_jwks(by, upstream)), AUDIENCE),
            JWK_CLIENT: (jwk_client(by, upstream), AUDIENCE),
            CLASP: (clasp_client(by, upstream), None),
        }
        for name, (ask, audience) in peers.items():
            ask(by.token(audience=audience))
            before, refused = upstream.calls(), set()
            for n in range(TOKENS):
                refused.add(_refusal(ask, by.token(audience=audience, kid=f"key-{n}")))
            yield Result(
                f"{TOKENS} unknown kids: {name}",
                upstream.calls() - before,
                "fetches",
                None,
                detail=f"each token ended in {' or '.join(sorted(refused))}",
            )


def _peers(by: Signer, upstream: Upstream, token: str) -> dict[str, Ask]:
    peers = {
        JOSERFC: joserfc(by),
        JWK_CLIENT: jwk_client(by, upstream),
        f"{CLASP}, no aud, iss or nbf": clasp_key(by),
    }
    if by.algorithm in AUTH_JWKS_ALGORITHMS:
        service = fetched(auth_jwks(by, upstream), token)
        peers[f"{AUTH_JWKS}, its coroutine stepped by hand"] = by_hand(service)
        peers[f"{AUTH_JWKS}, in a loop that is kept"] = in_a_kept_loop(auth_jwks(by, upstream))
    return peers


def _call(ask: Ask, token: str) -> Callable[[], object]:
    return lambda: ask(token)


def _refusal(ask: Ask, token: str) -> str:
    # What becomes of it is part of what is compared.
    try:
        ask(token)
    except Exception as error:  # noqa: BLE001 - whatever a peer raises
        return type(error).__name__
    return "an answer"


ROWS = {
    "first_verify": first_verify,
    "cached_verify": cached_verify,
    "imports": imports,
    "long_token": long_token,
    "unknown_kids": unknown_kids,
}


def main() -> None:
    """Measure one row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    # joserfc warns that EdDSA has another name since RFC 9864; these tokens have the old one.
    warnings.simplefilter("ignore")
    for result in ROWS[options.row](options.rounds):
        tell(result)


if __name__ == "__main__":
    main()
