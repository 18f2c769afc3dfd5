"""What ``manage.py check`` says about a project; ``docs/adapters/django-checks.md`` explains each.

No server is asked and no store opened: that is ``manage.py tokenward_check``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.conf import settings as project
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - its name
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch
from django.utils.module_loading import import_string

from tokenward.authenticator import in_force
from tokenward.commands.setup import check as built
from tokenward.config.settings import DjangoSection
from tokenward.django._state import SETTING, home
from tokenward.django.checks.deployment import check_deployment
from tokenward.django.checks.listed import index_in, position
from tokenward.django.checks.views import declared_views
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.config import Settings

TAG = "tokenward"

OUR_MIDDLEWARE = "tokenward.django.middleware.TokenwardMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
PASSWORD_BACKEND = "tokenward.django.backends.PasswordBackend"  # noqa: S105 - a name
REST_AUTHENTICATION = "tokenward.django.drf.TokenwardAuthentication"
PASSWORD_HASHER = "tokenward.django.hashers.TokenwardPasswordHasher"  # noqa: S105 - a name


def register_checks() -> None:
    """Have Django run the checks."""
    for check in (check_settings, check_middleware, check_backends, check_views):
        register(check, TAG)
    register(check_deployment, TAG, Tags.security, deploy=True)


def check_settings(**_kwargs: object) -> list[CheckMessage]:
    """Check ``settings.TOKENWARD`` and what it names in the project."""
    here = home()
    try:
        settings = here.settings()
        built(settings)
    except ConfigurationError as error:
        if here.mapping is None:
            hint = f'Write {SETTING} = {{"credentials": […]}}, or leave out the app that needs it.'
            return [Error(f"{here.name} is missing.", hint=hint, id="tokenward.E001")]
        text = f"{here.name} is wrong: {error}"
        hint = "Mend what the message names; then `manage.py tokenward_check` reaches for it all."
        return [Error(text, hint=hint, id="tokenward.E001")]
    section = settings.django or DjangoSection()
    found: list[CheckMessage] = []
    if section.on_user is not None:
        found += _check_on_user(section.on_user)
    if settings.pages is not None and settings.pages.login_view is not None:
        found += _check_login_view(settings.pages.login_view)
    if section.service_users == "model" and index_in("PASSWORD_HASHERS", PASSWORD_HASHER) is None:
        found.append(
            Warning(
                "The auth service keeps its users in the project's user model, and Django does "
                "not know the service's password hashes: what one has hashed, the other refuses.",
                hint=f'Put "{PASSWORD_HASHER}" first in PASSWORD_HASHERS.',
                id="tokenward.W001",
            )
        )
    return found


def check_middleware(**_kwargs: object) -> list[CheckMessage]:
    """Check that the middleware is there, and where."""
    found: list[CheckMessage] = []
    ours = index_in("MIDDLEWARE", OUR_MIDDLEWARE)
    sessions = index_in("MIDDLEWARE", SESSIONS)
    if ours is None and _rest_framework_uses_us():
        found.append(
            Error(
                "Django REST framework authenticates by tokens, and TokenwardMiddleware, which "
                "answers what is refused, is not installed.",
                hint=f'Add "{OUR_MIDDLEWARE}" at the end of MIDDLEWARE.',
                id="tokenward.E008",
            )
        )
    elif ours is None:
        found.append(
            Error(
                "TokenwardMiddleware is not installed, so that requests have no principal.",
                hint=f'Add "{OUR_MIDDLEWARE}" at the end of MIDDLEWARE.',
                id="tokenward.E002",
            )
        )
    elif sessions is not None and ours < sessions and _uses_sessions():
        found.append(
            Error(
                "TokenwardMiddleware stands before SessionMiddleware: whoever asks for the user "
                "in between finds nobody signed in, and so does the rest of the request.",
                hint=f'Move "{OUR_MIDDLEWARE}" behind "{SESSIONS}" in MIDDLEWARE.',
                id="tokenward.E003",
            )
        )
    return found


def check_backends(**_kwargs: object) -> list[CheckMessage]:
    """Check that passwords can be checked, and that whoever signs in can stay so."""
    settings = _parsed()
    if settings is None or index_in("AUTHENTICATION_BACKENDS", PASSWORD_BACKEND) is None:
        return []
    section = settings.django or DjangoSection()
    found: list[CheckMessage] = []
    if section.login is None and settings.service is None:
        found.append(
            Error(
                "PasswordBackend has nobody to ask: there is neither a login service nor a "
                "service in this process.",
                hint=f'Write {SETTING}["django"]["login"] (issuer, client_id, client_secret), or '
                f'{SETTING}["service"]; or leave PasswordBackend out of AUTHENTICATION_BACKENDS.',
                id="tokenward.E004",
            )
        )
    if section.user == "stateless":
        found.append(
            Error(
                "PasswordBackend signs users of the database in, and there are none: "
                f'{SETTING}["django"]["user"] is "stateless".',
                hint='Write "model" there, or leave PasswordBackend out of '
                "AUTHENTICATION_BACKENDS.",
                id="tokenward.E005",
            )
        )
    missing = [path for path in (SESSIONS, AUTHENTICATION) if index_in("MIDDLEWARE", path) is None]
    names = ", ".join(path.rpartition(".")[2] for path in missing)
    if missing:
        found.append(
            Error(
                "PasswordBackend signs people in to a session, and the middleware that keeps "
                f"sessions is not installed: {names}.",
                hint=f"Add {' and '.join(map(repr, missing))} to MIDDLEWARE, before "
                "TokenwardMiddleware.",
                id="tokenward.E006",
            )
        )
    return found


def check_views(**_kwargs: object) -> list[CheckMessage]:
    """Check what the views of the URL configuration demand."""
    settings = _parsed()
    if settings is None:
        return []
    found: list[CheckMessage] = []
    views = list(declared_views())
    live = [view for view in views if any(demand.live for demand in view.demands)]
    if live and not _serves_live(settings):
        found += [
            Error(
                "The view asks the issuer about every token (live=True), and a configured "
                "verifier has no issuer to ask.",
                hint="Take live=True away, or have every credential ask: an entry of type 'jwks' "
                "takes 'live', one of type 'introspection' asks by itself.",
                obj=view.name,
                id="tokenward.E009",
            )
            for view in live
        ]
    found += [
        Warning(
            "The view is public, and guarded all the same: its guard decides, and @public opens "
            "nothing.",
            hint="Take @public away, or the decorator that guards it.",
            obj=view.name,
            id="tokenward.W002",
        )
        for view in views
        if view.is_public and view.demands
    ]
    return found


def _check_on_user(path: str) -> Iterator[CheckMessage]:
    try:
        why = None if callable(import_string(path)) else "it cannot be called"
    except Exception as error:  # noqa: BLE001 - a module of the project's is imported here
        why = f"importing it ends in {type(error).__name__}"
    if why is not None:
        yield Error(
            f'{SETTING}["django"]["on_user"] is {path!r}, and {why}.',
            hint='Write the dotted path of a function, such as "myapp.auth.on_user".',
            id="tokenward.E007",
        )


def _check_login_view(name: str) -> Iterator[CheckMessage]:
    try:
        resolve_url(name)
    except NoReverseMatch:
        yield Error(
            f'{SETTING}["pages"]["login_view"] is {name!r}, and no URL pattern has that name.',
            hint="Write the name of the sign-in page's pattern, or its path.",
            id="tokenward.E010",
        )
    except Exception:  # noqa: BLE001 - patterns that cannot be read are Django's own to report
        return


def _parsed() -> Settings | None:
    """Return the settings; ``None`` where `check_settings` has something to say of them."""
    try:
        return home().settings()
    except ConfigurationError:
        return None


def _serves_live(settings: Settings) -> bool:
    try:
        return in_force(built(settings)).serves_live
    except ConfigurationError:
        return True


def _uses_sessions() -> bool:
    needing = (("MIDDLEWARE", AUTHENTICATION), ("AUTHENTICATION_BACKENDS", PASSWORD_BACKEND))
    return any(index_in(setting, path) is not None for setting, path in needing)


def _rest_framework_uses_us() -> bool:
    own: Any = getattr(project, "REST_FRAMEWORK", None)
    classes = own.get("DEFAULT_AUTHENTICATION_CLASSES", ()) if isinstance(own, dict) else ()
    return position(classes, REST_AUTHENTICATION) is not None
