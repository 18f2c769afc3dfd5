"""`make clean`: what the demo keeps is removed with everything else that make made."""

import re
from pathlib import Path

from tokenward.commands.demo.run import FOLDER

ROOT = Path(__file__).parents[3]


def test_the_folder_of_the_demo_is_removed():
    """It holds secrets and a database, and nothing but the demo makes it."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (recipe,) = re.findall(r"^clean:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    (removed,) = re.findall(r"\trm -rf ((?:.*\\\n)*.*)\n", recipe)

    assert FOLDER in removed.split()
