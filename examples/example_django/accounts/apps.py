"""The app, and the group that the role `editor` stands for."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    """The pages; after each `migrate` the group of editors is there."""

    name = "accounts"

    def ready(self) -> None:
        """Wait for `migrate`, and there for Django's own permissions."""
        post_migrate.connect(make_editors, sender=apps.get_app_config("auth"))


def make_editors(**_sent: object) -> None:
    """Let editors look at users. Who is an editor, the auth service says each time."""
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name="Editors")
    group.permissions.add(apps.get_model("auth", "Permission").objects.get(codename="view_user"))
