"""Whether a certificate was revoked, by OCSP and by a list: only a signed word of its authority counts."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID

from infrastructure.certificates.revocation import revoked_at
from tests.certificates import Authority, key_pem, new_key, pem
from tests.integration.ocsp_responder import OcspResponder

NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
DAY = dt.timedelta(days=1)


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def responder(authority: Authority) -> Iterator[OcspResponder]:
    made = OcspResponder()
    made.speak_for(authority.intermediate, key_pem(authority.intermediate_key))
    yield made
    made.stop()


@pytest.fixture
def lists() -> Iterator[Lists]:
    made = Lists()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Lists:
    """Serves one CRL."""

    def __init__(self) -> None:
        self.body = b""
        lists = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if lists.body else 404)
                self.end_headers()
                self.wfile.write(lists.body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/list.crl"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def publish(self, authority: Authority, key: ec.EllipticCurvePrivateKey, *serials: int) -> None:
        builder = x509.CertificateRevocationListBuilder().issuer_name(authority.intermediate.subject)
        builder = builder.last_update(NOW).next_update(NOW + DAY)
        for serial in serials:
            row = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW).build()
            builder = builder.add_revoked_certificate(row)
        self.body = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def leaf(authority: Authority, *, ocsp: str = "", crl: str = "") -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.intermediate.subject)
        .public_key(new_key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
    )
    if ocsp:
        where = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp))
        builder = builder.add_extension(x509.AuthorityInformationAccess([where]), critical=False)
    if crl:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    return builder.sign(authority.intermediate_key, hashes.SHA256())  # type: ignore[arg-type]


def test_a_responder_says_when_it_was_revoked(authority: Authority, responder: OcspResponder) -> None:
    certificate = leaf(authority, ocsp=responder.url)
    chain = pem(certificate, authority.intermediate)
    responder.know(certificate)
    assert revoked_at(chain) is None
    responder.revoke(certificate, NOW)
    assert revoked_at(chain) == NOW


def test_a_responder_that_is_not_the_authoritys_is_not_believed(authority: Authority, responder: OcspResponder) -> None:
    certificate = leaf(authority, ocsp=responder.url)
    responder.speak_for(authority.intermediate, key_pem(new_key()))
    responder.revoke(certificate, NOW)
    assert revoked_at(pem(certificate, authority.intermediate)) is None


def test_a_good_word_from_before_is_none(authority: Authority, responder: OcspResponder, lists: Lists) -> None:
    certificate = leaf(authority, ocsp=responder.url, crl=lists.url)
    key = authority.intermediate_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    lists.publish(authority, key, certificate.serial_number)
    responder.know(certificate)
    assert revoked_at(pem(certificate, authority.intermediate)) is None
    responder.age = DAY
    assert revoked_at(pem(certificate, authority.intermediate)) == NOW


def test_a_list_says_when_it_was_revoked(authority: Authority, lists: Lists) -> None:
    certificate = leaf(authority, crl=lists.url)
    chain = pem(certificate, authority.intermediate)
    key = authority.intermediate_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    lists.publish(authority, key, 5)
    assert revoked_at(chain) is None
    lists.publish(authority, key, 5, certificate.serial_number)
    assert revoked_at(chain) == NOW
    lists.publish(authority, new_key(), certificate.serial_number)  # signed by somebody else
    assert revoked_at(chain) is None


def test_where_nobody_answers_nothing_is_said(authority: Authority, lists: Lists) -> None:
    assert revoked_at(pem(leaf(authority, ocsp="http://127.0.0.1:9/", crl=lists.url), authority.intermediate)) is None
    lists.body = b"no list"
    assert revoked_at(pem(leaf(authority, crl=lists.url), authority.intermediate)) is None
    assert revoked_at(pem(leaf(authority, crl="ldap://directory.example/"), authority.intermediate)) is None
    assert revoked_at(pem(leaf(authority))) is None
