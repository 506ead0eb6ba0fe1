"""Where an instance keeps its things, and under which account its servers run."""

from __future__ import annotations

import hashlib
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
ROOT_FALLBACK = Path("/var/lib/bakery-quickstart")
LONGEST_DATA_DIR = 64  # a unix socket's path has at most 107 characters, and Nginx's stand four levels down


@dataclass(frozen=True)
class Account:
    """An unprivileged account of the host: PostgreSQL refuses to run as root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Layout:
    checkout: Path
    data: Path

    @property
    def environment_file(self) -> Path:
        return self.data / "bakery.env"

    @property
    def pointer(self) -> Path:
        return self.checkout / ".bakery-instance"

    @property
    def run(self) -> Path:
        return self.data / "run"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def tools(self) -> Path:
        return self.data / "tools"

    @property
    def postgres(self) -> Path:
        return self.data / "postgres"

    @property
    def redis(self) -> Path:
        return self.data / "redis"

    @property
    def nginx(self) -> Path:
        return self.data / "nginx"

    @property
    def conf_d(self) -> Path:
        return self.data / "supervisor" / "conf.d"

    @property
    def session(self) -> Path:
        """The number of supervisord's session. supervisord removes its own pid file also when it dies of an error."""
        return self.run / "supervisord.session"

    @property
    def launches(self) -> Path:
        return self.data / "supervisor" / "launch"

    @property
    def supervisord_conf(self) -> Path:
        return self.data / "supervisor" / "supervisord.conf"

    @property
    def supervisor_socket(self) -> Path:
        return self.run / "supervisor.sock"

    @property
    def supervisord_pid(self) -> Path:
        return self.run / "supervisord.pid"


def layout_for(data_dir: Path | None, *, is_root: bool, checkout: Path = CHECKOUT) -> Layout:
    """The layout; as root out of the checkout where other accounts cannot reach into it (a clone in /root)."""
    if data_dir is not None:
        return Layout(checkout, data_dir.expanduser().resolve())
    data = checkout / ".bakery"
    if is_root and not reachable_by_others(checkout):
        digest = hashlib.sha256(str(checkout).encode()).hexdigest()[:8]
        data = ROOT_FALLBACK / digest
    return Layout(checkout, data)


def reachable_by_others(path: Path) -> bool:
    """Whether every account may pass through ``path`` and all that is above it."""
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents) if part.exists())


def service_account() -> Account | None:
    """Whom PostgreSQL and Redis run as. None: we are an ordinary user, they run as we do."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    return Account("65534", 65534, 65534)


def make_directories(layout: Layout, account: Account | None) -> None:
    """Every directory that nobody else makes. Secrets are in 0600 files; the directories can be passed through."""
    layout.data.mkdir(parents=True, exist_ok=True)
    layout.data.chmod(0o711 if account else 0o700)
    for name in ("run", "logs", "logs/processes", "nginx", "supervisor", "supervisor/conf.d", "builds"):
        (layout.data / name).mkdir(exist_ok=True)
    for name in ("persistent", "repositories", "tools", "static", "redis"):
        (layout.data / name).mkdir(exist_ok=True)
    layout.tools.chmod(0o755)
    if account:
        for part in layout.data.parents:
            if part == ROOT_FALLBACK:
                part.chmod(0o711)
    (layout.logs / "processes").chmod(0o700)
    layout.redis.chmod(0o700)
    if account:
        os.chown(layout.redis, account.uid, account.gid)
