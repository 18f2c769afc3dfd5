"""docs/stores: tables, indexes, options and classes are those of the code; the code is run."""

import inspect
import re
import sqlite3
import tomllib
from contextlib import closing

import pytest
from django.db import connection
from doc_pages import Page, slugs

from tokenward import repositories as stores
from tokenward.cli import main
from tokenward.config import Settings
from tokenward.django import DjangoUserRepository
from tokenward.django.models import Account, Identity
from tokenward.errors import (
    ConfigurationError,
    TokenRevoked,
    UserAlreadyExists,
    UserNotFound,
)
from tokenward.passwords import DEFAULT_COST
from tokenward.repositories import _checks, open_repositories
from tokenward.repositories.sqlite import _open, _schema
from tokenward.schemas import LoginRequest, RegisterRequest

SQLITE, MEMORY, DJANGO, OWN, MONGO = (
    Page(f"stores/{name}.md") for name in ("sqlite", "memory", "django", "own", "mongodb")
)


def rows(page):
    """Return the cells of the page's table of what is kept."""
    return page.rows("What is kept")


# --- SQLite


@pytest.fixture
def file(tmp_path):
    """A store's file, made by the code."""
    path = tmp_path / "store.db"
    open_repositories(f"sqlite:///{path}").close()
    return path


def test_every_table_and_index_of_sqlite_is_named(file):
    """And no other; unique columns are those that the file has."""
    with closing(sqlite3.connect(file)) as raw:
        found = raw.execute(
            "SELECT type, name, tbl_name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
        ).fetchall()
        made = {}
        for kind, name, table in found:
            indexes = made.setdefault(table, [])
            if kind == "index":
                indexes.append(name)
        unique = {table: unique_columns(raw, table) for table in made}
    named = {slugs(row[0])[0]: row for row in rows(SQLITE)}
    assert {table: sorted(indexes) for table, indexes in made.items()} == {
        table: sorted(slugs(row[3])) for table, row in named.items()
    }
    for table, row in named.items():
        if table != "signing_keys_version":
            assert sorted(unique[table]) == sorted(slugs(row[2]))


def unique_columns(raw, table):
    """Return the columns that are unique each by itself."""
    found = []
    for _, name, is_unique, *_ in raw.execute(f"PRAGMA index_list({table})"):
        if is_unique:
            found += [row[2] for row in raw.execute(f"PRAGMA index_info({name})")]
    return found


def test_what_the_page_says_of_the_file_is_so(file):
    """Its owner's alone, with the id and the version; and each setting of a connection."""
    assert 0o600 == file.stat().st_mode & 0o777
    with closing(sqlite3.connect(file)) as raw:
        (application,) = raw.execute("PRAGMA application_id").fetchone()
        (version,) = raw.execute("PRAGMA user_version").fetchone()
        (mode,) = raw.execute("PRAGMA journal_mode").fetchone()
    assert b"tokw" == application.to_bytes(4)
    assert (len(_schema.MIGRATIONS), "wal") == (version, mode)
    store = stores.SQLiteStore(file)
    for durable, word, number in ((True, "FULL", 2), (False, "NORMAL", 1)):
        assert f"`{'synchronous = ' * durable}{word}`" in SQLITE.text
        with store.writing(durable=durable) as raw:
            assert (number,) == raw.execute("PRAGMA synchronous").fetchone()
            assert (1,) == raw.execute("PRAGMA secure_delete").fetchone()
    store.close()
    assert all("STRICT" in sql for sql in _schema.MIGRATIONS[0] if "CREATE TABLE" in sql)


def test_what_the_page_says_of_its_bounds_is_so():
    """The oldest SQLite, the wait for the lock, the counters."""
    oldest = ".".join(map(str, _open._OLDEST_SQLITE[:2]))
    assert f"- SQLite {oldest} or newer." in SQLITE.text
    assert "for five seconds at most" in SQLITE.text
    wait = inspect.signature(stores.SQLiteStore).parameters["busy_timeout"].default
    assert wait == 5.0
    assert f"busy_timeout={wait})" in SQLITE.text
    for page in (SQLITE, MEMORY):
        assert f"{_checks.MAX_COUNTERS:,}" in page.text


