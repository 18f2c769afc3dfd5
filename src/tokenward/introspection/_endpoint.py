"""Where questions go: as configured, or as the issuer's metadata says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenward.introspection.signed import SignedAnswers
    from tokenward.metadata import IssuerMetadata, Metadata
    from tokenward.protocols import ClientAuth


class Endpoint:
    """The introspection endpoint of one server, for one client.

    Args:
        configured: The URL; ``None``: it is in the metadata.
        metadata: The issuer's; ``None``: nothing of it is needed.
        client_auth: How we authenticate there.
        signed: What reads the answers, if they have to be signed.

    Attributes:
        url: As far as it is known; empty before it was found.
    """

    def __init__(
        self,
        configured: str | None,
        *,
        metadata: IssuerMetadata | None,
        client_auth: ClientAuth,
        signed: SignedAnswers | None,
    ) -> None:
        # One reference that is replaced whole when the metadata moves the endpoint.
        self.url = configured or ""
        self._configured = configured
        self._metadata = metadata
        self._client_auth = client_auth
        self._signed = signed

    @property
    def is_discovered(self) -> bool:
        """Whether the issuer itself names it."""
        return self._configured is None

    def find(self, deadline: float) -> str:
        """Return the URL, asking for the metadata if need be.

        Args:
            deadline: When to give up, on the ``time.monotonic()`` scale.

        Raises:
            AuthServiceUnavailable: The metadata cannot be had, or has not what is needed.
        """
        if self._metadata is not None:
            self.url = self._metadata.read(self._look, deadline=deadline)
        return self.url

    def _look(self, metadata: Metadata) -> str:
        # All that the answer will need too, before the token is sent anywhere.
        if self._signed is not None:
            self._signed.check(metadata)
        return self._configured or metadata.endpoint("introspection_endpoint", self._client_auth)
