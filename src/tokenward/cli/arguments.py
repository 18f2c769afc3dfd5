"""The arguments of ``tokenward``: those of every program, ``--config``, and what it alone does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tokenward.cli import actions
from tokenward.commands.line import arguments
from tokenward.commands.line.actions import check_config, doctor
from tokenward.commands.line.arguments import (
    EXIT,
    EXIT_OF_CHECKS,
    Parser,
    command,
    members,
    positive,
)

DEFAULT_BIND = "127.0.0.1:8000"
DEFAULT_THREADS = 64
"""Most may wait for a hash while the rest go on answering: a crowd at the login is no 503."""


_CONFIG_HELP = "TOML; default: $TOKENWARD_CONFIG"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments, with the function that does what they ask for as ``run``."""
    parsed: argparse.Namespace = _parser().parse_args(argv)
    return parsed


def _parser() -> Parser:
    parser = Parser(prog="tokenward", description="Bearer tokens: verified, issued.", epilog=EXIT)
    commands = members(parser)

    demo = command(commands, "demo", actions.demo)
    demo.add_argument("--check", action="store_true", help="make the round trip at once, and exit")
    demo.add_argument(
        "--folder", type=Path, metavar="DIR", help="where to keep its files (default: .demo)"
    )

    serve = command(commands, "serve", actions.serve)
    _config(serve)
    serve.add_argument(
        "--bind",
        type=_address,
        default=DEFAULT_BIND,
        metavar="HOST:PORT",
        help="where to listen; port 0: any free one (default: %(default)s)",
    )
    serve.add_argument(
        "--threads",
        type=positive,
        default=DEFAULT_THREADS,
        metavar="N",
        help="requests answered at a time (default: %(default)s)",
    )

    check = command(commands, "check-config", check_config).add_mutually_exclusive_group()
    _config(check)
    check.add_argument(
        "config",
        nargs="?",
        # Left out, it takes nothing away from the option.
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="the same, without the option's name",
    )

    examine = command(commands, "doctor", doctor, exits=EXIT_OF_CHECKS)
    asked = examine.add_mutually_exclusive_group()
    _config(asked)
    asked.add_argument(
        "issuer",
        nargs="?",
        metavar="ISSUER",
        help="an authorization server that is not configured yet, by its https URL",
    )

    jwks = command(commands, "jwks", actions.jwks)
    jwks.add_argument(
        "url",
        metavar="URL",
        help="of a JWK Set, of an issuer, or of an issuer's metadata; by https",
    )
    arguments.groups(commands, configured=_config)
    return parser


def _config(parser: argparse.ArgumentParser | argparse._MutuallyExclusiveGroup) -> None:
    parser.add_argument("--config", metavar="FILE", help=_CONFIG_HELP)


def _address(argument: str) -> tuple[str, int]:
    host, colon, port = argument.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise argparse.ArgumentTypeError("write HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000")
    return host, int(port)
