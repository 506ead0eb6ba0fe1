"""Where the parts of a distribution's own Nginx lie, beside those that are Bakery's.

Bakery's sites, sockets and pages are under ``root`` as with a private instance; ``/etc/nginx`` gets three files, none
of which was there before, and one number in nginx.conf where that is the package's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infrastructure.files import read_if_there
from infrastructure.nginx.directives import in_text
from infrastructure.nginx.prefix import Prefix


@dataclass(frozen=True)
class SystemPrefix(Prefix):
    etc: Path = Path("/etc/nginx")
    systemd: Path = Path("/etc/systemd/system")
    pid_file: Path = Path("/run/nginx.pid")
    error_log_file: Path = Path("/var/log/nginx/error.log")

    @property
    def configuration(self) -> Path:
        return self.etc / "nginx.conf"

    @property
    def started_with(self) -> str:
        return ""

    @property
    def tested_by(self) -> tuple[str, ...]:
        """Outside of the worker's own unit, for which the machine is read-only: others' logs may lie anywhere."""
        return ("systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--property=RuntimeMaxSec=60", "--")

    @property
    def candidate(self) -> Path:
        """Beside the main file: what that includes by a relative path is looked for in the directory of the file
        that ``-c`` names."""
        return self.etc / "bakery-candidate.conf"

    @property
    def pid(self) -> Path:
        return self.pid_file

    @property
    def error_log(self) -> Path:
        return self.error_log_file

    @property
    def http_part(self) -> Path:
        """Log format, maps and Bakery's own servers; it includes the sites."""
        return self.etc / "conf.d" / "bakery.conf"

    @property
    def main_part(self) -> Path:
        """Directives of the main level, which Debian and Ubuntu include from where modules are enabled."""
        return self.etc / "modules-enabled" / "99-bakery.conf"

    @property
    def unit_part(self) -> Path:
        return self.systemd / "nginx.service.d" / "bakery.conf"

    @property
    def starter(self) -> Path:
        """A copy of start.py: the unit must not need Bakery's code to be in order."""
        return self.root / "start.py"

    @property
    def default_site(self) -> Path:
        return self.etc / "sites-enabled" / "default"

    @property
    def default_site_was_ours_to_remove(self) -> Path:
        return self.root / "default-site-removed"


def system_prefix(root: Path, etc: Path = Path("/etc/nginx")) -> SystemPrefix:
    """With the places that the main file names, where that says other than the packages do."""
    main = in_text(read_if_there(etc / "nginx.conf") or "")
    named = {found.name: Path(found.arguments[0]) for found in reversed(main) if found.arguments}
    places = {
        field: named[name]
        for name, field in (("pid", "pid_file"), ("error_log", "error_log_file"))
        if name in named and named[name].is_absolute()
    }
    return SystemPrefix(root, etc, **places)
