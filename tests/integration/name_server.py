"""BIND as the authoritative server of one zone that takes signed updates (RFC 2136, TSIG), as people run it."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.message
import dns.query

from tests.integration.waiting import until
from tests.plan import free_port


@dataclass
class NameServer:
    root: Path
    zone: str
    port: int = field(default_factory=free_port)
    secret: str = field(default_factory=lambda: base64.b64encode(os.urandom(64)).decode())
    process: subprocess.Popen[bytes] | None = None

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def credentials(self) -> str:
        """For Certbot's plugin."""
        lines = {"server": "127.0.0.1", "port": self.port, "name": "bakery.", "secret": self.secret}
        lines["algorithm"] = "HMAC-SHA512"
        return "".join(f"dns_rfc2136_{key} = {value}\n" for key, value in lines.items())

    def start(self) -> NameServer:
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "zone").write_text(
            f"$ORIGIN {self.zone}.\n$TTL 5\n@ SOA ns1 hostmaster 1 3600 600 86400 5\n@ NS ns1\nns1 A 127.0.0.1\n"
            "@ A 127.0.0.1\n* A 127.0.0.1\n"
        )
        (self.root / "named.conf").write_text(f"""
            key "bakery." {{ algorithm hmac-sha512; secret "{self.secret}"; }};
            options {{
                directory "{self.root}"; pid-file "{self.root}/named.pid"; session-keyfile "{self.root}/session.key";
                listen-on port {self.port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
                recursion no; dnssec-validation no; notify no;
            }};
            controls {{ }};
            zone "{self.zone}" {{ type master; file "{self.root}/zone"; allow-update {{ key "bakery."; }}; }};
        """)
        program = shutil.which("named", path="/usr/sbin:/usr/local/sbin") or "named"
        log = (self.root / "named.log").open("wb")
        argv = [program, "-g", "-n", "1", "-c", str(self.root / "named.conf")]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self._answers)
        return self

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        try:
            answer = dns.query.udp(dns.message.make_query(self.zone, "SOA"), "127.0.0.1", port=self.port, timeout=1)
        except (dns.exception.DNSException, OSError):
            return False
        return bool(answer.answer)
