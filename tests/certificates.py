"""Real certificates: an authority of the tests' own, with an intermediate, and what it issues."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
DAY = dt.timedelta(days=1)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def key_pem(key: Key, passphrase: bytes = b"") -> bytes:
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Issued:
    certificate: x509.Certificate
    key: Key
    chain: tuple[x509.Certificate, ...]

    @property
    def chain_pem(self) -> bytes:
        return pem(self.certificate, *self.chain)

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def key_pem(self) -> bytes:
        return key_pem(self.key)


@dataclass
class Authority:
    """``root`` is what a browser would trust; ``intermediate`` signs."""

    name: str = "Tests"
    root_key: Key = field(default_factory=new_key)
    intermediate_key: Key = field(default_factory=new_key)

    def __post_init__(self) -> None:
        self.root = _signed(f"{self.name} root", self.root_key, f"{self.name} root", self.root_key, authority=True)
        self.intermediate = _signed(
            f"{self.name} intermediate", self.intermediate_key, f"{self.name} root", self.root_key, authority=True
        )

    def issue(
        self,
        *names: str,
        key: Key | None = None,
        days: tuple[int, int] = (-1, 90),
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    ) -> Issued:
        key = key or new_key()
        leaf = _signed(
            names[0] if names else "nobody",
            key,
            f"{self.name} intermediate",
            self.intermediate_key,
            names=names,
            days=days,
            usage=usage,
        )
        return Issued(leaf, key, (self.intermediate,))


def self_signed(*names: str) -> Issued:
    key = new_key()
    return Issued(_signed(names[0], key, names[0], key, names=names), key, ())


def _signed(
    subject: str,
    key: Key,
    issuer: str,
    issuer_key: Key,
    *,
    names: tuple[str, ...] = (),
    days: tuple[int, int] = (-1, 90),
    usage: x509.ObjectIdentifier | None = None,
    authority: bool = False,
) -> x509.Certificate:
    now = dt.datetime.now(dt.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    if usage:
        address = x509.UniformResourceIdentifier("http://authority.invalid/issuer.der")
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, address)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])
