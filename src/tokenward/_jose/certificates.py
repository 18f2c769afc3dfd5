"""What a certificate says of itself (RFC 5280)."""

from __future__ import annotations

from cryptography import x509

from tokenward._jose.algorithms import FOREIGN_ERRORS
from tokenward.errors import ConfigurationError


def expires_at(pem: bytes) -> int:
    """Return when the first certificate of a PEM text ends, in seconds since the epoch.

    Raises:
        ConfigurationError: There is none that can be read.
    """
    return validity(pem)[1]


def validity(pem: bytes) -> tuple[int, int]:
    """Return when the first certificate of a PEM text begins and ends (RFC 5280, 4.1.2.5).

    Raises:
        ConfigurationError: There is none that can be read.
    """
    try:
        first = x509.load_pem_x509_certificates(pem)[0]
        begins, ends = first.not_valid_before_utc, first.not_valid_after_utc
        return int(begins.timestamp()), int(ends.timestamp())
    except (*FOREIGN_ERRORS, x509.InvalidVersion):
        pass
    raise ConfigurationError("there is no certificate in it that can be read; write a PEM file")
