"""Whether its authority has taken a certificate back: by OCSP (RFC 6960), or by its list (CRL), as it names them.

Both are fetched over plain HTTP and signed by the authority. No answer is no answer: only a signed “revoked” counts.
"""

from __future__ import annotations

import datetime as dt
from urllib.parse import urlsplit

import requests
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

SECONDS = 10.0
MOST_BYTES = 32 * 1024 * 1024  # Let's Encrypt's lists have some MiB


def revoked_at(chain_pem: bytes) -> dt.datetime | None:
    """When it was revoked; None: it was not, or nobody says. ``chain_pem``: the certificate and who issued it."""
    chain = x509.load_pem_x509_certificates(chain_pem)
    if len(chain) < 2:
        return None
    leaf, issuer = chain[0], chain[1]
    for url in _ocsp_urls(leaf):
        found, moment = _ask_responder(url, leaf, issuer)
        if found:
            return moment
    for url in _crl_urls(leaf):
        found, moment = _look_in_list(url, leaf, issuer)
        if found:
            return moment
    return None


def _ask_responder(url: str, leaf: x509.Certificate, issuer: x509.Certificate) -> tuple[bool, dt.datetime | None]:
    """Whether it gave an answer that counts, and when it says that the certificate was revoked."""
    asked = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA1()).build()  # noqa: S303 - RFC 5019's
    body = _fetch("POST", url, asked.public_bytes(serialization.Encoding.DER), "application/ocsp-request")
    try:
        answer = ocsp.load_der_ocsp_response(body)
        if answer.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL or answer.serial_number != leaf.serial_number:
            return False, None
        if not _is_signed_by(_signer(answer, issuer), answer.signature, answer.tbs_response_bytes, answer):
            return False, None
        if answer.certificate_status == ocsp.OCSPCertStatus.REVOKED:
            return True, answer.revocation_time_utc
        until = answer.next_update_utc
        if until and until < dt.datetime.now(dt.timezone.utc):  # an old word, kept by whoever stands between us
            return False, None
        return answer.certificate_status == ocsp.OCSPCertStatus.GOOD, None
    except (ValueError, UnsupportedAlgorithm):
        return False, None


def _signer(answer: ocsp.OCSPResponse, issuer: x509.Certificate) -> x509.Certificate:
    """The authority itself, or one to whom it gave the right to answer (RFC 6960, 4.2.2.2)."""
    for certificate in answer.certificates:
        try:
            certificate.verify_directly_issued_by(issuer)
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
            continue
        if ExtendedKeyUsageOID.OCSP_SIGNING in usage:
            return certificate
    return issuer


def _is_signed_by(signer: x509.Certificate, signature: bytes, signed: bytes, answer: ocsp.OCSPResponse) -> bool:
    key, algorithm = signer.public_key(), answer.signature_hash_algorithm
    if algorithm is None:
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _look_in_list(url: str, leaf: x509.Certificate, issuer: x509.Certificate) -> tuple[bool, dt.datetime | None]:
    body = _fetch("GET", url)
    try:
        found = x509.load_pem_x509_crl(body) if body.startswith(b"-----") else x509.load_der_x509_crl(body)
        key = issuer.public_key()
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) or not found.is_signature_valid(key):
            return False, None
        row = found.get_revoked_certificate_by_serial_number(leaf.serial_number)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False, None
    return True, row.revocation_date_utc if row else None


def _fetch(method: str, url: str, body: bytes = b"", kind: str = "") -> bytes:
    """Empty when it cannot be had."""
    if urlsplit(url).scheme not in ("http", "https"):
        return b""
    headers = {"Content-Type": kind} if kind else {}
    try:
        with requests.request(method, url, data=body, headers=headers, timeout=SECONDS, stream=True) as answer:
            if answer.status_code != 200:
                return b""
            data = b""
            for piece in answer.iter_content(64 * 1024):
                data += piece
                if len(data) > MOST_BYTES:
                    return b""
            return data
    except requests.RequestException:
        return b""


def _ocsp_urls(leaf: x509.Certificate) -> list[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    wanted = AuthorityInformationAccessOID.OCSP
    return [str(each.access_location.value) for each in found if each.access_method == wanted]


def _crl_urls(leaf: x509.Certificate) -> list[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [str(name.value) for point in found for name in point.full_name or () if not point.reasons]
