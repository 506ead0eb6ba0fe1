"""Certbot, as Bakery asks it, against Pebble and against authorities that fail."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infrastructure.certbot.certbot import Certbot
from infrastructure.certbot.dns_plugins import DnsPlugin, plugin_called
from infrastructure.certbot.failures import IssuanceFailed
from infrastructure.certbot.place import Place
from infrastructure.certbot.plans import Authority, DnsRecord, Order, Plans, Webroot
from infrastructure.certificates.pem import read_pair
from infrastructure.certificates.store import CertificateStore
from infrastructure.errors import Cancelled
from infrastructure.runner import Runner
from infrastructure.secret import Secret
from tests.integration.acme import Pebble, needs
from tests.integration.bad_authority import BadAuthority
from tests.integration.name_server import NameServer

pytestmark = pytest.mark.slow
LINEAGE = "deployment-7"


class Host:
    """A data directory, and a web server that answers challenges out of it."""

    def __init__(self, root: Path) -> None:
        self.place = Place(root / "letsencrypt")
        self.store = CertificateStore(root / "certificates", None)
        self.acme_root = root / "acme"
        self.acme_root.mkdir()
        serve = functools.partial(_Quiet, directory=str(self.acme_root))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), serve)
        self.http_port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.printed = b""

    def certbot(self, directory: str, *, program: str = "certbot", seconds: float = 120, **runner: object) -> Certbot:
        plans = Plans(program, self.place, Authority(server=directory), self.store.root, os.getgid(), seconds)
        return Certbot(plans, Runner(**runner))

    def order(self, *names: str, force: bool = False) -> Order:
        return Order(LINEAGE, names, Webroot(self.acme_root), force)

    def print(self, data: bytes) -> None:
        self.printed += data

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    needs("certbot")
    made = Host(tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def pebble(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pebble]:
    needs("pebble", "pebble-challtestsrv")
    server = Pebble(tmp_path / "pebble", host.http_port)
    try:
        server.start()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.bundle))
        yield server
    finally:
        server.stop()


@pytest.fixture
def bad(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BadAuthority]:
    server = BadAuthority(tmp_path)
    try:
        server.start()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.bundle))
        yield server
    finally:
        server.stop()


def failure(certbot: Certbot, host: Host) -> IssuanceFailed:
    with pytest.raises(IssuanceFailed) as caught:
        certbot.issue(host.order("shop.example.test"), host.print)
    return caught.value


def test_a_certificate_is_issued_kept_changed_renewed_and_forgotten(host: Host, pebble: Pebble) -> None:
    certbot = host.certbot(pebble.directory)
    first = certbot.issue(host.order("shop.example.test"), host.print)
    assert first.is_new
    pair = read_pair(first.chain, first.key)
    assert pair.names == ("shop.example.test",)
    assert pair.key == "EC P-256"
    assert b"shop.example.test" in host.printed  # its output is the task's log

    # The hook has put it where Nginx reads it, without Bakery.
    served = host.store.current(LINEAGE)
    assert served is not None and served.fingerprint == pair.fingerprint

    # Asked again, nothing is issued; with another name, or by force, it is.
    assert not certbot.issue(host.order("shop.example.test")).is_new
    wider = certbot.issue(host.order("shop.example.test", "www.example.test"))
    assert wider.is_new and set(read_pair(wider.chain, wider.key).names) == {"shop.example.test", "www.example.test"}
    narrow = certbot.issue(host.order("www.example.test"))
    assert narrow.is_new and read_pair(narrow.chain, narrow.key).names == ("www.example.test",)
    again = certbot.issue(host.order("www.example.test", force=True))
    assert again.is_new

    # What systemd's timer does: it knows nothing of Bakery's code.
    timer = ["certbot", "renew", "--non-interactive", "--force-renewal", "--no-random-sleep-on-renew"]
    timer += ["--config-dir", str(host.place.config), "--work-dir", str(host.place.work)]
    timer += ["--logs-dir", str(host.place.root / "logs")]
    done = subprocess.run(timer, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    renewed = host.store.current(LINEAGE)
    assert renewed is not None and renewed.fingerprint != read_pair(again.chain, again.key).fingerprint

    certbot.delete(LINEAGE)
    certbot.delete(LINEAGE)
    left = [path for path in host.place.root.rglob("*") if LINEAGE in path.name]
    assert left == []
    assert host.place.lineages() == set()
    assert [path for path in host.acme_root.rglob("*") if path.is_file()] == []


def test_the_authoritys_reasons_are_told_in_words(host: Host, pebble: Pebble) -> None:
    certbot = host.certbot(pebble.directory)
    pebble.tell_dns("add-a", host="shop.example.test", addresses=["127.0.0.9"])  # where nobody listens
    problem = failure(certbot, host)
    assert problem.id == "acme.connection"
    assert "shop.example.test" in problem.message and problem.hint and problem.burns


def test_another_server_that_answers_is_told(host: Host, pebble: Pebble, tmp_path: Path) -> None:
    elsewhere = Order(LINEAGE, ("shop.example.test",), Webroot(_made(tmp_path / "elsewhere")))
    with pytest.raises(IssuanceFailed) as caught:
        host.certbot(pebble.directory).issue(elsewhere)
    assert caught.value.id == "acme.unauthorized"
    assert caught.value.burns
    assert host.store.current(LINEAGE) is None


def test_a_rate_limit_is_remembered_until_the_authority_says(host: Host, bad: BadAuthority) -> None:
    until = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=34)
    bad.kind, bad.status = "rateLimited", 429
    bad.detail = f"too many certificates already issued for: example.test, retry after {until:%Y-%m-%d %H:%M:%S} UTC"
    problem = failure(host.certbot(bad.directory), host)
    assert problem.id == "acme.rate-limited"
    assert problem.not_before == until.replace(microsecond=0)
    assert bad.orders == 1

    bad.detail, bad.headers = "slow down", {"Retry-After": "7200"}
    problem = failure(host.certbot(bad.directory), host)
    assert problem.not_before is not None
    waits = problem.not_before - dt.datetime.now(dt.timezone.utc)
    assert dt.timedelta(minutes=110) < waits <= dt.timedelta(hours=2)


@pytest.mark.parametrize(
    ("kind", "status", "id"),
    [
        ("rejectedIdentifier", 400, "acme.rejected-name"),
        ("serverInternal", 500, "acme.server-error"),
        ("externalAccountRequired", 403, "acme.external-account"),
        ("userActionRequired", 403, "acme.action-needed"),
    ],
)
def test_an_authority_that_refuses(host: Host, bad: BadAuthority, kind: str, status: int, id: str) -> None:
    bad.kind, bad.status, bad.detail = kind, status, "This is why."
    problem = failure(host.certbot(bad.directory), host)
    assert problem.id == id
    assert "This is why." in problem.message


def test_an_authority_that_does_not_answer_in_time_is_given_up(host: Host, bad: BadAuthority) -> None:
    bad.kind = ""
    assert failure(host.certbot(bad.directory, seconds=4), host).id == "acme.too-late"


def test_an_authority_that_is_down_or_not_trusted(
    host: Host, bad: BadAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert failure(host.certbot(bad.directory), host).id == "acme.untrusted"
    bad.stop()
    assert failure(host.certbot(bad.directory), host).id == "acme.unreachable"


def test_a_missing_certbot_and_a_missing_plugin_name_their_packages(host: Host) -> None:
    problem = failure(host.certbot("https://localhost:1/dir", program="/nonexistent/certbot"), host)
    assert problem.id == "certbot.missing" and "apt-get install certbot" in problem.hint
    strange = DnsPlugin("strange", "Strange", (), "")
    with pytest.raises(IssuanceFailed) as caught:
        host.certbot("https://localhost:1/dir").issue(
            Order(LINEAGE, ("*.example.test",), DnsRecord(strange, host.place.credentials(LINEAGE)))
        )
    assert caught.value.id == "certbot.plugin-missing"
    assert "python3-certbot-dns-strange" in caught.value.hint


def test_a_cancelled_order_ends_certbot(host: Host, bad: BadAuthority) -> None:
    bad.kind = ""
    certbot = host.certbot(bad.directory, cancelled=lambda: bad.orders > 0)
    with pytest.raises(Cancelled):
        certbot.issue(host.order("shop.example.test"))


def test_the_hook_needs_no_more_than_an_old_python(host: Host, tmp_path: Path) -> None:
    source = (Path(__file__).resolve().parents[2] / "infrastructure/certbot/install_renewed.py").read_text()
    compile(source, "install_renewed.py", "exec")
    compile_for = "import ast, sys; ast.parse(sys.stdin.read(), feature_version=(3, 8))"
    done = subprocess.run([sys.executable, "-I", "-c", compile_for], input=source, text=True)
    assert done.returncode == 0
    assert json.dumps(source).count("import infrastructure") == 0


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_wildcard_is_proven_by_a_record_that_certbot_makes(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("pebble", "named")
    zone = NameServer(tmp_path / "named", "wild.test")
    authority = Pebble(tmp_path / "pebble", host.http_port, dns=zone.at)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    try:
        zone.start()
        certbot = host.certbot(authority.start().directory)
        file = certbot.write_credentials(LINEAGE, Secret(zone.credentials))
        assert file.stat().st_mode & 0o777 == 0o600
        order = Order(LINEAGE, ("*.wild.test", "wild.test"), DnsRecord(plugin_called("rfc2136"), file, 1))
        issued = certbot.issue(order, host.print)
        assert set(read_pair(issued.chain, issued.key).names) == {"*.wild.test", "wild.test"}
        assert zone.secret.encode() not in host.printed

        wrong = zone.credentials.replace(zone.secret, "d3Jvbmd3cm9uZ3dyb25n")
        file = certbot.write_credentials(LINEAGE, Secret(wrong))
        with pytest.raises(IssuanceFailed) as caught:
            certbot.issue(dataclasses.replace(order, force=True))
        assert caught.value.id == "dns-provider.refused"
        assert not caught.value.burns
        certbot.delete(LINEAGE)
        assert not file.exists()
    finally:
        authority.stop()
        zone.stop()
