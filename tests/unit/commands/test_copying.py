"""A store carried into another: whole, or not at all; begun again where it was interrupted."""

import sqlite3
import sys

import pytest
from filled_stores import SECRET, everything, fill, put, records

from tokenward.cli import main
from tokenward.commands.copying import copy
from tokenward.commands.line.progress import Bar
from tokenward.commands.line.terminal import Terminal
from tokenward.errors import ConfigurationError
from tokenward.keys import KeyRing
from tokenward.repositories import open_repositories
from tokenward.repositories.base import KINDS

NUMBER = 7


@pytest.fixture
def there(tmp_path):
    """A store with something of everything in it."""
    url = f"sqlite:///{tmp_path}/from.db"
    fill(url, NUMBER)
    return url


@pytest.fixture
def here(tmp_path):
    """Where a store is to be."""
    return f"sqlite:///{tmp_path}/to.db"


@pytest.fixture
def urls(there, here, monkeypatch):
    """Both, and one in the environment that is no store's."""
    monkeypatch.setenv("LEAKING", "postgres://u:LEAK@db/x")
    return {"there": there, "here": here}


def test_everything_arrives_in_its_order(there, here):
    """Of every kind, and the signing keys as they are; the source is what it was."""
    before = everything(there)
    compared = copy(there, here)
    assert before == everything(here) == everything(there)
    assert [*KINDS, "signing_keys"] == [one.kind for one in compared]
    assert {True} == {one.equal for one in compared}
    counts = [(one.copied, one.source, one.target) for one in compared]
    assert [(NUMBER, NUMBER, NUMBER)] * len(KINDS) + [(2, 2, 2)] == counts


def test_sealed_keys_stay_sealed(there, here):
    """No secret is asked for, and none is needed until a service opens them."""
    copy(there, here)
    keys = everything(here)[1]
    assert all(key.is_sealed for key in keys)
    assert SECRET not in repr(keys)


def test_once_more_changes_nothing(there, here):
    """It says that everything is there, with the same digests."""
    first = copy(there, here)
    again = copy(there, here)
    assert {0} == {one.copied for one in again}
    assert [one.digest for one in first] == [one.digest for one in again]
    assert all(one.equal for one in again)


def test_digests_differ_by_what_is_in_a_store(there, here, tmp_path):
    """One role of one user is enough; the order is not."""
    other = f"sqlite:///{tmp_path}/other.db"
    fill(other, 0)
    some = records(NUMBER)
    for kind, of_kind in some.items():
        put(other, kind, of_kind[::-1])
    first, turned = copy(there, here), copy(other, f"{here}2")
    assert [one.digest for one in first[:-1]] == [one.digest for one in turned[:-1]]
    some["users"][3]["roles"] = ["admin"]
    put(other, "users", some["users"])
    changed = copy(other, f"{here}3")
    assert [False] + [True] * 4 == [
        one.digest == two.digest for one, two in zip(first[:-1], changed[:-1], strict=True)
    ]


def test_a_store_without_keys_is_copied_too(tmp_path, here):
    """They may be in files."""
    there = f"sqlite:///{tmp_path}/keyless.db"
    fill(there, NUMBER, keys=False)
    assert all(one.equal for one in copy(there, here))
    assert everything(there) == everything(here)


def test_what_has_expired_stays_behind(there, here):
    """Nobody asks for it any more, and some stores drop it by themselves."""
    put(there, "revocations", [{"id": "long ago", "expires_at": 5}])
    ended = {**records(1, begin=99)["families"][0], "expires_at": 5}
    put(there, "families", [ended])
    compared = copy(there, here)
    assert all(one.equal for one in compared)
    found = everything(here)[0]
    assert records(NUMBER)["revocations"] == found["revocations"]
    assert records(NUMBER)["families"] == found["families"]


# --- interrupted


class Interruption(BaseException):
    pass


