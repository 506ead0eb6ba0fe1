"""Where things are on a server that ``install.sh`` made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from infrastructure import dotenv
from infrastructure.errors import HostProblem
from infrastructure.network import PASSED_ON
from infrastructure.version_file import SHORT, Version, read

SECRETS = ("SESSION_SECRET", "ENCRYPTION_KEY", "GITHUB_CLIENT_SECRET", "DATABASE_URL", "REDIS_URL")


@dataclass(frozen=True)
class Place:
    install: Path  # /opt/bakery
    data: Path  # /var/lib/bakery
    logs: Path
    units: Path = Path("/etc/systemd/system")

    @property
    def mirror(self) -> Path:
        return self.install / "repository.git"

    @property
    def releases(self) -> Path:
        return self.install / "releases"

    @property
    def current(self) -> Path:
        return self.install / "current"

    @property
    def updating(self) -> Path:
        """A link to the release that runs the update, there while something would have to be put back."""
        return self.install / "updating"

    @property
    def env_file(self) -> Path:
        return self.install / ".env"

    @property
    def states(self) -> Path:
        return self.data / "updates"

    @property
    def lock(self) -> Path:
        """Held by the process that updates, as long as it lives."""
        return self.states / "lock"

    @property
    def update_logs(self) -> Path:
        return self.logs / "updates"

    @property
    def backups(self) -> Path:
        return self.data / "backups" / "updates"

    @property
    def static_manifest(self) -> Path:
        return self.data / "static" / "staticfiles.json"

    def release(self, sha: str) -> Path:
        return self.releases / sha[:SHORT]

    def state_file(self, task: int) -> Path:
        return self.states / f"{task}.json"

    def log_file(self, task: int) -> Path:
        return self.update_logs / f"{task}.log"

    def running(self) -> Version:
        """What the ``current`` link says. Not what this process was started from: the link may have moved since."""
        found = read(self.current)
        if found is None:
            raise HostProblem(
                "update.no-version",
                f"{self.current} does not say which version it is.",
                "Run infrastructure/scripts/install.sh again; it repairs the installation.",
            )
        return found

    def environment(self) -> dict[str, str]:
        return dotenv.read(self.env_file)

    def setting(self, name: str, default: str = "") -> str:
        """Of ``.env``; a secret ``X`` may be in the file that ``X_FILE`` names."""
        values = self.environment()
        if name not in values and f"{name}_FILE" in values:
            return Path(values[f"{name}_FILE"]).read_text().strip()
        return values.get(name) or default

    def secrets(self) -> list[str]:
        """What no log may hold: the values of ``.env`` that are secret, and the passwords inside them."""
        values = [self.setting(name) for name in SECRETS]
        passwords = [urlsplit(value).password or "" for value in values if "://" in value]
        return [value for value in (*values, *passwords) if value]


def place_of(install: Path) -> Place:
    """The server whose programs are in ``install``, as its ``.env`` describes it."""
    values = dotenv.read(install / ".env")
    data = Path(values.get("BAKERY_DATA_DIR") or "/var/lib/bakery")
    return Place(install, data, Path(values.get("BAKERY_LOGS_DIR") or data / "logs"))


def take_over_network(place: Place) -> None:
    """How this host reaches the network (a proxy, its authorities, a package mirror) stands in ``.env``."""
    for name, value in place.environment().items():
        if name in PASSED_ON or name.startswith("PIP_"):
            os.environ.setdefault(name, value)


def package_environment() -> dict[str, str]:
    """What pip goes by beside its own configuration files."""
    own = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    if "SSL_CERT_FILE" in os.environ:
        own.setdefault("PIP_CERT", os.environ["SSL_CERT_FILE"])
    return own
