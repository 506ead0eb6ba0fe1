"""A server that Bakery is installed on: where its parts are, and what the person asked for."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path

from infrastructure.systemd.bakery_units import ADMIN_URL_FILE, Place

USER = "bakery"
WRAPPER = Path("/usr/local/bin/bakery")
HTTP_PORT = 80
HTTPS_PORT = 443


@dataclass(frozen=True)
class Server:
    install_dir: Path
    data_dir: Path
    release: Path  # the version to be installed: a directory in ``releases``
    port: int
    domain: str  # the host of BAKERY_BASE_URL, where that is set to one
    new_domain: str  # what --domain says now: the panel gets it, and a certificate as soon as DNS is right
    public_ip: str  # "": not known
    public_ipv6: str
    certbot_email: str
    admin_email: str
    docker: bool
    log: Path

    @property
    def env_file(self) -> Path:
        return self.install_dir / ".env"

    @property
    def kept_env_file(self) -> Path:
        """Where uninstall.sh leaves the environment when the data stay: without its keys they cannot be read."""
        return self.data_dir / "environment.kept"

    @property
    def admin_url_file(self) -> Path:
        """The address with which databases of applications are made: root's alone."""
        return self.install_dir / ADMIN_URL_FILE

    @property
    def current(self) -> Path:
        return self.install_dir / "current"

    @property
    def tools(self) -> Path:
        return self.install_dir / "tools"

    @property
    def logs_dir(self) -> Path:
        return self.data_dir / "logs"

    @property
    def bun(self) -> Path:
        return self.tools / "bun" / "node_modules" / ".bin" / "bun"

    @property
    def python(self) -> Path:
        return self.release / ".venv" / "bin" / "python"

    def was_installed(self, package: str) -> bool:
        """Whether it was Bakery's installer that brought a Debian package here."""
        try:
            return package in (self.data_dir / "packages").read_text().split()
        except FileNotFoundError:
            return False

    def units_place(
        self, *, systemd: int, docker: bool, certbot: str = "certbot", backups: Path | None = None
    ) -> Place:
        return Place(
            install_dir=self.install_dir,
            data_dir=self.data_dir,
            logs_dir=self.logs_dir,
            builds_dir=self.data_dir / "builds",
            backups_dir=backups,
            port=self.port,
            user=USER,
            systemd=systemd,
            docker=docker,
            certbot=certbot,
        )


def parse(argv: list[str]) -> Server:
    """What install.sh passes on; it has looked at every value."""
    parser = ArgumentParser(prog="python -m infrastructure.server install", allow_abbrev=False)
    for name in ("--install-dir", "--data-dir", "--release", "--log"):
        parser.add_argument(name, type=Path, required=True)
    for name in ("--domain", "--new-domain", "--public-ip", "--public-ipv6", "--certbot-email", "--admin-email"):
        parser.add_argument(name, default="")
    parser.add_argument("--port", type=int, default=4100)
    parser.add_argument("--no-docker", dest="docker", action="store_false")
    return Server(**vars(parser.parse_args(argv)))
