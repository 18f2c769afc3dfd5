"""What a certificate says of itself (RFC 5280)."""

from __future__ import annotations

from cryptography import x509

from tokenward.errors import ConfigurationError


def expires_at(pem: bytes) -> int:
    """Return when the first certificate of a PEM text ends, in seconds since the epoch.

    Raises:
        ConfigurationError: There is none that can be read.
    """
    try:
        first = x509.load_pem_x509_certificates(pem)[0]
        return int(first.not_valid_after_utc.timestamp())
    except ValueError:
        pass
    raise ConfigurationError("there is no certificate in it that can be read; write a PEM file")
