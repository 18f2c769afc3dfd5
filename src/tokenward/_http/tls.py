"""TLS contexts: verified, 1.2 or newer, made once, with sockets that obey an `Exchange`."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tokenward import _fork
from tokenward._http.sockets import BoundTLSSocket
from tokenward.errors import AuthServiceUnavailable, ConfigurationError

ClientCert = tuple[str, str]


class TLSContexts:
    """One context without a client certificate, and one for each certificate.

    Args:
        verify: ``True`` for certifi's authorities, the path of a PEM file or of a directory made
            by ``openssl rehash`` for others, ``False`` for none. The environment has no say.

    Raises:
        ConfigurationError: The path holds no authorities.
    """

    def __init__(self, verify: bool | str) -> None:  # noqa: FBT001 - the subject
        self._verify = verify
        self._made: dict[ClientCert | None, tuple[tuple[int, ...], ssl.SSLContext]] = {}
        self._lock = threading.Lock()
        _fork.register(self)
        if not isinstance(verify, bool | str):
            raise ConfigurationError("verify_tls is True, the path of a CA bundle, or False.")
        if isinstance(verify, str):
            try:
                self.get(None)
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    f"verify_tls names {verify!r}, which holds no CA certificates that can be read"
                    f" ({error}); give the path of a PEM file or of a directory made by"
                    " openssl rehash."
                ) from None

    def after_fork(self) -> None:
        """Replace a lock that another thread may hold in the parent; contexts may be shared."""
        self._lock = threading.Lock()

    def get(self, cert: ClientCert | None) -> ssl.SSLContext:
        """Return the context for ``cert``, made anew when its files have changed.

        Raises:
            AuthServiceUnavailable: The client certificate cannot be loaded (``tls``).
        """
        if cert is None:
            stamp: tuple[int, ...] = ()
        else:
            try:
                stamp = tuple(Path(path).stat().st_mtime_ns for path in cert)
            except OSError as error:
                raise _bad_certificate(error) from None
        with self._lock:
            made = self._made.get(cert)
        if made is not None and made[0] == stamp:
            return made[1]
        context = self._make(cert)
        with self._lock:
            # Of two threads that come here together, both use the context of the first.
            made = self._made.get(cert)
            if made is None or made[0] != stamp:
                self._made[cert] = made = (stamp, context)
        return made[1]

    def _make(self, cert: ClientCert | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = BoundTLSSocket
        if self._verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            path = DEFAULT_CA_BUNDLE_PATH if self._verify is True else self._verify
            if Path(path).is_dir():
                # OpenSSL takes any directory, and then trusts nobody.
                if not any(Path(path).glob("*.[0-9]")):
                    raise FileNotFoundError("no file named by a certificate's hash")
                context.load_verify_locations(capath=path)
            else:
                context.load_verify_locations(cafile=path)
        if cert is not None:
            try:
                # Without a password OpenSSL would ask for one on the terminal.
                context.load_cert_chain(*cert, password="")
            except OSError as error:
                raise _bad_certificate(error) from None
        return context


def _bad_certificate(error: OSError) -> AuthServiceUnavailable:
    return AuthServiceUnavailable(
        f"the client certificate or its key cannot be loaded ({type(error).__name__}:"
        f" {error.strerror}); both are PEM files, and the key has no passphrase",
        reason="tls",
    )