@pytest.mark.parametrize("page", [SQLITE, MEMORY], ids=["sqlite", "memory"])
def test_the_store_of_the_page_opens(page, tmp_path, monkeypatch):
    """By its configuration and by its Python."""
    monkeypatch.chdir(tmp_path)
    (configuration,) = page.tomls()
    settings = Settings.model_validate(configuration)
    code = page.blocks[0]
    assert settings.service.store.get_secret_value() in code
    opened = page.run(code, {})["repositories"]
    opened.ping()
    opened.close()


def test_the_commands_of_sqlite_run(tmp_path, monkeypatch, capsys):
    """The store is made; the doctor finds it for its owner only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOKENWARD_CONFIG", raising=False)
    (configuration,) = re.findall(r"```toml\n(.*?)```", SQLITE.text, re.DOTALL)
    (tmp_path / "tokenward.toml").write_text(configuration, "utf-8")
    (typed,) = re.findall(r"```console\n(.*?)```", SQLITE.text, re.DOTALL)
    for line in typed.splitlines():
        assert 0 == main(line.removeprefix("$ tokenward ").split())
    assert "opens, and only its owner can" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["sqlite:///a.db?mode=ro", "memory://x", "memory:///"])
def test_a_url_takes_no_options_as_written(url):
    """Of these two stores."""
    with pytest.raises(ConfigurationError):
        open_repositories(url)


# --- memory


def test_the_classes_in_memory_are_those():
    """Beside each attribute of what `open_repositories` returns."""
    opened = open_repositories("memory://")
    made = {name: type(getattr(opened, name)).__name__ for name in opened.__slots__}
    assert made == {slugs(row[0])[0]: slugs(row[1])[0] for row in rows(MEMORY)}


@pytest.mark.parametrize("command", [["store", "init"], ["users", "list"]])
def test_other_processes_find_no_store_in_memory(command, tmp_path, capsys):
    """Exit status 2, as written."""
    config = tmp_path / "tokenward.toml"
    config.write_text(re.search(r"```toml\n(.*?)```", MEMORY.text, re.DOTALL)[1], "utf-8")
    assert 2 == main([*command, "--config", str(config)])
    assert "memory://" in capsys.readouterr().err


# --- MongoDB: its table is compared in repositories/test_mongo_docs.py


def test_the_classes_of_mongodb_exist():
    """Each that the page names."""
    for name in re.findall(r"`(Mongo\w+Repository)", MONGO.text):
        assert name in stores.__all__


# --- Django


def test_the_tables_of_django_are_those(db):
    """By name, and by what is unique in them."""
    named = {slugs(row[0])[0]: row for row in rows(DJANGO) if slugs(row[0])}
    assert {model._meta.db_table for model in (Account, Identity)} == set(named)
    with connection.cursor() as cursor:
        for table, row in named.items():
            found = connection.introspection.get_constraints(cursor, table).values()
            unique = {tuple(c["columns"]) for c in found if c["unique"] or c["primary_key"]}
            if table == Identity._meta.db_table:
                unique.discard(("id",))  # a number of the database's own
            assert {(name,) for name in slugs(row[2])} == unique


def test_the_arguments_of_django_are_those():
    """With their defaults."""
    table = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", DJANGO.text.split("\n## ")[0], re.MULTILINE)
    named = dict(table)
    taken = inspect.signature(DjangoUserRepository).parameters
    assert list(taken) == list(named)
    assert f"`{DEFAULT_COST}`" == named["bcrypt_cost"]


def test_the_store_of_django_opens_as_written(db):
    """The settings are a configuration, the repository counts."""
    configure, python = DJANGO.blocks
    settings = Settings.model_validate(DJANGO.run(configure, {})["TOKENWARD"])
    assert "model" == settings.django.service_users
    assert 0 == DJANGO.run(python, {})["people"].count()


def test_a_user_of_django_is_found_by_one_query(db, django_assert_num_queries):
    """As the page says of growth; by name, by address and by id."""
    people = DjangoUserRepository(bcrypt_cost=4)
    people.create(register("Ada"))
    with django_assert_num_queries(1):
        ada = people.get_by_username("ada")
    with django_assert_num_queries(2):
        assert ada == people.get_by_email("ada@example.org") == people.get_by_id(ada.id)


# --- one of your own


@pytest.mark.parametrize("row", OWN.rows("The contract"), ids=lambda row: slugs(row[0])[0])
def test_the_contract_lists_every_method(row):
    """What a class has to have, and nothing that it may leave."""
    (name,) = slugs(row[0])
    assert getattr(stores, name).__abstractmethods__ == set(slugs(row[1]))


@pytest.fixture
def directory():
    """The page's own store, with somebody in it."""
    made = OWN.run(OWN.blocks[0], {})
    people = made["Directory"](bcrypt_cost=4, clock=lambda: 1_700_000_000)
    people.create(register("Ada"), roles=["admin"])
    return people


