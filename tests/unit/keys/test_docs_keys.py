"""docs/service/keys.md: each command and each configuration is tried as it is written, in order."""

import re
import shlex
import subprocess
import tomllib
from dataclasses import replace

import pytest
from doc_pages import Page

from tokenward.cli import main
from tokenward.commands.setup import load
from tokenward.config.build import open_store
from tokenward.keys import rotation

PAGE = Page("service/keys.md")
BLOCKS = re.findall(r"^ *```(\w+)\n(.*?)^ *```$", PAGE.text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOKENWARD_CONFIG", raising=False)
    return tmp_path


class Reader:
    """Somebody who follows the page, and writes the configuration down as it says."""

    def __init__(self, folder, monkeypatch):
        self.folder, self._monkeypatch = folder, monkeypatch
        self.done = []

    def writes(self, block):
        """Change in the configuration what a block shows."""
        shown = tomllib.loads(block)["service"]
        path = self.folder / "tokenward.toml"
        if "issuer" not in shown:
            known = tomllib.loads(path.read_text("utf-8"))["service"]
            keys = shown["keys"] if "files" in shown["keys"] else known["keys"] | shown["keys"]
            shown = known | {"keys": keys}
        path.write_text(toml(shown), "utf-8")

    def types(self, block):
        """Do what a block of commands says; each must succeed."""
        for line in block.splitlines():
            words = shlex.split(line)
            if words[0] == "export":
                self._monkeypatch.setenv(*words[1].split("=", 1))
            elif words[0] == "tokenward":
                if words[1:] == ["keys", "rotate"]:
                    self.waits()
                assert main(words[1:]) == 0, line
            else:
                subprocess.run(["sh", "-ec", line], check=True, cwd=self.folder, timeout=150)
            self.done.append(line.strip())

    def waits(self):
        """Let an hour pass, which is to say: have the keys be an hour older."""
        repositories = open_store(load(None).service, create=False)
        version, stored = repositories.keys.load()
        aged = [replace(key, created_at=key.created_at - 3_600) for key in stored]
        assert repositories.keys.replace(version, aged)
        repositories.close()


def toml(service):
    """Write the section ``service``."""
    lines = ["[service]"]
    for name, value in service.items():
        lines.append(f"{name} = {written(value)}")
    return "\n".join(lines)


def written(value):
    """Write a value as TOML has it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {written(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_the_page_does_what_it_says(folder, monkeypatch, capsys):
    """From the first command to the last, on one store."""
    (folder / "new.secret").write_text("kq3V-new-8fJ2_0pTzXw7Lm", "utf-8")
    (folder / "new.secret").chmod(0o600)
    reader = Reader(folder, monkeypatch)
    for language, block in BLOCKS:
        if language == "toml":
            reader.writes(block)
        elif language == "sh":
            reader.types(block)
    commands = {" ".join(line.split()[1:3]) for line in reader.done if line.startswith("tokenward")}
    assert commands == {"store init", "keys list", "keys rotate", "keys prune"}
    listed = capsys.readouterr().out.splitlines()[-3:]
    assert [line.split("\t")[2] for line in listed] == ["current", "next", "retired"]


def test_what_is_lost_is_given_up_as_the_page_says(folder, monkeypatch, capsys):
    """The store's secret is replaced by one that opens nothing; the command makes new keys."""
    reader = Reader(folder, monkeypatch)
    for language, block in BLOCKS[:2]:
        {"toml": reader.writes, "sh": reader.types}[language](block)
    (folder / "keys.secret").write_text("kq3V-new-8fJ2_0pTzXw7Lm", "utf-8")
    assert main(["keys", "rotate"]) == 2
    assert "back into the list" in capsys.readouterr().err
    assert main(["keys", "rotate", "--compromised"]) == 0
    assert main(["keys", "prune"]) == 0


def test_a_rotation_too_early_exits_1(folder, monkeypatch, capsys):
    """And says how long to wait."""
    reader = Reader(folder, monkeypatch)
    for language, block in BLOCKS[:2]:
        {"toml": reader.writes, "sh": reader.types}[language](block)
    assert main(["keys", "rotate"]) == 1
    assert re.search(r"wait 3\d\d seconds", capsys.readouterr().err)


def test_the_python_works(folder):
    """As written."""
    (block,) = PAGE.blocks
    names = PAGE.run(block, {})
    assert len(names["keys"].kids()) == 3
    names["repositories"].close()


def test_the_numbers_are_those_of_the_code():
    """Seconds ahead, seconds after, the set's age."""
    assert f"at least {rotation.LEAD_SECONDS} seconds" in PAGE.text
    assert f"and {rotation.TRAIL_SECONDS} s more" in PAGE.text
    assert f"max-age={rotation.SET_MAX_AGE}" in PAGE.text
    assert f"within {rotation.REREAD_SECONDS:.0f} seconds" in PAGE.text
