"""The arguments of the commands that every program has."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, NoReturn

from tokenward.commands.line import actions

EXIT = "exit status: 0 done, 1 refused, 2 usage or configuration, 3 unavailable"
EXIT_OF_CHECKS = (
    "exit status: 0 nothing failed; 1 something is wrong, perhaps the configuration itself; "
    "2 usage, or no configuration is named; 3 something cannot be reached right now"
)
"""Of what reaches for everything that is configured: a wrong configuration is what it finds."""

Configured = Callable[[argparse.ArgumentParser], object]
"""Adds to a command what the program needs to find the configuration, if it needs anything."""

_INVALID_CHOICE = re.compile(r"invalid choice: .* \((?=choose from)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """Repeats nothing that may be a secret: neither a value nor an argument too many."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what is not known here, where it is: in the command, not in the program."""
        parsed, rest = super().parse_known_args(args, namespace)
        if rest:
            options = sorted({a.partition("=")[0] for a in rest if a.startswith("--")})
            self.error(f"unrecognized arguments {' '.join(options)}".rstrip())
        return parsed, rest

    def error(self, message: str) -> NoReturn:
        """End with the usage, and what is wrong about the arguments."""
        message = _INVALID_CHOICE.sub("no such command (", message)
        hint = " (passwords are asked for, or read from --password-file)"
        super().error(message + (hint if "--password" in message.split() else ""))


def users(commands: Any, *, configured: Configured) -> None:
    """Add what can be done with the people in the store."""
    add = command(commands, "add", actions.users_add)
    add.add_argument("name", metavar="NAME")
    add.add_argument("--email", required=True, metavar="EMAIL")
    add.add_argument("--role", action="append", default=[], dest="roles", metavar="ROLE")
    add.add_argument(
        "--if-missing", action="store_true", help="done, too, when there is a user of this name"
    )
    _password_file(add)
    configured(add)

    configured(command(commands, "list", actions.users_list))

    roles = command(commands, "roles", actions.users_roles)
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
    configured(roles)

    for name, run in (
        ("deactivate", actions.users_deactivate),
        ("reactivate", actions.users_reactivate),
    ):
        change = command(commands, name, run)
        change.add_argument("name", metavar="NAME")
        configured(change)

    passwd = command(commands, "passwd", actions.users_passwd)
    passwd.add_argument("name", metavar="NAME")
    _password_file(passwd)
    configured(passwd)


def keys(commands: Any, *, configured: Configured) -> None:
    """Add what can be done with the signing keys."""
    configured(command(commands, "list", actions.keys_list))

    rotate = command(commands, "rotate", actions.keys_rotate)
    how = rotate.add_mutually_exclusive_group()
    how.add_argument(
        "--force", action="store_true", help="although the next key was published just now"
    )
    how.add_argument(
        "--compromised",
        action="store_true",
        help="somebody else has the current key: publish it no more, end the tokens it signed",
    )
    configured(rotate)

    configured(command(commands, "prune", actions.keys_prune))


def store(commands: Any, *, configured: Configured) -> None:
    """Add what makes the store, and carries it elsewhere."""
    configured(command(commands, "init", actions.store_init))

    backup = command(commands, "backup", actions.store_backup)
    backup.add_argument("file", metavar="FILE", help="one that is not there yet")
    configured(backup)

    copy = command(commands, "copy", actions.store_copy, usage="%(prog)s [-h] FROM TO")
    for name, metavar, text in (
        ("source", "FROM", "the URL of a store that nothing writes to meanwhile, or env:NAME"),
        ("target", "TO", "the URL of a store that holds nothing else, or env:NAME"),
    ):
        copy.add_argument(name, metavar=metavar, help=text)
    configured(copy)


def store_cleanup(commands: Any, *, configured: Configured) -> None:
    """Add the command that cleans the store up."""
    configured(command(commands, "cleanup", actions.store_cleanup))


def groups(commands: Any, *, configured: Configured) -> None:
    """Add what is about users, keys and the store, each as a group, and what is about tokens."""
    users(group(commands, "users", "the people in the store"), configured=configured)
    keys(group(commands, "keys", "the keys that sign tokens"), configured=configured)

    of_store = group(commands, "store", "where users, sessions and signing keys are kept")
    store(of_store, configured=configured)
    store_cleanup(of_store, configured=configured)

    token = group(commands, "token", "access tokens")
    issue = command(token, "issue", actions.token_issue)
    issue.add_argument("--user", required=True, metavar="NAME")
    issue.add_argument("--lifetime", type=positive, metavar="SECONDS")
    configured(issue)

    verify = command(commands, "verify", actions.verify, usage="%(prog)s - [options]")
    _token(verify)
    verify.add_argument("--explain", action="store_true", help="a line for each check")
    configured(verify)

    introspect = command(commands, "introspect", actions.introspect, usage="%(prog)s - [options]")
    _token(introspect)
    configured(introspect)

    hashing = command(commands, "hash-password", actions.hash_password)
    hashing.add_argument("--cost", type=positive, metavar="N", help="bcrypt's cost (default: 12)")
    _password_file(hashing)


def group(commands: Any, name: str, text: str) -> Any:
    """Add a group of commands; return what they are added to."""
    parser = commands.add_parser(
        name, help=text, description=f"{text[:1].upper()}{text[1:]}.", epilog=EXIT
    )
    return members(parser)


def members(parser: argparse.ArgumentParser, **options: Any) -> Any:
    """Return what commands are added to, one of which has to be named."""
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True, **options)


def command(
    commands: Any, name: str, run: actions.Action, *, exits: str = EXIT, **options: Any
) -> argparse.ArgumentParser:
    """Add a command; the first line of what does it is its help.

    Args:
        commands: What it is added to.
        name: What is typed.
        run: Does it.
        exits: What its exit statuses mean.
        **options: Of its parser.
    """
    text = run.__doc__ or ""
    brief = text[:1].lower() + text[1:].rstrip(".")
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=brief, description=text, epilog=exits, **options
    )
    parser.set_defaults(run=run)
    return parser


def positive(argument: str) -> int:
    """Read a whole number of 1 or more."""
    if not argument.isdecimal() or not 1 <= int(argument) <= 2**31:
        raise argparse.ArgumentTypeError("write a whole number of 1 or more")
    return int(argument)


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
