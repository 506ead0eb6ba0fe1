"""Bakery's own units on a server: the texts in ``units/``, filled in. systemd.exec(5), systemd.service(5).

Each process has the rights that its work takes and no more: web and beat none over the host, the collector those of
reading logs, the workers root's, as they act on the host. Releases are units of their own (``processes.py``) and no
part of ``bakery.target``.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

TEXTS = Path(__file__).with_name("units")
TARGET = "bakery.target"
SERVICES = ("bakery.service", "bakery-worker.service", "bakery-beat.service", "bakery-logs.service")
SLICE = "system-bakerybuilds.slice"
RECOVER = "bakery-update-recover.service"
RENEWAL, RENEWAL_TIMER = "bakery-certificates.service", "bakery-certificates.timer"
# For applications in containers: where this host has Docker, and PostgreSQL at its loopback.
RELAY_SOCKET, RELAY = "bakery-databases.socket", "bakery-databases.service"
COLLECTOR = "bakery-logs"  # its account
GROUP_OF_DOCKER = "docker"
# What the workers do to files and programs of other accounts, and ``nginx -t``, which opens port 80. They take no other
# account and make no namespace themselves: the units of users' programs are started by systemd.
CAPABILITIES_OF_WORKERS = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
)
# What Certbot and its hook do to keys, challenges and Nginx's store, and Certbot's Nginx plugin to Nginx.
CAPABILITIES_OF_RENEWAL = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_NET_BIND_SERVICE")
# Where the workers write beside Bakery's own directories; what is not there is left out.
HOSTS_DIRECTORIES = (
    "/etc/systemd/system",
    "/etc/nginx",
    "/var/log/nginx",
    "/var/lib/nginx",
    "/run",
    "/sys/fs/cgroup",
)
DOCKER_WORDS = ", and\n# talks to Docker, whose socket knows no smaller right than all of it"
LOOPBACK = "127.0.0.1"
ADMIN_URL_FILE = "postgres-admin-url"  # in the install directory
BACKS_OFF_SINCE = 254  # systemd.service(5), RestartSteps=


@dataclass(frozen=True)
class Place:
    """One installation. ``host`` and ``port`` are where the pages listen; ``systemd`` is its version, 0: not known;
    ``docker``: the host has the group of Docker's socket."""

    install_dir: Path
    data_dir: Path
    logs_dir: Path
    builds_dir: Path
    host: str = "127.0.0.1"
    port: int = 4100
    user: str = "bakery"
    systemd: int = 0
    docker: bool = False
    certbot: str = "certbot"  # by name or path
    docker_subnet: str = "10.207.0.0/16"
    postgres: str = "127.0.0.1:5432"  # at this host's loopback; "": it is elsewhere
    backups_dir: Path | None = None  # of applications' databases; None: in the data directory

    @property
    def has_relay(self) -> bool:
        return self.docker and bool(self.postgres)

    @property
    def backups(self) -> Path:
        return self.backups_dir or self.data_dir / "backups"

    @property
    def admin_url_file(self) -> Path:
        """With which address databases are made. The workers alone read it."""
        return self.install_dir / ADMIN_URL_FILE

    @property
    def code(self) -> Path:
        return self.install_dir / "current"


def units(place: Place) -> dict[str, str]:
    """The file of each unit, by its name."""
    docker_socket = "" if place.docker else " -/run/docker.sock -/run/containerd"
    groups = (place.user, GROUP_OF_DOCKER) if place.docker else (place.user,)
    values = {
        "code": _word(place.code),
        "data": _word(place.data_dir),
        "logs": _word(place.logs_dir),
        "environment_file": _word(place.install_dir / ".env"),
        "python": _word(place.code / ".venv" / "bin" / "python"),
        "host": place.host,
        "port": str(place.port),
        "user": place.user,
        "collector": COLLECTOR,
        "groups": " ".join(groups),
        "updating": _word(place.install_dir / "updating"),
        "docker_words": DOCKER_WORDS if place.docker else "",
        "no_docker": docker_socket,
        "writable": " ".join(_writable(place)),
        "capabilities": " ".join(CAPABILITIES_OF_WORKERS),
        "certificates_capabilities": " ".join(CAPABILITIES_OF_RENEWAL),
        "certbot": _word(Path(place.certbot)),
        "no_keys": " ".join(f"-{_word(path)}" for path in _keys(place)),
        "no_backups": f"-{_word(place.backups)}",
        "restart": _restart(place.systemd),
        "docker_subnet": place.docker_subnet,
        "databases_listen": f"{gateway(place.docker_subnet)}:{place.postgres.rpartition(':')[2]}",
        "databases_target": place.postgres,
        "relay_wanted": f" {RELAY_SOCKET}" if place.has_relay else "",
        "relay_words": ",\n# and applications in containers reach their databases" if place.has_relay else "",
    }
    for part in ("unit", "service", "hardening"):
        values[part] = Template((TEXTS / f"{part}.part").read_text().strip()).substitute(values)
    relay = (RELAY_SOCKET, RELAY) if place.has_relay else ()
    names = (TARGET, *SERVICES, SLICE, RECOVER, RENEWAL, RENEWAL_TIMER, *relay)
    return {name: Template((TEXTS / name).read_text()).substitute(values) for name in names}


def gateway(subnet: str) -> str:
    """The host's own address on Docker's bridge: the network's first one."""
    return str(next(ipaddress.ip_network(subnet).hosts()))


def postgres_of(url: str) -> str:
    """Where the PostgreSQL of ``url`` listens on this host's loopback; "": it is elsewhere."""
    parts = urlsplit(url)
    host = parts.hostname or LOOPBACK  # none: a socket of this host
    return f"{LOOPBACK}:{parts.port or 5432}" if host in ("localhost", LOOPBACK) else ""


def _keys(place: Place) -> tuple[Path, ...]:
    """Those of certificates, and the one to PostgreSQL."""
    return place.data_dir / "letsencrypt", place.data_dir / "nginx" / "certificates", place.admin_url_file


def _writable(place: Place) -> list[str]:
    own = dict.fromkeys((place.data_dir, place.logs_dir, place.builds_dir))
    # A disk of its own may be away. The workers look for newer versions of Bakery.
    others = (place.backups, place.install_dir / "repository.git")
    return [
        *(_word(path) for path in own),
        *(f"-{_word(path)}" for path in others),
        *(f"-{path}" for path in HOSTS_DIRECTORIES),
    ]


def _restart(version: int) -> str:
    """Later and later, and never given up; an older systemd knows one pause alone."""
    if version >= BACKS_OFF_SINCE:
        return "RestartSec=1\nRestartSteps=6\nRestartMaxDelaySec=60"
    return "RestartSec=5"


def _word(path: Path) -> str:
    """Unit files expand ``%``; a path with a space would be two."""
    text = str(path).replace("%", "%%")
    if any(character.isspace() or character in "\"'\\$" for character in text):
        raise ValueError(f"The path of an installation has no spaces, quotes or dollars in it: {path}")
    return text
