"""A certificate with its chain and its key, as a person pastes them or Certbot makes them: read, checked, put in order.

What comes out of ``read_pair`` is what Nginx can serve: the leaf first, each certificate followed by its issuer, no
root, the key without a passphrase.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from infrastructure.errors import Refused

MOST_BYTES = 128 * 1024  # of either file; a chain of Let's Encrypt's has 4 KiB
MOST_CERTIFICATES = 10
RSA_BITS = (2048, 8192)  # OpenSSL refuses shorter ones at its usual level; longer ones only cost time
CURVES = ("secp256r1", "secp384r1", "secp521r1")  # that browsers take
PEM_HINT = "It begins with -----BEGIN CERTIFICATE-----. From .p12: openssl pkcs12 -in FILE -nodes."
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Extension = TypeVar("Extension", bound=x509.ExtensionType)


@dataclass(frozen=True)
class Facts:
    """What stands in a certificate. Times are aware."""

    names: tuple[str, ...]  # A-labels, lower case; a wildcard as *.example.com
    issuer: str
    serial: str  # hexadecimal
    fingerprint: str  # SHA-256 of the leaf, hexadecimal
    not_before: dt.datetime
    not_after: dt.datetime
    self_signed: bool
    key: str  # "EC P-256", "RSA 2048"

    def covers(self, name: str) -> bool:
        """Whether a browser that asks for ``name`` accepts it (RFC 9525): a wildcard stands for one label."""
        wanted = name.lower()
        return wanted in self.names or f"*.{wanted.partition('.')[2]}" in self.names


@dataclass(frozen=True)
class Pair(Facts):
    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)


def read_pair(chain_pem: bytes, key_pem: bytes, *, passphrase: str | None = None, allow_expired: bool = False) -> Pair:
    """Raises ``Refused``: ``certificate.too-large``, ``not-pem``, ``key-not-pem``, ``key-encrypted``, ``passphrase``,
    ``key-kind``, ``mismatch``, ``chain``, ``weak``, ``names``, ``not-for-servers``, ``expired``, ``not-yet-valid``."""
    certificates = _certificates(chain_pem)
    key = _key(key_pem, passphrase)
    leaf = _leaf_of(key, certificates)
    chain = _in_order(leaf, certificates)
    facts = facts_of(leaf)
    _check_leaf(leaf, facts)
    if not allow_expired:
        check_dates(facts)
    return Pair(
        **vars(facts),
        chain_pem=b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def facts_of(leaf: x509.Certificate) -> Facts:
    return Facts(
        names=_names(leaf),
        issuer=leaf.issuer.rfc4514_string()[:300],
        serial=f"{leaf.serial_number:x}",
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        self_signed=leaf.issuer == leaf.subject and _signed(leaf, leaf),
        key=_kind(leaf.public_key()),
    )


def check_dates(facts: Facts, now: dt.datetime | None = None) -> None:
    now = now or dt.datetime.now(dt.timezone.utc)
    if facts.not_after <= now:
        raise Refused(
            "certificate.expired",
            f"The certificate has expired on {facts.not_after:%d %B %Y, %H:%M} UTC.",
            "Renew it where it was made.",
        )
    if facts.not_before > now + dt.timedelta(minutes=5):
        raise Refused(
            "certificate.not-yet-valid",
            f"The certificate is valid from {facts.not_before:%d %B %Y, %H:%M} UTC on, and this server's clock says "
            f"{now:%d %B %Y, %H:%M}.",
            "Wait until then; or is the clock wrong?",
        )


def _certificates(text: bytes) -> list[x509.Certificate]:
    if len(text) > MOST_BYTES:
        raise Refused("certificate.too-large", f"The certificate has more than {MOST_BYTES // 1024} KiB.", PEM_HINT)
    try:
        found = x509.load_pem_x509_certificates(text)
    except (ValueError, UnsupportedAlgorithm):
        raise Refused("certificate.not-pem", "This is not a certificate in PEM form.", PEM_HINT) from None
    if len(found) > MOST_CERTIFICATES:
        raise Refused(
            "certificate.too-large",
            f"There are {len(found)} certificates in it.",
            "Give the site's own and its intermediate ones alone: no bundle of roots.",
        )
    return list(dict.fromkeys(found))


def _key(text: bytes, passphrase: str | None) -> Key:
    if len(text) > MOST_BYTES:
        raise Refused("certificate.too-large", f"The key has more than {MOST_BYTES // 1024} KiB.")
    encrypted = b"ENCRYPTED" in text  # "ENCRYPTED PRIVATE KEY", or the old form's "4,ENCRYPTED"
    try:
        key = serialization.load_pem_private_key(text, passphrase.encode() if passphrase and encrypted else None)
    except TypeError:
        raise Refused("certificate.key-encrypted", "The key is encrypted.", "Give its passphrase as well.") from None
    except (ValueError, UnsupportedAlgorithm):
        if encrypted and passphrase:
            raise Refused("certificate.passphrase", "The passphrase does not open the key.") from None
        hint = "It begins with -----BEGIN PRIVATE KEY----- (or RSA or EC PRIVATE KEY)."
        raise Refused("certificate.key-not-pem", "This is not a private key in PEM form.", hint) from None
    usable = (isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES) or (
        isinstance(key, rsa.RSAPrivateKey) and RSA_BITS[0] <= key.key_size <= RSA_BITS[1]
    )
    if not usable or not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise Refused(
            "certificate.key-kind",
            f"Browsers do not take a key of this kind ({_kind(key.public_key())}).",
            f"Use EC P-256, or RSA with {RSA_BITS[0]} to {RSA_BITS[1]} bits.",
        )
    return key


def _leaf_of(key: Key, certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    wanted = _public_bytes(key.public_key())
    for certificate in certificates:
        if _public_bytes(certificate.public_key()) == wanted:
            return certificate
    raise Refused(
        "certificate.mismatch",
        "The key does not belong to this certificate.",
        "Give the key with which the certificate was asked for.",
    )


def _in_order(leaf: x509.Certificate, certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The leaf, then each one's issuer. A root is left out: who trusts it has it."""
    left = [each for each in certificates if each != leaf]
    chain = [leaf]
    while issuer := next((each for each in left if _signed(chain[-1], each)), None):
        left.remove(issuer)
        chain.append(issuer)
    strange = [each for each in left if not _signed(each, each)]
    if strange:
        raise Refused(
            "certificate.chain",
            f"“{strange[0].subject.rfc4514_string()[:100]}” is no issuer of this certificate.",
            f"Give the chain that came with it: {leaf.issuer.rfc4514_string()[:100]} and its issuers.",
        )
    if len(chain) == 1 and not _signed(leaf, leaf) and _names_its_issuers_address(leaf):
        raise Refused(
            "certificate.chain",
            f"The chain is missing: browsers do not know {leaf.issuer.rfc4514_string()[:100]} by themselves.",
            "Give the full chain (fullchain.pem): the certificate, then the one that issued it.",
        )
    return [leaf, *(each for each in chain[1:] if not _signed(each, each))]


