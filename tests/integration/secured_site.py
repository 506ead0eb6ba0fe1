"""A deployment of the running instance with names of its own, and what is seen of its certificate from the outside."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

from infrastructure.certificates.handshake import shown
from tests.instance import Instance
from tests.integration.apps import AppRepository
from tests.integration.driving import Driven, rows
from tests.integration.waiting import until

SECURED = "secured"
_count = itertools.count(1)


def port_of(instance: Instance) -> int:
    return int(instance.env["CERTBOT_SERVER"].split(":")[2].split("/")[0])


def listener(instance: Instance, at: Path) -> Path:
    """The instance trusts only the listener that was planned with it."""
    return Path(shutil.copytree(instance.data_dir / "acme-listener", at))


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
        done = self.instance.manage("certificate", *argv, "--json", check=False, timeout=300)
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

    def when_nothing_is_under_way(self) -> None:
        """Not even for an earlier test: that may reload Nginx, or have Certbot, of which one runs at a time."""
        until(lambda: not rows(self.instance, "SELECT 1 FROM bakery_task WHERE state IN ('queued', 'running')"), 180)

    def left_in(self, folder: Path) -> list[Path]:
        """What is called after its certificate."""
        return [path for path in folder.rglob("*") if path.name.startswith(self.store.name)]

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
