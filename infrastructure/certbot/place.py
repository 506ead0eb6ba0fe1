"""Where Certbot keeps what is Bakery's: a directory of its own, so that certificates of other sites stay untouched."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infrastructure.files import make_directory, write_atomically


@dataclass(frozen=True)
class Place:
    """``root`` is ``<data>/letsencrypt``. A lineage is called as the certificate is in Nginx's store."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def hook(self) -> Path:
        """What Certbot runs after each renewal. A copy, so that it outlives every checkout of Bakery's."""
        return self.root / "install_renewed.py"

    @property
    def environment(self) -> Path:
        """The machine's way out (a proxy, an authority), as the timer's unit reads it: systemd.exec(5)."""
        return self.root / "environment"

    @property
    def lock(self) -> Path:
        return self.root / "bakery.lock"

    def logs(self, lineage: str) -> Path:
        """Of its own for each: the newest file there is about this certificate and no other."""
        return self.root / "logs" / lineage

    def credentials(self, lineage: str) -> Path:
        """Stays for as long as the lineage does: the timer's renewals need it as well."""
        return self.root / "credentials" / f"{lineage}.ini"

    def live(self, lineage: str) -> Path:
        return self.config / "live" / lineage

    def renewal(self, lineage: str) -> Path:
        return self.config / "renewal" / f"{lineage}.conf"

    def lineages(self) -> set[str]:
        """Those that Certbot knows, or of which it has left something behind."""
        found = {path.stem for path in (self.config / "renewal").glob("*.conf")}
        for folder in ("live", "archive"):
            found |= {path.name for path in (self.config / folder).glob("*") if path.is_dir()}
        return found

    def prepare(self) -> None:
        for folder in (self.root, self.config, self.work, self.root / "logs", self.root / "credentials"):
            make_directory(folder, 0o700)

    def put_environment(self, variables: Mapping[str, str]) -> None:
        """What a renewal needs that nobody of Bakery's starts. Where a plugin's credentials are named by a variable, it
        stays for as long as they do."""
        text = self.environment.read_text() if self.environment.exists() else ""
        named = re.findall(r'^(\w+)="(.*)"$', text, re.MULTILINE)
        folder = str(self.root / "credentials")
        kept = {name: value for name, value in named if value.startswith(f"{folder}/") and Path(value).exists()}
        lines = [f"{name}={_quoted(value)}\n" for name, value in sorted({**kept, **variables}.items())]
        write_atomically(self.environment, "".join(line for line in lines if line.strip().isprintable()), 0o600)

    def put_hook(self) -> None:
        """Bring the copy to what this version of Bakery has."""
        source = Path(__file__).with_name("install_renewed.py").read_bytes()
        if self.hook.exists() and self.hook.read_bytes() == source:
            return
        beside = self.hook.with_name(f".{self.hook.name}.{os.getpid()}")
        beside.write_bytes(source)
        beside.chmod(0o700)
        beside.replace(self.hook)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
