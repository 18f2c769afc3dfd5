"""Each command: arguments to a function of `tokenward.commands`, what it returns to lines.

The docstring of an action is its help.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from tokenward._log import shown
from tokenward.cli.terminal import Terminal
from tokenward.commands import demo as demos
from tokenward.commands import doctor as doctors
from tokenward.commands import explain, setup, store, tokens, users
from tokenward.errors import AuthError, AuthServiceUnavailable, ConfigurationError
from tokenward.passwords import DEFAULT_COST
from tokenward.passwords import hash_password as hash_of

if TYPE_CHECKING:
    from tokenward.config import Settings
    from tokenward.principal import Principal

Action = Callable[[Namespace, Terminal], int]
"""Does what the arguments ask for; returns the exit status."""

DONE, REFUSED, USAGE, UNAVAILABLE = range(4)


def demo(arguments: Namespace, terminal: Terminal) -> int:
    """Run the example applications on this machine."""
    passed = demos.run(terminal, check=arguments.check, folder=arguments.folder)
    return DONE if passed else REFUSED


def serve(arguments: Namespace, terminal: Terminal) -> int:
    """Run the auth service."""
    try:
        from tokenward.cli import serve as server  # noqa: PLC0415 - waitress is an extra
    except ModuleNotFoundError as error:
        if error.name != "waitress":
            raise
        raise ConfigurationError(
            "`tokenward serve` needs waitress; run: pip install 'tokenward[serve]'"
        ) from None
    settings = _settings(arguments)
    server.serve(settings, bind=arguments.bind, threads=arguments.threads, output=terminal)
    return DONE


def check_config(arguments: Namespace, terminal: Terminal) -> int:
    """Say whether a configuration is right, without reaching for what it names."""
    path = setup.config_file(arguments.config)
    setup.check(setup.load(path))
    terminal.say(f"{path} is right. Whether what it names is there: tokenward doctor")
    return DONE


def doctor(arguments: Namespace, terminal: Terminal) -> int:
    """Reach for everything that a configuration names, and say what to change."""
    try:
        path = setup.config_file(arguments.config)
    except ConfigurationError:
        raise ConfigurationError(doctors.HOW_TO_BEGIN) from None
    failed = outage = False
    for finding in doctors.examine(path):
        terminal.say(f"{finding.level:4} {finding.setting}: {finding.text}")
        if finding.level == "FAIL":
            failed, outage = failed or not finding.outage, outage or finding.outage
    return REFUSED if failed else UNAVAILABLE if outage else DONE


def users_add(arguments: Namespace, terminal: Terminal) -> int:
    """Add a user."""
    settings = _settings(arguments)
    user, added = users.add(
        settings,
        arguments.name,
        email=arguments.email,
        password=terminal.read_password(arguments.password_file),
        roles=arguments.roles,
        if_missing=arguments.if_missing,
    )
    terminal.say(f"{'Added' if added else 'There is already'} {user.username} ({user.id}).")
    return DONE


def users_list(arguments: Namespace, terminal: Terminal) -> int:
    """List the active users: name, e-mail address, roles and id, with tabs between."""
    found, inactive = users.active(_settings(arguments))
    for user in found:
        terminal.say("\t".join((user.username, user.email or "", ",".join(user.roles), user.id)))
    if inactive:
        terminal.note(f"Not active, and not listed: {inactive}")
    return DONE


def users_roles(arguments: Namespace, terminal: Terminal) -> int:
    """Show a user's roles, or replace them and end the user's tokens."""
    settings = _settings(arguments)
    if arguments.none or arguments.roles:
        users.set_roles(settings, arguments.name, [] if arguments.none else arguments.roles)
    for role in users.roles(settings, arguments.name):
        terminal.say(role)
    return DONE


def users_deactivate(arguments: Namespace, terminal: Terminal) -> int:
    """Close a user's account and end their tokens."""
    users.deactivate(_settings(arguments), arguments.name)
    terminal.say(f"Deactivated {arguments.name}; their tokens have ended.")
    return DONE


def users_reactivate(arguments: Namespace, terminal: Terminal) -> int:
    """Open a user's account again."""
    users.reactivate(_settings(arguments), arguments.name)
    terminal.say(f"Reactivated {arguments.name}.")
    return DONE


def users_passwd(arguments: Namespace, terminal: Terminal) -> int:
    """Replace a user's password and end their tokens."""
    settings = _settings(arguments)
    password = terminal.read_password(arguments.password_file)
    users.set_password(settings, arguments.name, password)
    terminal.say(f"Changed the password of {arguments.name}; their tokens have ended.")
    return DONE


def store_init(arguments: Namespace, terminal: Terminal) -> int:
    """Make the store and its first signing keys; what is there stays."""
    if store.init(_settings(arguments)):
        terminal.say("Made the store and its first signing keys.")
    else:
        terminal.say("The store and its keys are there already; nothing was changed.")
    return DONE


def store_cleanup(arguments: Namespace, terminal: Terminal) -> int:
    """Forget revocations of tokens that have expired."""
    terminal.say(f"Forgotten: {store.cleanup(_settings(arguments))}")
    return DONE


def token_issue(arguments: Namespace, terminal: Terminal) -> int:
    """Print an access token for a user."""
    terminal.say(tokens.issue(_settings(arguments), arguments.user, lifetime=arguments.lifetime))
    return DONE


def verify(arguments: Namespace, terminal: Terminal) -> int:
    """Verify the token on standard input."""
    settings = _settings(arguments)
    token = terminal.read_token()
    verdict: Principal | AuthError
    if arguments.explain:
        explanation = explain.explain(settings, token)
        _say_checks(explanation, terminal)
        verdict = explanation.verdict
    else:
        try:
            verdict = explain.verify(settings, token)
        except AuthError as error:
            verdict = error
    if not isinstance(verdict, AuthError):
        terminal.say(f"accepted: {verdict.kind} {shown(verdict.subject)} of {verdict.issuer}")
        return DONE
    undecided = isinstance(verdict, AuthServiceUnavailable)
    why = verdict.hint or verdict.description
    terminal.say(f"{'undecided' if undecided else 'refused'}: {verdict.reason}: {why}")
    return UNAVAILABLE if undecided else REFUSED


def introspect(arguments: Namespace, terminal: Terminal) -> int:
    """Print what the authorization server says about the token on standard input."""
    settings = _settings(arguments)
    terminal.say(json.dumps(tokens.introspect(settings, terminal.read_token()), indent=2))
    return DONE


def hash_password(arguments: Namespace, terminal: Terminal) -> int:
    """Print the hash of a password."""
    password = terminal.read_password(arguments.password_file)
    terminal.say(hash_of(password, cost=arguments.cost or DEFAULT_COST))
    return DONE


def _settings(arguments: Namespace) -> Settings:
    return setup.load(arguments.config)


def _say_checks(explanation: explain.Explanation, terminal: Terminal) -> None:
    terminal.say(f"verified by {explanation.verifier}")
    for check in explanation.checks:
        line = f"{check.outcome:8} {check.name}"
        if check.outcome != "not made":
            expected = f"expected {check.expected}, " if check.expected else ""
            line += f": {expected}got {check.got}"
        terminal.say(line)