def test_interrupted_after_any_step_it_goes_on(there, here, tmp_path):
    """Until it is done the target has no signing keys; in the end it is as if nothing had been."""
    steps = 0

    def count(*_progress):
        nonlocal steps
        steps += 1

    copy(there, f"{here}-whole", on_progress=count, batch=2)
    assert steps > 30
    for last in range(1, steps, steps // 6):
        url, left = f"{here}-{last}", last

        def interrupt(*_progress):
            nonlocal left
            left -= 1
            if not left:
                raise Interruption

        with pytest.raises(Interruption):
            copy(there, url, on_progress=interrupt, batch=2)
        assert [] == everything(url)[1]
        compared = copy(there, url, batch=2)
        assert all(one.equal for one in compared)
        assert everything(there) == everything(url)


def test_what_is_there_already_is_not_put_again(there, here):
    """What is copied is what was missing."""
    fill(here, 3, keys=False)
    compared = copy(there, here)
    assert [NUMBER - 3] * len(KINDS) + [2] == [one.copied for one in compared]
    assert everything(there) == everything(here)


# --- refused


def test_a_target_with_keys_of_its_own_is_left_alone(there, here):
    """It is in use, or was made to be."""
    fill(here, 0)
    before = everything(here)
    with pytest.raises(ConfigurationError, match=r"TO: has signing keys of its own"):
        copy(there, here)
    assert before == everything(here)


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_holds_something_else_is_left_alone(there, here, kind):
    """Of any kind; what it holds is counted, and not shown."""
    fill(here, 0, keys=False)
    put(here, kind, records(2, begin=50)[kind])
    before = everything(here)
    with pytest.raises(ConfigurationError, match=rf"TO: holds 2 {kind.replace('_', ' ')} that"):
        copy(there, here)
    assert before == everything(here)


def test_a_user_who_is_otherwise_at_the_target_is_not_overwritten(there, here):
    """The same id does not make it the same user."""
    fill(here, 0, keys=False)
    changed = {**records(1)["users"][0], "roles": ["admin"]}
    put(here, "users", [changed])
    with pytest.raises(ConfigurationError, match=r"TO: holds 1 users that FROM does not hold"):
        copy(there, here)
    assert [changed] == everything(here)[0]["users"]


def test_a_copy_that_went_on_living_is_no_place_for_another(there, here):
    """It has the keys, and what was written to it since: nothing of it is touched."""
    copy(there, here)
    put(here, "users", records(1, begin=80)["users"])
    before = everything(here)
    with pytest.raises(ConfigurationError, match=r"TO: holds 1 users"):
        copy(there, here)
    assert before == everything(here)


def test_a_source_that_went_on_living_is_not_poured_after_its_copy(there, here):
    """The copy was whole once; now the two differ, and that is said."""
    copy(there, here)
    before = everything(here)
    put(there, "users", records(1, begin=80)["users"])
    compared = {one.kind: one for one in copy(there, here)}
    assert (0, NUMBER + 1, NUMBER, False) == (
        compared["users"].copied,
        compared["users"].source,
        compared["users"].target,
        compared["users"].equal,
    )
    assert before == everything(here)


def test_no_source_makes_no_target(tmp_path, here):
    """The message says which of the two is missing."""
    with pytest.raises(ConfigurationError, match=r"^FROM: "):
        copy(f"sqlite:///{tmp_path}/nothing.db", here)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("memory://", "{here}", "FROM: what is in memory:// ends"),
        ("{there}", "memory://", "TO: what is in memory:// ends"),
        ("{there}", "{there}", "the same store"),
        ("{there}", "postgres://u:LEAK@db/x", "TO: "),
        ("u:LEAK@db", "{here}", "FROM: "),
        ("env:NO_SUCH", "{here}", "FROM: the environment variable NO_SUCH is not set"),
        ("{there}", "env:LEAKING", "TO: "),
    ],
)
def test_what_is_no_store_is_refused(urls, source, target, message):
    """By its side, without what it says: it may hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        copy(source.format(**urls), target.format(**urls))
    assert message in str(caught.value)
    assert "LEAK@" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["./from.db", "../{folder}/from.db", "symbolic.db", "hard.db"])
def test_a_store_by_another_name_is_no_target(tmp_path, there, name):
    """It would be found equal to itself, and somebody would take it for a copy."""
    (tmp_path / "symbolic.db").symlink_to(tmp_path / "from.db")
    (tmp_path / "hard.db").hardlink_to(tmp_path / "from.db")
    with pytest.raises(ConfigurationError, match="the same store"):
        copy(there, f"sqlite:///{tmp_path}/{name.format(folder=tmp_path.name)}")


# --- written to meanwhile


def during(what, then):
    """Return something that is told how it goes, and does something once, at a step."""
    todo = [then]

    def told(doing, _done, _total):
        if doing == what and todo:
            todo.pop()()

    return told


@pytest.mark.parametrize(
    ("moment", "kind", "changed"),
    [
        ("copying families", "users", lambda: records(1, begin=60)["users"]),
        (
            "copying families",
            "users",
            lambda: [{**records(1)["users"][0], "hashed_password": "another"}],
        ),
        ("copying revocations", "families", lambda: records(1, begin=60)["families"]),
        ("comparing users", "used_once", lambda: records(1, begin=60)["used_once"]),
    ],
    ids=["a user more", "another password", "a session more", "while comparing"],
)
def test_a_source_that_is_written_to_is_found_out(there, here, moment, kind, changed):
    """The two differ, and the target gets no keys: no service starts on it."""
    told = during(moment, lambda: put(there, kind, changed()))
    compared = {one.kind: one for one in copy(there, here, on_progress=told)}
    assert not compared[kind].equal
    assert not compared["signing_keys"].equal
    assert [] == everything(here)[1]


def test_a_target_that_gets_keys_meanwhile_keeps_them(there, here):
    """Somebody ran `store init` on it."""

    def init():
        repositories = open_repositories(here, create=False)
        KeyRing.create(repositories.keys, "ES256")
        repositories.close()

    with pytest.raises(ConfigurationError, match="somebody else made signing keys"):
        copy(there, here, on_progress=during("comparing users", init))
    assert not any(key.is_sealed for key in everything(here)[1])


def test_a_target_that_gets_a_name_meanwhile_is_no_copy(there, here):
    """A user of the source cannot have it any more; what went wrong says no name."""
    taken = {**records(1, begin=90)["users"][0], "username": "Name5", "username_key": "name5"}
    fill(here, 2, keys=False)
    with pytest.raises(ConfigurationError) as caught:
        copy(
            there,
            here,
            on_progress=during("copying users", lambda: None),
            clock=_Once(lambda: put(here, "users", [taken])),
        )
    assert "TO: holds 1 users" in str(caught.value)
    assert "ame5" not in str(caught.value)


class _Once:
    """A clock that does something when it is looked at first."""

    def __init__(self, then):
        self._then = [then]

    def __call__(self):
        if self._then:
            self._then.pop()()
        return 1_700_000_000


@pytest.mark.parametrize("moment", ["comparing users", "comparing revocations"])
def test_what_ends_while_it_is_compared_ends_on_both_sides(there, here, moment):
    """A store that drops what has expired, and one that does not, are equal all the same."""
    soon = [{"id": f"soon {n}", "expires_at": 1_700_000_100 + n} for n in range(3)]
    put(there, "revocations", soon)
    now = [1_700_000_000]

    def drop():
        now[0] += 200
        connection = sqlite3.connect(here.removeprefix("sqlite:///"))
        connection.execute("DELETE FROM revocations WHERE jti LIKE 'soon%'")
        connection.commit()
        connection.close()

    told = during(moment, drop)
    compared = {one.kind: one for one in copy(there, here, on_progress=told, clock=lambda: now[0])}
    assert compared["revocations"].equal
    assert NUMBER == compared["revocations"].target


def test_what_has_not_ended_may_not_be_missing(there, here):
    """However soon it will."""
    put(there, "revocations", [{"id": "soon", "expires_at": 1_700_000_100}])

    def drop():
        connection = sqlite3.connect(here.removeprefix("sqlite:///"))
        connection.execute("DELETE FROM revocations WHERE jti = 'soon'")
        connection.commit()
        connection.close()

    told = during("comparing users", drop)
    compared = {
        one.kind: one for one in copy(there, here, on_progress=told, clock=lambda: 1_700_000_000)
    }
    revocations = compared["revocations"]
    assert (NUMBER + 1, NUMBER, False) == (
        revocations.source,
        revocations.target,
        revocations.equal,
    )


# --- as a command


@pytest.fixture
def line(capsys):
    def line(*argv):
        status = main([str(argument) for argument in argv])
        said = capsys.readouterr()
        return status, said.out, said.err

    return line


def test_the_command_says_what_there_is(line, there, here, monkeypatch):
    """A line for each kind; nothing is drawn where nobody looks; a URL may be elsewhere."""
    monkeypatch.setenv("FROM_URL", there)
    status, out, err = line("store", "copy", "env:FROM_URL", here)
    assert (0, "") == (status, err)
    lines = out.splitlines()
    assert len(KINDS) + 1 == len(lines)
    assert lines[0].startswith(
        f"equal  users: copied {NUMBER}, at FROM {NUMBER}, at TO {NUMBER}, digest "
    )
    assert everything(there) == everything(here)


def test_the_command_fails_when_the_two_differ(line, there, here):
    """Exit 1; what to do is said."""
    copy(there, here)
    put(there, "users", records(1, begin=80)["users"])
    status, out, err = line("store", "copy", there, here)
    assert 1 == status
    assert f"DIFFER users: copied 0, at FROM {NUMBER + 1}, at TO {NUMBER}" in out
    assert "TO is no copy" in err


def test_the_command_refuses_with_one_sentence(line, there, here):
    """Exit 2, as for every wrong argument."""
    fill(here, 0)
    status, out, err = line("store", "copy", there, here)
    assert (2, "") == (status, out)
    assert 1 == len(err.splitlines())


class Screen:
    """A terminal that remembers what was drawn."""

    def __init__(self):
        self.drawn = []

    def isatty(self):
        return True

    def write(self, text):
        self.drawn.append(text)

    def flush(self):
        pass


def test_who_looks_on_sees_how_far_it_is(there, here):
    """One line that is drawn again and again, and is gone in the end."""
    screen = Screen()
    with Bar(Terminal(sys.stdout, screen)) as bar:
        copy(there, here, on_progress=bar.show)
    assert f"\r\x1b[K{'#' * 24} copying users {NUMBER}/{NUMBER}" in screen.drawn
    assert "\r\x1b[K" == screen.drawn[-1]
    assert not any("\n" in text for text in screen.drawn)


def test_a_part_of_a_bar_is_full():
    """As much as is done."""
    screen = Screen()
    with Bar(Terminal(sys.stdout, screen)) as bar:
        bar.show("copying users", 1, 4)
        bar.show("copying users", 1, 4)
    assert ["\r\x1b[K" + "#" * 6 + "." * 18 + " copying users 1/4", "\r\x1b[K"] == screen.drawn
