"""The code blocks of the documentation's pages, and whether its mappings are configurations."""

import re
import tomllib
from pathlib import Path

from tokenward.config import Settings, build_authenticator

DOCS = Path(__file__).parents[2] / "docs"


class Page:
    """One page, by its path below ``docs``."""

    def __init__(self, path):
        self.path = path
        self.text = (DOCS / path).read_text("utf-8")
        self.blocks = re.findall(r"```python\n(.*?)```", self.text, re.DOTALL)

    def block(self, text):
        """Return the one Python block that has ``text``."""
        (found,) = (block for block in self.blocks if text in block)
        return found

    def run(self, code, names):
        """Run ``code`` with these names, and return them."""
        names.setdefault("__name__", "page")
        exec(compile(code, self.path, "exec"), names)  # noqa: S102 - our own page
        return names

    def mappings(self):
        """Return every mapping ``TOKENWARD`` that the page writes down, in order."""
        found = [block for block in self.blocks if block.startswith("TOKENWARD = {")]
        return [self.run(block, {})["TOKENWARD"] for block in found]

    def tomls(self):
        """Return every TOML block, read."""
        return [
            tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", self.text, re.DOTALL)
        ]

    def rows(self, heading, *, nth=1):
        """Return the cells of the rows of the ``nth`` table under a heading."""
        part = re.split(r"^## ", self.text.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]
        table = re.findall(r"(?:^\|.*\n)+", part, re.MULTILINE)[nth - 1]
        return [
            [cell.strip() for cell in line.strip("|\n").split(" | ")]
            for line in table.splitlines(keepends=True)[2:]
        ]


def slugs(cell):
    """Return what stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def settings(mapping):
    """Parse a mapping."""
    return Settings.model_validate(mapping)


def subject_of(mapping, token, **options):
    """Return whom a token speaks for in an application with this configuration."""
    return principal_of(mapping, token, **options).subject


def principal_of(mapping, token, **options):
    """Return the principal of a token in an application with this configuration."""
    headers = {"Authorization": f"Bearer {token}"}
    return build_authenticator(settings(mapping)).authenticate(headers, **options).principal
