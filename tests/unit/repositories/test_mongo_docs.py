"""docs/stores/mongodb.md, tried as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tokenward.errors import ConfigurationError
from tokenward.repositories.mongo import _schema as schema
from tokenward.repositories.mongo import open_mongo

PAGE = (Path(__file__).parents[3] / "docs/stores/mongodb.md").read_text("utf-8")


def block(language, number=0):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[number]


@pytest.mark.peer
def test_the_store_is_made_as_written(mongo, tmp_path):
    """The page's configuration and its command, with this server's address."""
    (tmp_path / "tokenward.toml").write_text(block("toml"), "utf-8")
    written = block("console", 1)
    variable = re.search(r"export (\w+)=", written)[1]
    command = re.search(r"tokenward (store init .*)", written)[1].split()
    url = mongo.new_url()
    done = subprocess.run(
        [sys.executable, "-m", "tokenward", *command],
        cwd=tmp_path,
        env={**os.environ, variable: url},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    opened = open_mongo(url, create=False)
    version, keys = opened.keys.load()
    opened.close()
    assert version >= 1
    assert "current" in [key.state for key in keys]


@pytest.mark.peer
def test_the_store_opens_in_python_as_written(mongo):
    """The same, without a configuration."""
    url = mongo.new_url()
    there = "mongodb://127.0.0.1:27017/tokenward?directConnection=true"
    names = {}
    exec(block("python").replace(there, url), names)  # noqa: S102 - that is the page
    names["repositories"].ping()
    names["repositories"].close()


def test_a_misspelt_option_stops_start_up_as_written():
    """The page says so of TLS."""
    assert "a misspelt `tls` is no TLS" in PAGE
    with pytest.raises(ConfigurationError, match="options that pymongo knows"):
        open_mongo("mongodb://127.0.0.1:9/db?tsl=true")


def test_the_table_lists_every_collection_and_index():
    """What an administrator reads is what is made."""
    listed = {}
    for name, cell in re.findall(r"^\| `(tokenward_\w+)` \|.*\| ([^|]*) \|$", PAGE, re.MULTILINE):
        listed[name] = sorted(
            part.strip() for part in cell.split(";") if part.strip() not in ("", "none")
        )
    made = {name: [] for name in schema.COLLECTIONS}
    for index in schema.MIGRATIONS[0]:
        kinds = ["unique"] * index.unique + ["sparse"] * index.sparse
        kinds += ["TTL"] * (index.ttl is not None)
        fields = ", ".join(field for field in index.fields if field != "_id")
        made[index.collection].append(", ".join(kinds) + " " * bool(kinds) + f"`{fields}`")
    assert {name: sorted(indexes) for name, indexes in made.items()} == listed
