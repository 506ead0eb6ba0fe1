"""A wildcard certificate through a running Bakery: proven by a record that Certbot makes on a real name server (BIND,
signed updates)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.instance import Instance
from tests.integration.acme import Pebble, needs
from tests.integration.driving import rows
from tests.integration.name_server import NameServer
from tests.integration.secured_site import Site, listener, port_of

pytestmark = pytest.mark.slow


def test_a_wildcard_is_issued_and_served_and_no_secret_is_told(instance: Instance, tmp_path: Path) -> None:
    needs("pebble", "certbot", "named")
    site = Site(instance, tmp_path)
    zone = NameServer(tmp_path / "named", f"{site.name}.test")
    root = listener(instance, tmp_path / "pebble")
    pebble = Pebble(root, instance.http_port, port=port_of(instance), dns=zone.at)
    accounts = instance.data_dir / "letsencrypt" / "config" / "accounts"
    try:
        zone.start()
        pebble.start()
        shutil.rmtree(accounts, ignore_errors=True)  # each Pebble knows only those of its own
        site.run(f"d.domains.filter(generated=False).delete(); names.add_domain(d, '*.{site.name}.test', by=None)")
        refused = site.certificate("issue", site.name, check=False)
        assert refused["id"] == "certificate.no-names-ready"
        (tmp_path / "credentials.ini").write_text(zone.credentials)
        provider = ("provider", "our-bind", "rfc2136", str(tmp_path / "credentials.ini"), "--propagation-seconds", "1")
        site.certificate(*provider)
        site.certificate("set", site.name, "--challenge", "dns-01", "--dns-provider", "our-bind", "--no-automatic")
        task = site.certificate("issue", site.name)
        assert task["state"] == "succeeded"
        assert site.row["names"] == [f"*.{site.name}.test"]
        assert site.served("anything") == site.served("else") == site.row["fingerprint"]
        steps = rows(instance, "SELECT argv::text FROM bakery_taskstep WHERE task_id = %s", task["id"])
        assert zone.secret not in site.log(task["id"]) + str(steps)
        file = instance.data_dir / "letsencrypt" / "credentials" / f"{site.store.name}.ini"
        assert file.stat().st_mode & 0o777 == 0o600
        site.certificate("remove", site.name)
        assert not file.exists()
    finally:
        instance.manage("delete_deployment", site.name, "--yes", "--no-wait", check=False)
        pebble.stop()
        zone.stop()