def _check_leaf(leaf: x509.Certificate, facts: Facts) -> None:
    if not facts.names:
        raise Refused("certificate.names", "The certificate is for no host name.", "Browsers read the SAN alone.")
    if isinstance(leaf.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
        raise Refused("certificate.weak", "The certificate is signed with SHA-1 or MD5, which no browser takes.")
    usage = _extension(leaf, x509.ExtendedKeyUsage)
    if usage and not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usage):
        raise Refused("certificate.not-for-servers", "The certificate is not made for servers.")


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    found = _extension(leaf, x509.SubjectAlternativeName)
    return tuple(dict.fromkeys(name.lower() for name in found.get_values_for_type(x509.DNSName))) if found else ()


def _extension(leaf: x509.Certificate, kind: type[Extension]) -> Extension | None:
    try:
        return leaf.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return None


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _names_its_issuers_address(leaf: x509.Certificate) -> bool:
    """As every authority that browsers know does; one of a company's own, with no intermediate, does not."""
    return _extension(leaf, x509.AuthorityInformationAccess) is not None


def _public_bytes(key: object) -> bytes:
    encode = getattr(key, "public_bytes")  # noqa: B009 - every kind of public key has it, and they have no common type
    found: bytes = encode(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return found


def _kind(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name.replace('secp', 'P-').removesuffix('r1')}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")
