"""One of everything that an address or a command can name, for tests that go through all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bakery.models import Task, TaskKind
from databases.models import Backup, BackupState, Database, DatabaseState
from deployments.models import Deployment, LogStream, Release, ReleaseState, StreamKind
from deployments.services.settings import create_deployment
from deployments.services.snapshot import Snapshot
from domains.models import DnsProvider, Domain
from infrastructure.secret import Secret


@dataclass
class Things:
    """They are related to each other: the release is the deployment's, the stream is the release's."""

    deployment: Deployment
    release: Release
    stream: LogStream
    task: Task
    panel_domain: Domain
    provider: DnsProvider
    database: Database
    backup: Backup

    @classmethod
    def make(cls) -> Things:
        shop = create_deployment(by=None, name="shop", repository="https://example.com/shop.git", env={"KEY": "value"})
        release = Release.objects.create(
            deployment=shop, number=1, ref="main", state=ReleaseState.RETAINED, snapshot=Snapshot.of(shop).to_secret()
        )
        Deployment.objects.filter(pk=shop.pk).update(next_release_number=2)
        stream = LogStream.objects.create(kind=StreamKind.PROCESS, deployment=shop, release=release)
        task = Task.objects.create(kind=TaskKind.DEPLOY, subject=shop.name, deployment=shop, release=release)
        panel = Domain.objects.create(hostname="panel.bakery-shop.com", primary=True)
        provider = DnsProvider.objects.create(name="our zone", plugin="rfc2136", credentials=Secret("secret"))
        database = Database.objects.create(name="shop-db", deployment=shop, state=DatabaseState.READY)
        backup = Backup.objects.create(database=database, subject=database.name, state=BackupState.GOOD)
        return cls(shop, release, stream, task, panel, provider, database, backup)

    def _pk(self, name: str) -> int:
        if name in ("task", "deployments:cancel", "api-task", "api-cancel"):
            return self.task.pk
        if name.startswith("databases:") and name not in ("databases:of", "databases:of-attach"):
            return self.database.pk
        return self.provider.pk if "provider" in name else self.deployment.pk

    def path(self, route: str, name: str) -> str:
        """The route with the ids of these things in it."""
        values = {
            "pk": self._pk(name),
            "release_pk": self.release.pk,
            "variable_pk": self.deployment.env_vars.get().pk,
            "stream_id": self.stream.pk,
            "domain_pk": (self.panel_domain if "panel" in name else self.deployment.domains.get()).pk,
            "name": self.database.name if "database" in name else "Dockerfile",
            "token": "0" * 32,
            "rest": "nowhere",
            "attachment_pk": 1,
            "backup_pk": self.backup.pk,
            "id": 1,
            "object_id": self.deployment.pk,
            "app_label": "deployments",
            "content_type_id": 1,
            "url": "nowhere",
        }
        plain = re.sub(
            r"\(\?P<url>[^)]*\)|\(\?P<(\w+)>[^)]*\)", lambda m: "nowhere" if not m[1] else str(values[m[1]]), route
        )
        plain = re.sub(r"<(?:\w+:)?(\w+)>", lambda m: str(values[m[1]]), plain)
        return "/" + plain.replace("^", "").replace("$", "").replace("\\Z", "")
