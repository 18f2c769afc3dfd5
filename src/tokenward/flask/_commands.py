"""``flask tokenward …``: the commands of ``tokenward …`` over ``app.config["TOKENWARD"]``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import click
from flask import current_app
from flask.cli import FlaskGroup, with_appcontext
from werkzeug.routing import BuildError

from tokenward._log import shown
from tokenward.authenticator import in_force
from tokenward.commands.homes import MappingHome
from tokenward.errors import ConfigurationError
from tokenward.flask._guard import REQUIREMENT
from tokenward.flask._state import EXTENSION, AppState

if TYPE_CHECKING:
    from argparse import Namespace

    from flask import Flask

    from tokenward.authenticator import Requirement
    from tokenward.commands.homes import Home
    from tokenward.commands.line.terminal import Terminal

CONFIG_KEY = "TOKENWARD"

_HELP = "Check the configuration, look after users, keys and the store."


# The arguments are defined once, for every program: click hands them on as they are.
@click.command(
    "tokenward",
    help=_HELP,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@with_appcontext
def tokenward_command(arguments: tuple[str, ...]) -> None:
    """Run one of the commands."""
    # What a request never needs.
    from tokenward.commands.line.arguments import (  # noqa: PLC0415
        EXIT,
        EXIT_OF_CHECKS,
        Parser,
        command,
        groups,
        members,
    )
    from tokenward.commands.line.ending import perform  # noqa: PLC0415
    from tokenward.commands.line.terminal import Terminal  # noqa: PLC0415

    context = click.get_current_context()
    parser = Parser(prog=context.command_path, description=_HELP, epilog=EXIT)
    commands = members(parser)
    command(commands, "check", _check, exits=EXIT_OF_CHECKS)
    groups(commands, configured=lambda _parser: None)
    parsed = parser.parse_args(arguments)
    terminal = Terminal()
    ending = perform(parsed, terminal, home_of(current_app))
    if ending.sentence:
        terminal.note(f"{context.command_path}: {ending.sentence}")
    context.exit(ending.status)


def _check(arguments: Namespace, terminal: Terminal, home: Home) -> int:
    """Reach for everything that the configuration names, and say what to change."""
    from tokenward.commands.line.actions import doctor  # noqa: PLC0415 - as above
    from tokenward.commands.line.ending import REFUSED  # noqa: PLC0415 - as above

    status = doctor(arguments, terminal, home)
    unanswered = list(_asking_nobody(current_app))
    for endpoint in unanswered:
        advice = (
            "it asks the issuer about every token (live=True), and a configured verifier has no"
            " issuer to ask; take live away, or have every credential ask: an entry of type jwks"
            " takes 'live', one of type introspection asks by itself"
        )
        terminal.say(f"FAIL view {endpoint}: {advice}")
    missing = _missing_page(current_app)
    if missing is not None:
        terminal.say(
            f"FAIL pages.login_view: no URL can be built for {shown(missing)}, so that browsers"
            " that have to sign in get a 401 instead of the way there; write the name of the"
            " sign-in page's endpoint, which takes no arguments"
        )
    return REFUSED if unanswered or missing is not None else status


def _missing_page(app: Flask) -> str | None:
    """Return the ``login_view`` if no URL can be built for it."""
    state = app.extensions.get(EXTENSION)
    sign_in = state.sign_in if isinstance(state, AppState) else None
    view = None if sign_in is None else sign_in.login_view
    if view is not None:
        try:
            with app.test_request_context():
                app.url_for(view, next="/")
        except BuildError:
            return view
    return None


def _asking_nobody(app: Flask) -> Iterator[str]:
    """Yield the endpoints whose views want a live decision that no verifier can make."""
    state = app.extensions.get(EXTENSION)
    # What could not be built is said already.
    if not isinstance(state, AppState) or in_force(state.authenticator).serves_live:
        return
    for endpoint, view in app.view_functions.items():
        if any(demand.live for demand in _demands(view)):
            yield endpoint


def _demands(view: Any) -> Iterator[Requirement]:
    made: Any = getattr(view, "view_class", None)
    methods = () if made is None else (getattr(made, m.lower(), None) for m in made.methods or ())
    for function in (view, *methods):
        while function is not None:
            # A decorator hides what those below it say.
            if REQUIREMENT in getattr(function, "__dict__", ()):
                yield getattr(function, REQUIREMENT)
            function = getattr(function, "__wrapped__", None)  # noqa: PLW2901 - the next one


def home_of(app: Flask) -> MappingHome:
    """Return where the configuration of ``app`` is written."""
    name = f'app.config["{CONFIG_KEY}"]'
    return MappingHome(name, app.config.get(CONFIG_KEY), "flask tokenward store init")


def only_commands_are_wanted() -> bool:
    """Tell whether the ``flask`` program loads the application to see which commands it has.

    It does before it runs one of them; for ``flask run`` and its other own commands it does not.
    """
    context = click.get_current_context(silent=True)
    return context is not None and isinstance(context.command, FlaskGroup)


class Unbuilt:
    """Stands for what an application would have if its configuration were right.

    ``flask tokenward store init`` makes what is missing and ``flask tokenward check`` says what is
    wrong, so that the application must come up for them. Whatever else asks is told the reason.

    Args:
        why: The reason.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, _name: str) -> NoReturn:
        raise ConfigurationError(self._why)
