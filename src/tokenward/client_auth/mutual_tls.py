"""`MutualTLS`: a certificate instead of a secret (RFC 8705, section 2)."""

from __future__ import annotations

import os
import ssl
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tokenward._log import shown
from tokenward.client_auth.credentials import Secretive, checked
from tokenward.errors import AuthServiceUnavailable, ConfigurationError

if TYPE_CHECKING:
    from tokenward.protocols import ClientAuth, Request

_NEEDS_TLS = "MutualTLS needs an https endpoint: over http no certificate is sent"


class MutualTLS(Secretive):
    """The certificate of the TLS connection, and who it is said to be (RFC 8705, section 2).

    It serves ``tls_client_auth`` and ``self_signed_tls_client_auth`` alike: which of the two it is
    stands in the server's registration of the client. The files are read again when they change,
    so that a certificate can be renewed under a program that runs.

    Args:
        client_id: The client identifier, sent in the form.
        cert: Path of the certificate, and the chain above it, as PEM.
        key: Path of its private key as PEM, without a passphrase; the same path where one file
            holds both.

    Raises:
        ConfigurationError: The identifier is empty, not a string or holds control characters; a
            file cannot be read; or the two make no pair.
    """

    __slots__ = ("_cert", "client_id")
    methods: Final = ("tls_client_auth", "self_signed_tls_client_auth")

    def __init__(
        self, client_id: str, cert: str | os.PathLike[str], key: str | os.PathLike[str]
    ) -> None:
        self.client_id = checked(client_id, "client_id")
        self._cert = (_readable(cert, "cert"), _readable(key, "key"))
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(*self._cert, password="")
        except (OSError, ValueError):
            raise ConfigurationError(
                f"The certificate {shown(self._cert[0])} and the key {shown(self._cert[1])} cannot"
                " be used together; give PEM files, the key without a passphrase and belonging to"
                " the first certificate."
            ) from None

    def apply(self, request: Request, /) -> Request:
        """Return ``request`` with the certificate to show, and ``client_id`` in its form.

        Raises:
            AuthServiceUnavailable: It does not go to an https URL (``client_auth``).
        """
        if not request.url.startswith("https://"):
            raise AuthServiceUnavailable(_NEEDS_TLS, reason="client_auth")
        form = {**(request.form or {}), "client_id": self.client_id}
        return replace(request, cert=self._cert, form=form)

    def __repr__(self) -> str:
        return f"MutualTLS({self.client_id!r})"


def check_endpoint(client_auth: ClientAuth, url: str) -> None:
    """Refuse a configured endpoint at which ``client_auth`` could never be applied.

    Raises:
        ConfigurationError: Mutual TLS without TLS.
    """
    if isinstance(client_auth, MutualTLS) and not url.startswith("https://"):
        raise ConfigurationError(f"{_NEEDS_TLS}; give the endpoint's https URL.")


def _readable(path: str | os.PathLike[str], what: str) -> str:
    try:
        found = Path(path)
        with found.open("rb"):
            return str(found)
    except (OSError, TypeError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
    raise ConfigurationError(
        f"{what} is the path of a PEM file that this process may read; {shown(path)} is not"
        f" ({why})."
    )
