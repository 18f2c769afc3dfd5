"""What waitress refuses by itself, answered in the form of every other error."""

from __future__ import annotations

from typing import Any, cast

from waitress.channel import HTTPChannel
from waitress.task import ErrorTask

from tokenward.bearer import error_response
from tokenward.errors import InvalidRequest, PayloadTooLarge


class _JSONErrorTask(ErrorTask):
    def execute(self) -> None:
        """Answer a request that could not be read as HTTP, or is larger than any that could."""
        # The published types know neither the parser's error nor that headers are a list.
        error = cast("Any", self.request).error
        refusal = PayloadTooLarge() if error.code == 413 else InvalidRequest(reason="malformed")
        made = error_response(refusal)
        self.status = f"{error.code} {error.reason}"
        # A challenge would be about a token, and nothing here is.
        headers = (h for h in made.headers if h[0] != "WWW-Authenticate")
        self.response_headers = [*self.response_headers, *headers]
        self.set_close_on_finish()
        self.content_length = len(made.body)
        self.write(made.body)


class Channel(HTTPChannel):
    """A connection whose malformed requests get a JSON error body."""

    error_task_class = _JSONErrorTask
