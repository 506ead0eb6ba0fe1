"""Certificates of a running Bakery, from a real authority (Pebble) through a real Nginx."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from infrastructure.certificates.handshake import shown
from infrastructure.certificates.pem import read_pair
from infrastructure.certificates.store import CertificateStore
from tests.certificates import Authority, key_pem
from tests.instance import Instance
from tests.integration import programs
from tests.integration.acme import Pebble, needs
from tests.integration.apps import AppRepository
from tests.integration.driving import Driven, rows
from tests.integration.ocsp_responder import OcspResponder
from tests.integration.waiting import until

pytestmark = pytest.mark.slow
SECURED = "secured"


def port_of(instance: Instance) -> int:
    return int(instance.env["CERTBOT_SERVER"].split(":")[2].split("/")[0])


def listener(instance: Instance, at: Path) -> Path:
    """The instance trusts only the listener that was planned with it."""
    return Path(shutil.copytree(instance.data_dir / "acme-listener", at))


@pytest.fixture(scope="module")
def responder() -> Iterator[OcspResponder]:
    made = OcspResponder()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def pebble(instance: Instance, responder: OcspResponder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    needs("pebble", "pebble-challtestsrv", "certbot")
    root = listener(instance, tmp_path_factory.mktemp("pebble") / "run")
    server = Pebble(root, instance.http_port, port=port_of(instance), ocsp=responder.url)
    try:
        server.start()
        responder.speak_for(*server.issuer())
        yield server
    finally:
        server.stop()


@pytest.fixture
def site(instance: Instance, tmp_path: Path) -> Iterator[Site]:
    """With the name ``shop``."""
    made = Site(instance, tmp_path)
    yield made
    instance.manage("delete_deployment", made.name, "--yes", "--no-wait", check=False)


_count = iter(range(1, 1000))


class Site:
    """A deployment that has names of its own."""

    def __init__(self, instance: Instance, root: Path) -> None:
        self.instance = instance
        self.name = f"{SECURED}-{next(_count)}"
        repository = AppRepository(root / self.name, {"index.html": "<h1>hello</h1>"})
        self.driven = Driven(instance, self.name, repository)
        self.run(f"names.add_domain(d, {self.host('shop')!r}, by=None)", repository.url)
        self.store = instance.data_dir / "nginx" / "certificates" / f"deployment-{self.driven.id}"

    def host(self, label: str) -> str:
        return f"{label}.{self.name}.test"

    def run(self, code: str, repository: str = "") -> None:
        """Python beside the instance, with its services: ``d`` is the deployment, made from ``repository``."""
        head = "from deployments.models import Deployment; from domains.models import *; "
        head += "from domains.services import names; from deployments.services.settings import create_deployment; "
        make = f"create_deployment(by=None, name={self.name!r}, repository={repository!r})"
        head += f"d = {make if repository else f'Deployment.objects.get(name={self.name!r})'}; "
        self.instance.manage("shell", "-v0", "-c", head + code)

    def certificate(self, *argv: str, check: bool = True) -> dict[str, Any]:
        """The task that a command has asked for, ended; or the error with which it was refused."""
        done = self.instance.manage("certificate", *argv, "--json", check=False)
        if not done.stdout.strip():
            refused: dict[str, Any] = json.loads(done.stderr.strip().splitlines()[-1])
            assert not check, refused
            return refused
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    @property
    def row(self) -> dict[str, Any]:
        query = "SELECT * FROM domains_certificate WHERE deployment_id = %s"
        return rows(self.instance, query, self.driven.id)[0]

    def served(self, label: str) -> str:
        """The fingerprint of what Nginx shows there."""
        return shown(self.host(label), self.instance.https_port).facts.fingerprint

    def is_secure(self, label: str) -> bool:
        try:
            return shown(self.host(label), self.instance.https_port).facts.covers(self.host(label))
        except OSError:
            return False

    def alarms(self) -> set[str]:
        query = "SELECT key FROM bakery_alarm WHERE ended_at IS NULL AND deployment_id = %s"
        return {row["key"].split(":")[0] for row in rows(self.instance, query, self.driven.id)}

    def alarm(self, kind: str) -> str:
        query = "SELECT message FROM bakery_alarm WHERE ended_at IS NULL AND key = %s"
        found: str = rows(self.instance, query, f"{kind}:{self.row['id']}")[0]["message"]
        return found

    def log(self, task: int) -> str:
        query = "SELECT c.data FROM deployments_logchunk c JOIN deployments_logstream s ON s.id = c.stream_id"
        found = rows(self.instance, f"{query} WHERE s.task_id = %s ORDER BY c.seq", task)
        return "".join(row["data"] for row in found)


def is_trusted(name: str, port: int, root: bytes) -> bool:
    context = ssl.create_default_context(cadata=root.decode())
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=name):
                return True
        except ssl.SSLCertVerificationError:
            return False


def nginx_workers(instance: Instance) -> set[int]:
    master = int((instance.data_dir / "nginx" / "nginx.pid").read_text())
    return {int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()}


def test_a_certificate_is_issued_served_changed_renewed_and_leaves_nothing_behind(
    site: Site, pebble: Pebble, instance: Instance
) -> None:
    site.run(f"names.add_domain(d, {site.host('www')!r}, by=None)")
    task = site.certificate("issue", site.name, "--override-dns")
    assert task["state"] == "succeeded"
    steps = site.driven.phases(task["id"])
    assert steps == ["check DNS", "issue", "install certificate", "serve", "verify TLS"]
    assert "Requesting a certificate" in site.log(task["id"])
    assert set(site.row["names"]) == {site.host("shop"), site.host("www")}
    first = site.row["fingerprint"]
    for label in ("shop", "www"):
        assert site.served(label) == first
        assert is_trusted(site.host(label), instance.https_port, pebble.root_certificate())

    # Renewed by force: served without a reload, by the same workers.
    workers = nginx_workers(instance)
    site.certificate("renew", site.name, "--force")
    assert site.row["fingerprint"] != first
    assert site.served("www") == site.row["fingerprint"]
    assert nginx_workers(instance) == workers

    # A name that goes is taken off it, by itself.
    site.run(f"names.remove_domain(Domain.objects.get(hostname={site.host('www')!r}), by=None)")
    until(lambda: site.row["names"] == [site.host("shop")], 90)

    # With its last name goes the certificate.
    site.run(f"names.remove_domain(Domain.objects.get(hostname={site.host('shop')!r}), by=None)")
    certificates = "SELECT 1 FROM domains_certificate WHERE deployment_id = %s"
    until(lambda: not rows(instance, certificates, site.driven.id), 60)
    left = [path for path in (instance.data_dir / "letsencrypt").rglob("*") if path.name.startswith(site.store.name)]
    assert left == []
    assert not site.store.exists()


def test_a_worker_that_is_killed_in_the_middle_burns_no_second_certificate(
    site: Site, pebble: Pebble, instance: Instance
) -> None:
    with pebble.frozen():
        task = site.certificate("issue", site.name, "--override-dns", "--no-wait")
        site.driven.in_phase(task["id"], "issue")
        until(lambda: any(step["argv"] for step in site.driven.steps(task["id"])))
        programs.kill(instance, "worker-housekee")
        assert not site.store.exists()  # nothing half-made is served
    ended = site.driven.ended(task["id"], timeout=120)
    assert ended["state"] == "succeeded", ended["error_message"]
    assert ended["attempts"] == 2
    assert site.served("shop") == site.row["fingerprint"]
    lineage = instance.data_dir / "letsencrypt" / "config" / "archive" / site.store.name
    assert [path.name for path in lineage.glob("fullchain*")] == ["fullchain1.pem"]


def test_an_order_is_cancelled(site: Site, pebble: Pebble) -> None:
    with pebble.frozen():
        task = site.certificate("issue", site.name, "--override-dns", "--no-wait")
        site.driven.in_phase(task["id"], "issue")
        site.driven.cancel()
        assert site.driven.ended(task["id"])["state"] == "cancelled"
    assert site.row["failures"] == 0
    assert not site.store.exists()


def test_a_certificate_of_ones_own_is_checked_and_served(site: Site, tmp_path: Path) -> None:
    name = site.host("shop")
    own = Authority()
    good = own.issue(name, f"*.{name}", days=(-80, 10))

    def upload(chain: bytes, key: bytes, **options: Any) -> dict[str, Any]:
        (tmp_path / "chain.pem").write_bytes(chain)
        (tmp_path / "key.pem").write_bytes(key)
        return site.certificate("upload", site.name, str(tmp_path / "chain.pem"), str(tmp_path / "key.pem"), **options)

    other = own.issue("elsewhere.test")
    assert upload(other.chain_pem, other.key_pem, check=False)["id"] == "certificate.names"
    assert upload(good.chain_pem, other.key_pem, check=False)["id"] == "certificate.mismatch"
    old = own.issue(name, days=(-90, -1))
    assert upload(old.chain_pem, old.key_pem, check=False)["id"] == "certificate.expired"
    encrypted = key_pem(good.key, b"open sesame")
    assert upload(good.chain_pem, encrypted, check=False)["id"] == "certificate.key-encrypted"

    assert upload(good.chain_pem, good.key_pem)["state"] == "succeeded"
    assert site.row["source"] == "uploaded"
    assert site.served("shop") == site.row["fingerprint"]
    assert site.certificate("renew", site.name, check=False)["id"] == "certificate.uploaded"

    # Nobody renews it, so somebody is told in time; then it expires.
    site.certificate("check", site.name)
    assert site.alarms() == {"certificate.expires"}
    expired = read_pair(old.chain_pem, old.key_pem, allow_expired=True)
    CertificateStore(site.store.parent, site.store.stat().st_gid).install(site.store.name, expired)
    shape = site.certificate("check", site.name)
    assert "expired" in shape["served_problems"][name]
    assert "has expired" in site.alarm("certificate.expires")

    # A file that is broken costs this site's handshakes alone, and is told.
    (site.store / "current" / "chain.pem").write_text("broken")
    shape = site.certificate("check", site.name)
    assert "no TLS handshake" in shape["served_problems"][name]
    assert "certificate.not-served" in site.alarms()

    assert upload(good.chain_pem, good.key_pem)["state"] == "succeeded"
    site.certificate("check", site.name)
    assert site.alarms() == {"certificate.expires"}
    assert site.certificate("remove", site.name)["state"] == "succeeded"
    assert not site.store.exists()
    assert site.alarms() == set()
    until(lambda: not site.is_secure("shop"))  # once Nginx was told


def test_a_revoked_certificate_raises_an_alarm_and_is_replaced(
    site: Site, pebble: Pebble, responder: OcspResponder
) -> None:
    site.certificate("issue", site.name, "--override-dns")
    first = site.row["fingerprint"]
    site.certificate("check", site.name)
    assert site.alarms() == set()
    # Verified DNS, as Bakery issues anew by itself then.
    site.run("Domain.objects.filter(deployment=d, generated=False).update(verdict='right')")
    leaf = x509.load_pem_x509_certificate((site.store / "current" / "chain.pem").read_bytes())
    responder.revoke(leaf, dt.datetime.now(dt.timezone.utc))
    site.certificate("check", site.name)
    query = "SELECT 1 FROM bakery_alarm WHERE key = %s"
    assert rows(site.instance, query, f"certificate.revoked:{site.row['id']}")
    until(lambda: site.row["fingerprint"] not in ("", first) and site.row["revoked_at"] is None, 90)
    until(lambda: site.alarms() == set(), 30)
    assert site.served("shop") == site.row["fingerprint"]
