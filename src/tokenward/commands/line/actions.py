"""Each command: arguments to a function of `tokenward.commands`, what it returns to lines.

The docstring of an action is its help.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tokenward._log import shown
from tokenward.commands import copying, explain, keys, setup, store, tokens, users
from tokenward.commands import doctor as doctors
from tokenward.commands.advice import of_presentation
from tokenward.commands.homes import Home
from tokenward.commands.line.ending import DONE, REFUSED, UNAVAILABLE
from tokenward.commands.line.progress import Bar
from tokenward.commands.line.terminal import Terminal
from tokenward.errors import AuthError, AuthServiceUnavailable, ConfigurationError
from tokenward.passwords import DEFAULT_COST
from tokenward.passwords import hash_password as hash_of

if TYPE_CHECKING:
    from tokenward.principal import Principal

Action = Callable[[Namespace, Terminal, Home], int]
"""Does what the arguments ask for; returns the exit status."""


def check_config(_arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Say whether a configuration is right, without reaching for what it names."""
    name = home.name
    setup.check(home.settings())
    terminal.say(f"{name} is right. Whether what it names is there: tokenward doctor")
    return DONE


def doctor(arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Reach for everything that the configuration names, and say what to change."""
    # In a framework's program there is nothing but its configuration to ask about.
    if getattr(arguments, "issuer", None) is not None:
        findings, toml = doctors.examine_issuer(arguments.issuer)
        status = _say_findings(findings, terminal, home)
        if toml:
            terminal.say(f"\nTo take its tokens, write, with the names it knows you by:\n\n{toml}")
        return status
    try:
        _ = home.name
    except ConfigurationError:
        raise ConfigurationError(doctors.HOW_TO_BEGIN) from None
    return _say_findings(doctors.examine(home), terminal, home)


def _say_findings(findings: Iterable[doctors.Finding], terminal: Terminal, home: Home) -> int:
    failed = outage = False
    for finding in findings:
        text = home.in_its_words(finding.text)
        terminal.say(f"{finding.level:4} {finding.setting}: {text}")
        if finding.level == "FAIL":
            failed, outage = failed or not finding.outage, outage or finding.outage
    return REFUSED if failed else UNAVAILABLE if outage else DONE


def users_add(arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Add a user."""
    settings = home.settings()
    user, added = users.add(
        settings,
        arguments.name,
        email=arguments.email,
        password=terminal.read_password(arguments.password_file),
        roles=arguments.roles,
        if_missing=arguments.if_missing,
        people=home.users(settings),
    )
    terminal.say(f"{'Added' if added else 'There is already'} {user.username} ({user.id}).")
    return DONE


def users_list(_arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """List the active users: name, e-mail address, roles and id, with tabs between."""
    settings = home.settings()
    found, inactive = users.active(settings, people=home.users(settings))
    for user in found:
        terminal.say("\t".join((user.username, user.email or "", ",".join(user.roles), user.id)))
    if inactive:
        terminal.note(f"Not active, and not listed: {inactive}")
    return DONE


def users_roles(arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Show a user's roles, or replace them and end the user's tokens."""
    settings = home.settings()
    people = home.users(settings)
    if arguments.none or arguments.roles:
        new = [] if arguments.none else arguments.roles
        users.set_roles(settings, arguments.name, new, people=people)
    for role in users.roles(settings, arguments.name, people=people):
        terminal.say(role)
    return DONE


def users_deactivate(arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Close a user's account and end their tokens."""
    settings = home.settings()
    users.deactivate(settings, arguments.name, people=home.users(settings))
    terminal.say(f"Deactivated {arguments.name}; their tokens have ended.")
    return DONE


def users_reactivate(arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Open a user's account again."""
    settings = home.settings()
    users.reactivate(settings, arguments.name, people=home.users(settings))
    terminal.say(f"Reactivated {arguments.name}.")
    return DONE


def users_passwd(arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Replace a user's password and end their tokens."""
    settings = home.settings()
    password = terminal.read_password(arguments.password_file)
    users.set_password(settings, arguments.name, password, people=home.users(settings))
    terminal.say(f"Changed the password of {arguments.name}; their tokens have ended.")
    return DONE


def keys_list(_arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """List the signing keys: id, algorithm, state and since when, with tabs between."""
    for key in keys.listed(home.settings()):
        terminal.say(f"{key.kid}\t{key.algorithm}\t{key.state}\t{key.since.isoformat()}")
    return DONE


def keys_rotate(arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Have the next key sign, and publish a new next one."""
    settings = home.settings()
    force, compromised = arguments.force, arguments.compromised
    kid = keys.rotate(settings, force=force, compromised=compromised)
    terminal.say(f"Signs now: {kid}")
    return DONE


def keys_prune(_arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Remove retired keys whose last token has expired."""
    terminal.say(f"Removed: {keys.prune(home.settings())}")
    return DONE


def store_init(_arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Make the store and its first signing keys; what is there stays."""
    if store.init(home.settings()):
        terminal.say("Made the store and its first signing keys.")
    else:
        terminal.say("The store and its keys are there already; nothing was changed.")
    return DONE


def store_cleanup(_arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Forget what has expired: revocations, sessions, one-time tokens, counters."""
    terminal.say(f"Forgotten: {store.cleanup(home.settings())}")
    return DONE


def store_backup(arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Write a copy of the store to a new file, while the service goes on."""
    store.backup(home.settings(), arguments.file)
    terminal.say(f"Wrote {arguments.file}; its owner alone can read it.")
    return DONE


def store_copy(arguments: Namespace, terminal: Terminal, _home: Home) -> int:
    """Copy a whole store into an empty one; interrupted, the same line goes on."""
    with Bar(terminal) as bar:
        compared = copying.copy(arguments.source, arguments.target, on_progress=bar.show)
    for one in compared:
        word = "equal " if one.equal else "DIFFER"
        counts = f"copied {one.copied}, at FROM {one.source}, at TO {one.target}"
        terminal.say(f"{word} {one.kind}: {counts}, digest {one.digest}")
    if all(one.equal for one in compared):
        return DONE
    terminal.note(
        "The two stores are not equal: something wrote to one of them. TO is no copy. Stop every"
        " service on FROM, remove TO, and start again."
    )
    return REFUSED


def token_issue(arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Print an access token for a user."""
    terminal.say(tokens.issue(home.settings(), arguments.user, lifetime=arguments.lifetime))
    return DONE


def verify(arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Verify the token on standard input."""
    settings = home.settings()
    token = terminal.read_token()
    verdict: Principal | AuthError
    advice = ""
    if arguments.explain:
        explanation = explain.explain(settings, token)
        _say_checks(explanation, terminal)
        verdict, advice = explanation.verdict, explanation.advice
    else:
        try:
            verdict = explain.verify(settings, token)
        except AuthError as error:
            verdict, advice = error, of_presentation(token)
    if not isinstance(verdict, AuthError):
        terminal.say(f"accepted: {verdict.kind} {shown(verdict.subject)} of {verdict.issuer}")
        return DONE
    undecided = isinstance(verdict, AuthServiceUnavailable)
    why = "; ".join(filter(None, (verdict.hint or verdict.description, advice)))
    terminal.say(f"{'undecided' if undecided else 'refused'}: {verdict.reason}: {why}")
    return UNAVAILABLE if undecided else REFUSED


def introspect(_arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Print what the authorization server says about the token on standard input."""
    settings = home.settings()
    terminal.say(json.dumps(tokens.introspect(settings, terminal.read_token()), indent=2))
    return DONE


def hash_password(arguments: Namespace, terminal: Terminal, _home: Home) -> int:
    """Print the hash of a password."""
    password = terminal.read_password(arguments.password_file)
    terminal.say(hash_of(password, cost=arguments.cost or DEFAULT_COST))
    return DONE


def _say_checks(explanation: explain.Explanation, terminal: Terminal) -> None:
    terminal.say(f"verified by {explanation.verifier}")
    for check in explanation.checks:
        line = f"{check.outcome:8} {check.name}"
        if check.outcome != "not made":
            expected = f"expected {check.expected}, " if check.expected else ""
            line += f": {expected}got {check.got}"
        terminal.say(line)
