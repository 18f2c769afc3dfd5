"""The most common passwords are known, whoever writes them how (NIST SP 800-63B-4, 3.1.1.2)."""

import subprocess
import sys
import tracemalloc
from importlib.resources import files

import pytest

from tokenward.passwords import common, is_common

LIST = files("tokenward.passwords").joinpath("common-passwords.txt").read_text("ascii")


@pytest.mark.parametrize("password", ["123456", "password", "qwerty", "iloveyou", "1qaz2wsx"])
def test_a_common_password_is_known(password):
    """What everybody tries first is on the list."""
    assert is_common(password) is True


@pytest.mark.parametrize("password", ["PASSWORD", "Password1", "QwErTy", "pa\u017f\u017fword"])
def test_case_makes_no_difference(password):
    """A capital letter is what everybody tries second."""
    assert is_common(password) is True


@pytest.mark.parametrize(
    "password",
    [
        pytest.param("correct horse battery staple", id="long"),
        pytest.param("zq8-Wn!2p", id="random"),
        pytest.param("pässword", id="not ASCII"),
        pytest.param("", id="empty"),
        pytest.param("1qaz2wsx3ed", id="beginning of a common one"),
        pytest.param("qaz2wsx3ed", id="end of a common one"),
        pytest.param("\ud800abcdef", id="lone surrogate"),
        pytest.param("x" * 1_024, id="as long as can be"),
    ],
)
def test_another_password_is_not(password):
    """Only what is on the list is refused, and as a whole."""
    assert (password in LIST.splitlines()) is is_common(password) is False


def test_lines_of_the_list_are_no_password():
    """Neighbours on the list, typed with their line break, are no entry of it."""
    first, second = LIST.splitlines()[:2]
    assert [True, True, False] == [is_common(p) for p in (first, second, f"{first}\n{second}")]


def test_first_and_last_are_known():
    """The list is compared from its first to its last line."""
    lines = LIST.splitlines()
    assert [True, True] == [is_common(lines[0]), is_common(lines[-1])]


def test_the_list_is_as_its_notice_says():
    """Ten thousand different entries of six characters or more, folded, in alphabetical order."""
    lines = LIST.splitlines()
    assert 10_000 == len(lines)
    assert sorted(set(lines)) == lines
    assert all(len(line) >= 6 and line == line.casefold() and line.isprintable() for line in lines)


def test_origin_and_licence_stand_beside_the_list():
    """Who has the list has the licence that it came under."""
    notice = files("tokenward.passwords").joinpath("NOTICE.txt").read_text("ascii")
    assert all(
        said in notice
        for said in (
            "common-passwords.txt",
            "zxcvbn",
            "MIT License",
            "Permission is hereby granted",
        )
    )


def test_the_list_is_loaded_on_first_use():
    """A program that sets no passwords does not read it."""
    script = (
        "from tokenward.passwords import common, is_common\n"
        "before = common._listed.cache_info().currsize\n"
        "is_common('123456')\n"
        "print(before, common._listed.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert b"0 1" == done.stdout.strip()


def test_the_list_is_small_in_memory():
    """It takes what its text takes, and no more."""
    common._listed.cache_clear()
    tracemalloc.start()
    try:
        is_common("123456")
        kept, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 4 * len(LIST)
