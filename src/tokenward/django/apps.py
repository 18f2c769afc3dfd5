"""The Django app."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig, apps
from django.core.signals import setting_changed


class TokenwardConfig(AppConfig):
    """The app ``tokenward.django``, under the label ``tokenward``.

    Becoming ready reads no setting of ours and reaches for nothing: what is wrong with
    ``settings.TOKENWARD`` is said by ``manage.py check``, and by the middleware when it starts.
    """

    name = "tokenward.django"
    label = "tokenward"
    verbose_name = "tokenward"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, and listen for what the adapter has to know of."""
        from tokenward.django import _state, checks, sessions  # noqa: PLC0415 - models
        from tokenward.django.accounts import saved  # noqa: PLC0415 - the same

        checks.register_checks()
        setting_changed.connect(_state.forget_changed, dispatch_uid="tokenward.settings")
        sessions.connect_sessions()
        saved.connect_accounts()
        if apps.is_installed("drf_spectacular"):
            # Registers, by being imported, what a schema says of our authentication class. Where
            # it is merely to be had, its import is worth half a second that nobody asked for.
            import_module("tokenward.django.spectacular")
