"""Certificates of a running Bakery, from a real authority (Pebble) through a real Nginx."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from infrastructure.certificates.pem import read_pair
from infrastructure.certificates.store import CertificateStore
from infrastructure.nginx.master import accepting_workers
from tests.certificates import Authority, key_pem
from tests.instance import Instance
from tests.integration import programs
from tests.integration.acme import Pebble, needs
from tests.integration.driving import rows
from tests.integration.ocsp_responder import OcspResponder
from tests.integration.secured_site import Site, listener, port_of
from tests.integration.waiting import until

pytestmark = pytest.mark.slow


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


def is_trusted(name: str, port: int, root: bytes) -> bool:
    context = ssl.create_default_context(cadata=root.decode())
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=name):
                return True
        except ssl.SSLCertVerificationError:
            return False


def nginx_workers(instance: Instance) -> set[int]:
    master = int((instance.data_dir / "nginx" / "nginx.pid").read_text())
    return accepting_workers(master)  # not those that a reload has sent away, which end when they like


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
    site.when_nothing_is_under_way()
    workers = nginx_workers(instance)
    site.certificate("renew", site.name, "--force")
    assert site.row["fingerprint"] != first
    assert site.served("www") == site.row["fingerprint"]
    assert nginx_workers(instance) == workers

    # Renewed by systemd's timer, which knows nothing of Bakery: served, and noticed.
    place = instance.data_dir / "letsencrypt"
    timer = ["certbot", "renew", "--non-interactive", "--no-random-sleep-on-renew", "--force-renewal"]
    timer += ["--config-dir", str(place / "config"), "--work-dir", str(place / "work")]
    timer += ["--logs-dir", str(place / "logs"), "--cert-name", site.store.name]
    env = {"PATH": "/usr/bin:/bin", "REQUESTS_CA_BUNDLE": str(pebble.bundle)}
    done = subprocess.run(timer, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    renewed = site.served("www")
    assert renewed != site.row["fingerprint"]
    site.certificate("check", site.name)
    assert site.row["fingerprint"] == renewed
    assert nginx_workers(instance) == workers

    # A name that goes is taken off it, by itself.
    site.run(f"names.remove_domain(Domain.objects.get(hostname={site.host('www')!r}), by=None)")
    until(lambda: site.row["names"] == [site.host("shop")], 240)

    # With its last name goes the certificate.
    site.run(f"names.remove_domain(Domain.objects.get(hostname={site.host('shop')!r}), by=None)")
    certificates = "SELECT 1 FROM domains_certificate WHERE deployment_id = %s"
    until(lambda: not rows(instance, certificates, site.driven.id), 240)
    until(lambda: site.left_in(instance.data_dir / "letsencrypt") == [] and not site.store.exists())


def test_a_worker_that_is_killed_in_the_middle_burns_no_second_certificate(
    site: Site, pebble: Pebble, instance: Instance
) -> None:
    with pebble.frozen():
        task = site.certificate("issue", site.name, "--override-dns", "--no-wait")
        site.driven.in_phase(task["id"], "issue")
        until(lambda: any(step["argv"] for step in site.driven.steps(task["id"])))
        programs.kill(instance, "worker-housekee")
        assert not site.store.exists()  # nothing half-made is served
    ended = site.driven.ended(task["id"], timeout=300)
    assert ended["state"] == "succeeded", ended["error_message"]
    assert ended["attempts"] == 2
    assert site.served("shop") == site.row["fingerprint"]
    lineage = instance.data_dir / "letsencrypt" / "config" / "archive" / site.store.name
    assert [path.name for path in lineage.glob("fullchain*")] == ["fullchain1.pem"]

    # With the deployment goes everything of its certificate.
    instance.manage("delete_deployment", site.name, "--yes")
    assert not site.store.exists()
    assert [
        path for path in (instance.data_dir / "letsencrypt").rglob("*") if path.name.startswith(site.store.name)
    ] == []


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

    # Nobody renews it, so somebody is told at once; then it expires.
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
    until(lambda: site.row["fingerprint"] not in ("", first) and site.row["revoked_at"] is None, 240)
    until(lambda: site.alarms() == set(), 60)
    assert site.served("shop") == site.row["fingerprint"]
