"""The two tables in Django's admin: there to be looked at.

What can be done with an account is done by ``manage.py tokenward_user``, which ends the tokens that
say otherwise. An identity can be deleted: its owner is then found, or made, anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_user_model

from tokenward.django.models import Account, Identity

if TYPE_CHECKING:
    from django.http import HttpRequest

    _Base = admin.ModelAdmin[Any]
else:
    _Base = admin.ModelAdmin


class ReadOnly(_Base):
    """Shows rows, and lets nobody add or change one."""

    def has_add_permission(self, _request: HttpRequest, *_obj: object) -> bool:
        """Return ``False``."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: object = None) -> bool:
        """Return ``False``."""
        return False


@admin.register(Identity)
class IdentityAdmin(ReadOnly):
    """Who an issuer calls what."""

    fields = ("user", "issuer", "subject", "created_at")
    list_display = ("subject", "issuer", "user", "created_at")
    ordering = ("-pk",)

    def get_search_fields(self, _request: HttpRequest) -> list[str]:
        """Return what the search looks into."""
        return ["issuer", "subject", f"user__{get_user_model().USERNAME_FIELD}"]


@admin.register(Account)
class AccountAdmin(ReadOnly):
    """What the auth service keeps of a user."""

    fields = ("id", "user", "email_verified", "roles", "token_version", "created_at", "updated_at")
    list_display = ("user", "id", "email_verified", "roles", "updated_at")
    ordering = ("-created_at",)

    def get_search_fields(self, _request: HttpRequest) -> list[str]:
        """Return what the search looks into."""
        return ["id", f"user__{get_user_model().USERNAME_FIELD}"]

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Tell whether the account may go: together with its user, and not alone."""
        match = request.resolver_match
        options = self.opts
        alone = f"{options.app_label}_{options.model_name}_"
        if match is not None and (match.url_name or "").startswith(alone):
            return False
        return super().has_delete_permission(request, obj)
