"""An OCSP responder (RFC 6960) with the key of whoever issued: it says “good” until it is told otherwise."""

from __future__ import annotations

import datetime as dt
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp


class OcspResponder:
    def __init__(self, address: str = "127.0.0.1") -> None:
        self.revoked: dict[int, dt.datetime] = {}  # by serial
        self.issuer: x509.Certificate | None = None
        self.key: object = None
        self.leaves: dict[int, x509.Certificate] = {}
        self.age = dt.timedelta()  # of what it says
        responder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["Content-Length"]))
                body = responder.answer(ocsp.load_der_ocsp_request(asked))
                self.send_response(200)
                self.send_header("Content-Type", "application/ocsp-response")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def speak_for(self, issuer: x509.Certificate, key_pem: bytes) -> None:
        self.issuer, self.key = issuer, serialization.load_pem_private_key(key_pem, None)

    def know(self, leaf: x509.Certificate) -> None:
        self.leaves[leaf.serial_number] = leaf

    def revoke(self, leaf: x509.Certificate, when: dt.datetime) -> None:
        self.know(leaf)
        self.revoked[leaf.serial_number] = when.replace(microsecond=0)

    def answer(self, request: ocsp.OCSPRequest) -> bytes:
        leaf = self.leaves.get(request.serial_number)
        if self.issuer is None or leaf is None:
            refused = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED)
            return refused.public_bytes(serialization.Encoding.DER)
        when = self.revoked.get(leaf.serial_number)
        now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0) - self.age
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=leaf,
            issuer=self.issuer,
            algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.REVOKED if when else ocsp.OCSPCertStatus.GOOD,
            this_update=now,
            next_update=now + dt.timedelta(hours=1),
            revocation_time=when,
            revocation_reason=None,
        )
        signed = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self.issuer).sign(self.key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.DER)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
