"""The commands that only this command line has; the others are `tokenward.commands.line.actions`.

The docstring of an action is its help.
"""

from __future__ import annotations

import logging
from argparse import Namespace
from typing import TYPE_CHECKING

from tokenward._http import RequestsTransport
from tokenward.commands import demo as demos
from tokenward.commands.doctor import is_lasting, of_clock
from tokenward.commands.line.ending import DONE, REFUSED, UNAVAILABLE
from tokenward.commands.published import Place, look_at
from tokenward.commands.witness import Witness
from tokenward.errors import AuthServiceUnavailable, ConfigurationError
from tokenward.metadata import MAX_DOCUMENT_BYTES

if TYPE_CHECKING:
    from tokenward.commands.homes import Home
    from tokenward.commands.line.terminal import Terminal


_TIMEOUT = 5.0
"""Seconds for each document that a command fetches."""

_SHOWN_KEYS = 200
"""More than are used of one set."""


def demo(arguments: Namespace, terminal: Terminal, _home: Home) -> int:
    """Run the example applications on this machine."""
    # Its two people are nobody's business.
    logging.getLogger("tokenward.audit").setLevel(logging.WARNING)
    passed = demos.run(terminal, check=arguments.check, folder=arguments.folder)
    return DONE if passed else REFUSED


def jwks(arguments: Namespace, terminal: Terminal, _home: Home) -> int:
    """Show the keys at a URL, or those of an issuer, and which of them are used."""
    witness = Witness(RequestsTransport(max_response_bytes=MAX_DOCUMENT_BYTES))
    try:
        place = look_at(arguments.url, witness, timeout=_TIMEOUT)
    except AuthServiceUnavailable as error:
        lasting = is_lasting(error, witness)
        why = error.hint or error.description
        terminal.note(f"tokenward: {why} [{error.reason}]")
        return REFUSED if lasting else UNAVAILABLE
    finally:
        witness.close()
    _say_keys(place, terminal)
    for finding in of_clock(witness, "clock"):
        if finding.level != "ok":
            terminal.say(f"{'clock':8} {finding.text}")
    exposed = place.key_set.exposed
    if exposed:
        terminal.note(
            f"tokenward: {len(exposed)} of these keys must be replaced at once: what is secret of"
            " them is published"
        )
    if not place.key_set.used:
        terminal.note("tokenward: none of these keys verifies a token")
    return REFUSED if exposed or not place.key_set.used else DONE


def _say_keys(place: Place, terminal: Terminal) -> None:
    described = ""
    if place.metadata is not None:
        described = f": {place.metadata.issuer}, described at {_cut(place.found_at)}"
    terminal.say(f"taken for {place.taken_for}{described}")
    terminal.say(f"keys at {_cut(place.key_set.url)}")
    for key in place.key_set.keys[:_SHOWN_KEYS]:
        state = key.state.upper() if key.state == "exposed" else key.state
        name = "no kid" if key.kid is None else f"kid {key.kid}"
        terminal.say(f"{state:8} keys[{key.position}] {name}: {key.text}")
    more = len(place.key_set.keys) - _SHOWN_KEYS
    if more > 0:
        terminal.say(f"{'…':8} {more} more entries")
    terminal.say(f"{'kept':8} {place.key_set.kept}")


def _cut(url: str) -> str:
    # A query may hold a key.
    return url.partition("?")[0]


def serve(arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Run the auth service."""
    try:
        from tokenward.cli import serve as server  # noqa: PLC0415 - waitress is an extra
    except ModuleNotFoundError as error:
        if error.name != "waitress":
            raise
        raise ConfigurationError(
            "`tokenward serve` needs waitress; run: pip install 'tokenward[serve]'"
        ) from None
    settings = home.settings()
    server.serve(settings, bind=arguments.bind, threads=arguments.threads, output=terminal)
    return DONE
