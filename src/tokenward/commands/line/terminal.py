"""What a command reads and writes: lines, passwords, tokens."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TextIO

from tokenward.errors import ConfigurationError

STDIN = "-"

_MAX_SECRET_BYTES = 65_536


class Terminal:
    """Standard output, input and error.

    Args:
        out: Instead of standard output.
        err: Instead of standard error.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = sys.stdout if out is None else out
        self._err = sys.stderr if err is None else err
        for stream in (self._out, self._err):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                # A name that the terminal has no letters for is shown escaped.
                reconfigure(errors="backslashreplace")

    def say(self, text: str, /) -> None:
        """Write a line to standard output, at once: somebody may be waiting for it."""
        self._out.write(f"{text}\n")
        self._out.flush()

    def note(self, text: str, /) -> None:
        """Write a line to standard error."""
        self._err.write(f"{text}\n")

    @property
    def is_looked_at(self) -> bool:
        """Whether standard error is where somebody sees it being drawn on."""
        isatty = getattr(self._err, "isatty", None)
        return bool(isatty is not None and isatty())

    def draw(self, text: str, /) -> None:
        """Write to standard error as it stands, at once and without a line end."""
        self._err.write(text)
        self._err.flush()

    def read_token(self) -> str:
        """Return the token on standard input, without white space around it."""
        if sys.stdin.isatty():
            return _asked("Token: ").strip()
        data = sys.stdin.buffer.read(_MAX_SECRET_BYTES)
        return data.decode("utf-8", "replace").strip()

    def read_password(self, file: str | None) -> str:
        """Return a new password: from a file, or asked for twice.

        Args:
            file: A path, or ``-`` for standard input; one newline at the end is not part of it.

        Raises:
            ConfigurationError: There is nobody to ask, the file cannot be read, or what was
                typed differs.
        """
        if file is not None:
            return _password_in(file)
        if not sys.stdin.isatty():
            raise ConfigurationError(
                "There is no terminal to ask for the password on; name a file with "
                "--password-file, or - for standard input."
            )
        password = _asked("Password: ")
        if _asked("Again: ") != password:
            raise ConfigurationError("The two passwords differ; nothing was changed.")
        return password


def _asked(prompt: str) -> str:
    try:
        return getpass.getpass(prompt)
    except EOFError:
        # Ctrl-D says what Ctrl-C does: nothing will be typed.
        raise KeyboardInterrupt from None


def _password_in(file: str) -> str:
    try:
        if file == STDIN:
            data = sys.stdin.buffer.read(_MAX_SECRET_BYTES)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(_MAX_SECRET_BYTES)
        text = data.decode("utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigurationError(f"The password file {file} cannot be read: {why}.") from None
    return text.removesuffix("\n").removesuffix("\r")
