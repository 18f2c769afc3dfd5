"""The arguments of every command."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tokenward.cli import actions

DEFAULT_BIND = "127.0.0.1:8000"
DEFAULT_THREADS = 64
"""Most may wait for a hash while the rest go on answering: a crowd at the login is no 503."""

_INVALID_CHOICE = re.compile(r"invalid choice: .* \((?=choose from)", re.DOTALL)
_EXIT = "exit status: 0 done, 1 refused, 2 usage or configuration, 3 unavailable"


class _Parser(argparse.ArgumentParser):
    """Repeats nothing that may be a secret: neither a value nor an argument too many."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, rest = self.parse_known_args(args, namespace)
        if rest:
            options = sorted({a.partition("=")[0] for a in rest if a.startswith("--")})
            self.error(f"unrecognized arguments {' '.join(options)}".rstrip())
        return parsed

    def error(self, message: str) -> NoReturn:
        message = _INVALID_CHOICE.sub("no such command (", message)
        hint = " (passwords are asked for, or read from --password-file)"
        super().error(message + (hint if "--password" in message.split() else ""))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments, with the function that does what they ask for as ``run``."""
    arguments: argparse.Namespace = _parser().parse_args(argv)
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tokenward", description="Bearer tokens: verified, issued.", epilog=_EXIT)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = _command(commands, "demo", actions.demo)
    demo.add_argument("--check", action="store_true", help="make the round trip at once, and exit")
    demo.add_argument(
        "--folder", type=Path, metavar="DIR", help="where to keep its files (default: .demo)"
    )

    serve = _command(commands, "serve", actions.serve)
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
        type=_positive,
        default=DEFAULT_THREADS,
        metavar="N",
        help="requests answered at a time (default: %(default)s)",
    )

    check = _command(commands, "check-config", actions.check_config)
    check.add_argument("config", nargs="?", metavar="FILE", help="default: $TOKENWARD_CONFIG")

    _config(_command(commands, "doctor", actions.doctor))
    _users(commands)
    _store(commands)
    _tokens(commands)
    return parser


def _users(commands: Any) -> None:
    users = _group(commands, "users", "the people in the store")

    add = _command(users, "add", actions.users_add)
    add.add_argument("name", metavar="NAME")
    add.add_argument("--email", required=True, metavar="EMAIL")
    add.add_argument("--role", action="append", default=[], dest="roles", metavar="ROLE")
    add.add_argument(
        "--if-missing", action="store_true", help="done, too, when there is a user of this name"
    )
    _password_file(add)
    _config(add)

    _config(_command(users, "list", actions.users_list))

    roles = _command(users, "roles", actions.users_roles)
    roles.add_argument("name", metavar="NAME")
    which = roles.add_mutually_exclusive_group()
    which.add_argument(
        "--role",
        action="append",
        dest="roles",
        metavar="ROLE",
        help="one of the new roles; without any the roles are shown",
    )
    which.add_argument("--none", action="store_true", help="take every role away")
    _config(roles)

    for name, run in (
        ("deactivate", actions.users_deactivate),
        ("reactivate", actions.users_reactivate),
    ):
        change = _command(users, name, run)
        change.add_argument("name", metavar="NAME")
        _config(change)

    passwd = _command(users, "passwd", actions.users_passwd)
    passwd.add_argument("name", metavar="NAME")
    _password_file(passwd)
    _config(passwd)


def _store(commands: Any) -> None:
    store = _group(commands, "store", "where users, revocations and signing keys are kept")
    _config(_command(store, "init", actions.store_init))
    _config(_command(store, "cleanup", actions.store_cleanup))


def _tokens(commands: Any) -> None:
    token = _group(commands, "token", "access tokens")
    issue = _command(token, "issue", actions.token_issue)
    issue.add_argument("--user", required=True, metavar="NAME")
    issue.add_argument("--lifetime", type=_positive, metavar="SECONDS")
    _config(issue)

    usage = "%(prog)s - [--config FILE] [--explain]"
    verify = _command(commands, "verify", actions.verify, usage=usage)
    _token(verify)
    verify.add_argument("--explain", action="store_true", help="a line for each check")
    _config(verify)

    usage = "%(prog)s - [--config FILE]"
    introspect = _command(commands, "introspect", actions.introspect, usage=usage)
    _token(introspect)
    _config(introspect)

    hashing = _command(commands, "hash-password", actions.hash_password)
    hashing.add_argument("--cost", type=_positive, metavar="N", help="bcrypt's cost (default: 12)")
    _password_file(hashing)


def _group(commands: Any, name: str, text: str) -> Any:
    group = commands.add_parser(
        name, help=text, description=f"{text[:1].upper()}{text[1:]}.", epilog=_EXIT
    )
    return group.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _command(
    commands: Any, name: str, run: actions.Action, **options: Any
) -> argparse.ArgumentParser:
    text = run.__doc__ or ""
    brief = text[:1].lower() + text[1:].rstrip(".")
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=brief, description=text, epilog=_EXIT, **options
    )
    parser.set_defaults(run=run)
    return parser


def _config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="TOML; default: $TOKENWARD_CONFIG")


def _password_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="- for standard input; left out, the password is asked for",
    )


def _token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("token", nargs="+", type=_stdin, metavar="-", help="standard input")


def _stdin(argument: str) -> str:
    if argument != "-":
        raise argparse.ArgumentTypeError(
            "a token on the command line is there for every process to see, and stays in the "
            "shell's history; write - and send the token to standard input"
        )
    return argument


def _address(argument: str) -> tuple[str, int]:
    host, colon, port = argument.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise argparse.ArgumentTypeError("write HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000")
    return host, int(port)


def _positive(argument: str) -> int:
    if not argument.isdecimal() or not 1 <= int(argument) <= 2**31:
        raise argparse.ArgumentTypeError("write a whole number of 1 or more")
    return int(argument)
