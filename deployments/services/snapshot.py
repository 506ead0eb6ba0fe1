"""The configuration that a release builds and runs with, frozen when it was asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from deployments.models import Deployment, Release, Runtime
from infrastructure.runtime import Limits
from infrastructure.secret import Secret

# Every setting of a Deployment that a release depends on. A rollback brings them back with the release.
SNAPSHOT_FIELDS = (
    "repository",
    "branch",
    "base_directory",
    "runtime",
    "blue_green",
    "one_writer",
    "health_path",
    "build_command",
    "start_command",
    "pre_deploy_command",
    "container_port",
    "memory_mb",
    "cpu_percent",
    "max_processes",
    "build_memory_mb",
    "build_timeout",
    "build_disk_mb",
    "probe_timeout",
    "drain_seconds",
    "grace_seconds",
    "watch_seconds",
)
# What snapshots have that were taken before Bakery knew the setting.
LATER_FIELDS = {"build_disk_mb": 4096}
# Those that decide what a build makes.
BUILD_FIELDS = ("repository", "base_directory", "build_command", "container_port")
# Of a database's row: what is encrypted.
UNNEEDED = ("database__password", "database__next_password", "database__url")


@dataclass(frozen=True)
class Attached:
    """A database in the environment, by its id: the address and the password are looked up when a process is started,
    so that a new password reaches a restart and a rollback as well."""

    variable: str
    database: int
    name: str  # of the database, for when it is gone
    pg_variables: bool = False


@dataclass(frozen=True)
class Snapshot:
    """``settings`` holds SNAPSHOT_FIELDS; the two environments hold secrets by variable name."""

    settings: Mapping[str, Any]
    build_env: Mapping[str, Secret]
    run_env: Mapping[str, Secret]
    persistent: tuple[str, ...]
    databases: tuple[Attached, ...] = ()

    @classmethod
    def of(cls, deployment: Deployment) -> Snapshot:
        variables = list(deployment.env_vars.all())
        return cls(
            settings={name: getattr(deployment, name) for name in SNAPSHOT_FIELDS},
            build_env={v.name: v.value for v in variables if v.build_time},
            run_env={v.name: v.value for v in variables if v.run_time},
            persistent=tuple(d.path for d in deployment.persistent_directories.all()),
            databases=tuple(
                Attached(found.variable, found.database_id, found.database.name, found.pg_variables)
                for found in deployment.attachments.select_related("database").defer(*UNNEEDED)
            ),
        )

    @classmethod
    def from_release(cls, release: Release) -> Snapshot:
        data = json.loads(release.snapshot.reveal())
        return cls(
            settings={**LATER_FIELDS, **data["settings"]},
            build_env={name: Secret(value) for name, value in data["build_env"].items()},
            run_env={name: Secret(value) for name, value in data["run_env"].items()},
            persistent=tuple(data["persistent"]),
            databases=tuple(Attached(**found) for found in data.get("databases", ())),
        )

    def to_secret(self) -> Secret:
        return Secret(
            json.dumps(
                {
                    "settings": dict(self.settings),
                    "build_env": {name: value.reveal() for name, value in self.build_env.items()},
                    "run_env": {name: value.reveal() for name, value in self.run_env.items()},
                    "persistent": list(self.persistent),
                    "databases": [asdict(found) for found in self.databases],
                }
            )
        )

    def __getitem__(self, name: str) -> Any:
        return self.settings[name]

    def secrets(self) -> list[Secret]:
        """What logs must never show, apart from what ``databases`` lead to."""
        return [*self.build_env.values(), *self.run_env.values()]

    @property
    def stops_first(self) -> bool:
        """Whether the old release ends before the new one starts."""
        return bool(self["one_writer"]) or not self["blue_green"]

    def run_limits(self) -> Limits:
        return Limits(self["memory_mb"], self["cpu_percent"], self["max_processes"])

    def build_limits(self) -> Limits:
        return Limits(
            memory_mb=self["build_memory_mb"],
            cpu_percent=max(100, self["cpu_percent"]),
            max_processes=2048,
            timeout=float(self["build_timeout"]),
            disk_mb=self["build_disk_mb"],
        )

    def artifact_key(self, commit_sha: str, runtime: str) -> str:
        """The same for two releases exactly when a build would make the same thing."""
        parts = {
            "commit": commit_sha,
            "runtime": runtime,
            "settings": {name: self[name] for name in BUILD_FIELDS},
            "env": {name: value.reveal() for name, value in sorted(self.build_env.items())},
            "persistent": sorted(self.persistent) if runtime == Runtime.BUN else [],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _by_variable(self) -> dict[str, tuple[Secret | None, Secret | None, tuple[int, bool] | None]]:
        """All that an environment is made of: for the build, for the process, the database."""
        databases = {found.variable: (found.database, found.pg_variables) for found in self.databases}
        names = {*self.build_env, *self.run_env, *databases}
        return {name: (self.build_env.get(name), self.run_env.get(name), databases.get(name)) for name in names}

    def differences(self, other: Snapshot) -> list[str]:
        """Names of the settings and variables that differ, for a person: ``["branch", "env API_KEY"]``."""
        names = [
            name.replace("_", " ") for name in SNAPSHOT_FIELDS if self.settings.get(name) != other.settings.get(name)
        ]
        mine, theirs = self._by_variable(), other._by_variable()
        names += [f"env {name}" for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]
        if self.persistent != other.persistent:
            names.append("persistent directories")
        return names
