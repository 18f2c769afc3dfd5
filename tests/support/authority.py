"""A certificate authority for an hour, and certificates that none has signed."""

import datetime as dt
import ipaddress
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "Test authority"


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Authority:
    """A certificate authority that lives as long as the test run."""

    folder: object
    key: object = field(default_factory=new_key)
    serial: int = 0

    def __post_init__(self):
        self.path = str(self.folder / "ca.pem")
        certificate = _signed(NAME, self.key, [], by=NAME, signer=self.key, ca=True)
        (self.folder / "ca.pem").write_bytes(certificate)

    def issue(self, name, *, addresses=()):
        """Return the paths of a certificate for ``name`` and of its key."""
        key = new_key()
        names = [x509.DNSName(name)]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        return self._kept(key, _signed(name, key, names, by=NAME, signer=self.key))

    def self_signed(self, name):
        """Return the paths of a certificate that only ``name`` vouches for, and of its key."""
        key = new_key()
        return self._kept(key, _signed(name, key, [], by=name, signer=key))

    def _kept(self, key, certificate):
        self.serial += 1
        cert_path = self.folder / f"{self.serial}.pem"
        key_path = self.folder / f"{self.serial}.key"
        cert_path.write_bytes(certificate)
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return str(cert_path), str(key_path)


def _signed(name, key, names, *, by, signer, ca=False):
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, by)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if ca:
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