def register(name):
    """Return a registration."""
    return RegisterRequest(username=name, email=f"{name}@example.org", password="quartz-lantern")


def test_the_pages_store_keeps_the_contract(directory):
    """Found by canonical keys, taken once, counted, paged, deleted."""
    ada = directory.get_by_username("ADA")
    found = (directory.get_by_id(ada.id), directory.get_by_email("ADA@example.org"))
    assert (ada, ada) == found
    assert directory.get_by_username(" ") is None is directory.get_by_email(None)
    for taken in ("ada", "ADA"):
        with pytest.raises(UserAlreadyExists):
            directory.create(register(taken))
    with pytest.raises(UserAlreadyExists):
        directory.create(register("Bob").model_copy(update={"email": "Ada@example.org"}))
    directory.create(register("Bob"), is_active=False)
    assert (2, ["Ada"]) == (directory.count(), [u.username for u in directory.get_active_users()])
    directory.delete("bob")
    with pytest.raises(UserNotFound):
        directory.delete("bob")


def test_the_pages_store_ends_tokens_where_it_must(directory):
    """By its password, roles and activity; not by a verified address; atomically by version."""
    directory.set_email_verified("ada", verified=True)
    assert 0 == directory.get_by_username("ada").token_version
    directory.set_roles("ada", [])
    directory.set_active("ada", active=True)
    directory.set_password("ada", "another lantern", version=2)
    assert 3 == directory.get_by_username("ada").token_version
    with pytest.raises(TokenRevoked):
        directory.set_password("ada", "a third lantern", version=2)
    with pytest.raises(UserNotFound):
        directory.set_roles("nobody", [])
    login = LoginRequest(username="Ada", password="another lantern")
    assert "Ada" == directory.verify_credentials(login).username


def test_the_pages_store_serves(directory, tmp_path, monkeypatch):
    """Beside a store of ours for everything else."""
    monkeypatch.chdir(tmp_path)
    configuration = tomllib.loads(re.search(r"```toml\n(.*?)```", MEMORY.text, re.DOTALL)[1])
    (tmp_path / "tokenward.toml").write_text(
        "[service]\n" + "\n".join(f'{k} = "{v}"' for k, v in configuration["service"].items())
    )
    made = OWN.run(OWN.blocks[1], {"Directory": lambda: directory})
    login = made["service"].login_user(LoginRequest(username="ada", password="quartz-lantern"))
    assert "Ada" == made["service"].introspect_token(login.access_token).username


def test_the_page_of_sqlite_names_real_classes():
    """All of them public."""
    for name in re.findall(r"`(SQLite\w+)\(", SQLITE.text):
        assert name in stores.__all__
