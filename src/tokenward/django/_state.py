"""What ``settings.TOKENWARD`` describes, built once a process and again when it changes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings as project
from django.contrib.auth import get_user_model

from tokenward import _fork
from tokenward.commands.homes import MappingHome
from tokenward.config import Settings, build_authenticator, build_service, build_shared
from tokenward.config.settings import DjangoSection
from tokenward.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenward.authenticator import Authenticator
    from tokenward.pages import SignInCookie
    from tokenward.repositories import UserRepository
    from tokenward.service import AuthService

SETTING = "TOKENWARD"

_DEPENDS_ON = frozenset(
    {SETTING, "AUTH_USER_MODEL", "PASSWORD_HASHERS", "SECRET_KEY", "SECRET_KEY_FALLBACKS"}
)


@dataclass(slots=True)
class Parts:
    """What the adapter works with.

    Attributes:
        settings: As parsed.
        authenticator: Decides who sends a request.
        service: The auth service that runs in this process, if one does.
        sign_in: The cookie of those who sign in with a browser, if they can.
        django: How principals become users.
    """

    settings: Settings
    authenticator: Authenticator
    service: AuthService | None
    sign_in: SignInCookie | None
    django: DjangoSection


class SettingsHome(MappingHome):
    """``settings.TOKENWARD``."""

    __slots__ = ()

    def users(self, settings: Settings, /) -> UserRepository | None:
        """Return the project's own users, where the service's users are these."""
        section, service = settings.django, settings.service
        if section is None or service is None or section.service_users != "model":
            return None
        # Models can be imported only once Django's apps are loaded.
        from tokenward.django.repository import DjangoUserRepository  # noqa: PLC0415

        model = get_user_model()
        fields = model._meta.get_fields()  # noqa: SLF001 - documented by Django
        if not any(field.name == "is_active" for field in fields):
            raise ConfigurationError(
                f"{self.name}: django.service_users is 'model', and {model.__name__} has no column "
                "'is_active': whoever the service deactivates would go on signing in here; add it."
            )
        return DjangoUserRepository(bcrypt_cost=service.password.bcrypt_cost)


class _Process:
    """The parts of this process.

    A forked child has those of its parent, which look after themselves, or builds its own: what
    another thread of the parent was building is not there, and the lock it held is another one.
    """

    def __init__(self) -> None:
        self._parts: Parts | None = None
        self.after_fork()
        _fork.register(self)

    def after_fork(self) -> None:
        # Reentrant: whatever is built may ask for the parts, and must not wait for itself.
        self._lock = threading.RLock()

    def parts(self) -> Parts:
        parts = self._parts
        if parts is None:
            with self._lock:
                parts = self._parts
                if parts is None:
                    parts = self._parts = _built(home())
        return parts

    def forget(self) -> None:
        # Behind whoever is building: what they build is of the old settings.
        with self._lock:
            self._parts = None


def home() -> SettingsHome:
    """Return where the configuration is written."""
    mapping: Any = getattr(project, SETTING, None)
    return SettingsHome(f"settings.{SETTING}", mapping, "manage.py tokenward_store init")


def forget_changed(*, setting: str, **_more: object) -> None:
    """Build the parts anew after a change of ``setting``, if they depend on it."""
    if setting in _DEPENDS_ON:
        forget()


def _built(home: SettingsHome) -> Parts:
    try:
        settings = home.settings()
        section = settings.django or DjangoSection()
        shared = build_shared(settings)
        service = None
        if settings.service is not None:
            service = build_service(settings, users=home.users(settings), shared=shared)
        authenticator = build_authenticator(settings, service=service, shared=shared)
    except ConfigurationError as error:
        raise ConfigurationError(home.in_its_words(str(error))) from None
    sign_in = None if settings.pages is None else settings.pages.sign_in_cookie()
    made = Parts(settings, authenticator, service, sign_in, section)
    # Needs Django's apps, and the parts: what is wrong with it stops the program here.
    from tokenward.django.users.mapping import mapping_in_force  # noqa: PLC0415

    mapping_in_force.prepare(made)
    return made


_process = _Process()

parts = _process.parts
"""Return the parts; a wrong configuration raises `ConfigurationError`."""

forget = _process.forget
"""Build the parts anew when they are next needed."""
