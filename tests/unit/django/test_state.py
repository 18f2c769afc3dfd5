"""tokenward.django._state: built once a process, and again when a setting changes (RULES 47)."""

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from django.conf import settings as project
from django.core.management import call_command
from django.test import override_settings

from tokenward.django._state import _process, forget, home, parts
from tokenward.errors import ConfigurationError

SUPPORT = Path(__file__).parents[2] / "support"
PASSWORD = "correct horse battery"


@pytest.fixture
def service(settings, tmp_path):
    """A configuration with a service on a store that was made."""
    settings.TOKENWARD = {
        "service": {
            "issuer": "https://auth.example",
            "audience": "shop",
            "store": f"sqlite:///{tmp_path}/store.db",
            "password": {"bcrypt_cost": 4},
        }
    }
    call_command("tokenward_store", "init")
    return settings.TOKENWARD


# --- built once, and again ----------------------------------------------------------------------


def test_parts_are_built_once(settings):
    """And are what the settings say."""
    settings.TOKENWARD = {"realm": "once"}
    assert parts() is parts()
    assert "once" == parts().authenticator.realm


def test_a_changed_setting_counts_at_the_next_use(settings):
    """The fixture of pytest-django, and Django's own override_settings, inside and after it."""
    settings.TOKENWARD = {"realm": "a"}
    assert "a" == parts().authenticator.realm
    settings.TOKENWARD = {"realm": "b"}
    assert "b" == parts().authenticator.realm
    with override_settings(TOKENWARD={"realm": "c"}):
        assert "c" == parts().authenticator.realm
    assert "b" == parts().authenticator.realm


@pytest.mark.parametrize("name", ["AUTH_USER_MODEL", "PASSWORD_HASHERS", "SECRET_KEY"])
def test_what_the_parts_depend_on_besides_has_them_built_anew(settings, name):
    """Another user model, other hashers, another key."""
    before = parts()
    setattr(settings, name, getattr(settings, name))
    assert parts() is not before


def test_other_settings_change_nothing(settings):
    """They are built for good."""
    before = parts()
    settings.STATIC_URL = "elsewhere/"
    assert parts() is before


def test_a_wrong_configuration_raises_until_it_is_right(settings):
    """Nothing half-built is kept, and no lock."""
    settings.TOKENWARD = {"relam": "shop"}
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="did you mean 'realm'"):
            parts()
    settings.TOKENWARD = None
    with pytest.raises(ConfigurationError, match=r"settings\.TOKENWARD is missing"):
        parts()
    settings.TOKENWARD = {}
    assert "api" == parts().authenticator.realm


def test_a_missing_store_is_advised_in_djangos_words(settings, tmp_path):
    """The message names the command that a Django project has."""
    settings.TOKENWARD = {
        "service": {
            "issuer": "https://auth.example",
            "audience": "shop",
            "store": f"sqlite:///{tmp_path}/store.db",
        }
    }
    with pytest.raises(ConfigurationError, match=r"`manage\.py tokenward_store init`") as refused:
        parts()
    assert "`tokenward store init`" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_the_mapping_is_in_no_repr(settings):
    """It may hold secrets."""
    settings.TOKENWARD = {"realm": "hunter2"}
    assert "hunter2" not in repr(home())


def test_service_users_are_the_stores_or_the_projects(service, settings, db):
    """As ``service_users`` says."""
    assert "SQLiteUserRepository" == type(parts().service.users).__name__
    settings.TOKENWARD = {**service, "django": {"service_users": "model"}}
    assert "DjangoUserRepository" == type(parts().service.users).__name__


# --- threads ------------------------------------------------------------------------------------


def test_threads_that_come_together_get_the_same_parts(settings):
    """One of them builds, the others wait."""
    settings.TOKENWARD = {"realm": "many"}
    forget()
    barrier = threading.Barrier(16)
    seen = []

    def ask():
        barrier.wait(90)
        seen.append(parts())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert 16 == len(seen)
    assert 1 == len({id(one) for one in seen})


class Slow(dict):
    """A mapping that is not read to its end until somebody says so."""

    def __init__(self, *given):
        super().__init__(*given)
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __iter__(self):
        self.begun.set()
        assert self.go_on.wait(90)
        return super().__iter__()


def test_what_is_built_of_old_settings_is_not_kept(monkeypatch):
    """A setting that changes while another thread builds counts at the next use all the same."""
    slow = Slow({"realm": "old"})
    monkeypatch.setattr(project, "TOKENWARD", slow)
    forget()
    builder = threading.Thread(target=parts)
    builder.start()
    assert slow.begun.wait(90)
    monkeypatch.setattr(project, "TOKENWARD", {"realm": "new"})
    about_to = threading.Event()

    def change():
        about_to.set()
        forget()

    changer = threading.Thread(target=change)
    changer.start()
    assert about_to.wait(90)
    slow.go_on.set()
    builder.join(90)
    changer.join(90)
    assert "new" == parts().authenticator.realm
    monkeypatch.undo()
    forget()


# --- fork ---------------------------------------------------------------------------------------


def run(script):
    """Run a script in an interpreter of its own, so that no test runner is forked."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path]),
        },
    )
    assert (0, "") == (done.returncode, done.stderr), done.stderr
    return done.stdout.split()


def test_a_child_forked_while_another_thread_builds_builds_its_own():
    """The lock which that thread holds is not the child's, and nothing half-built is."""
    script = """
        import os, threading
        import django
        from django.conf import settings
        django.setup()
        from tokenward.django._state import parts

        class Slow(dict):
            begun, go_on = threading.Event(), threading.Event()
            def __iter__(self):
                self.begun.set()
                assert self.go_on.wait(90)
                return super().__iter__()

        entry = {"type": "jwks", "issuer": "https://login.example", "audience": "shop"}
        settings.TOKENWARD = Slow(realm="parent", credentials=[entry])
        builder = threading.Thread(target=parts)
        builder.start()
        assert Slow.begun.wait(90)
        child = os.fork()
        if child == 0:
            settings.TOKENWARD = {"realm": "child", "credentials": [entry]}
            print(parts().authenticator.realm, flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        Slow.go_on.set()
        builder.join()
        print(parts().authenticator.realm)
    """
    assert ["child", "parent"] == run(script)


def test_a_child_works_with_the_parts_of_its_parent(service, settings):
    """The store is opened anew in it, under a service that was built before the fork."""
    parts().service.create_user("alice", email="a@example.com", password=PASSWORD)
    url = settings.TOKENWARD["service"]["store"]
    script = f"""
        import os
        import django
        from django.conf import settings
        django.setup()
        settings.TOKENWARD = {{"service": {{
            "issuer": "https://auth.example", "audience": "shop", "store": {url!r},
        }}}}
        from tokenward.django._state import parts
        before = parts()
        assert before.service.users.get_by_username("alice") is not None
        child = os.fork()
        if child == 0:
            assert parts() is before
            token = before.service.issue(before.service.users.get_by_username("alice"))
            headers = {{"Authorization": f"Bearer {{token}}"}}
            print(before.authenticator.authenticate(headers).principal.username, flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(before.service.users.count())
    """
    assert ["alice", "1"] == run(script)


def test_the_lock_of_a_child_is_a_new_one():
    """Whoever holds the parent's is not there to let go of it."""
    before = _process._lock
    _process.after_fork()
    assert before is not _process._lock
