"""What the machine's own Nginx says, apart from what Bakery put into it: by that is decided what Bakery may add."""

from __future__ import annotations

import hashlib
import pwd
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.nginx.candidate import INCLUDES, write_candidate
from infrastructure.nginx.config import HASH_SIZES, SHUTDOWN_SECONDS
from infrastructure.nginx.directives import Directive, directives
from infrastructure.nginx.rendering import HEADING
from infrastructure.nginx.system_prefix import SystemPrefix
from infrastructure.runner import Command, Runner

READ_SECONDS = 60.0
CONNECTIONS = 8192  # a request takes four: visitor, both ends of the slot's socket, app
PACKAGED_CONNECTIONS = ("768", "512", "1024")  # Debian and Ubuntu, Nginx's default, nginx.org
NUMBER_OF_CONNECTIONS = re.compile(r"^([ \t]*worker_connections[ \t]+)([0-9]+)([ \t]*;)", re.MULTILINE)


@dataclass(frozen=True)
class Installed:
    """``said``: by files that are not Bakery's; ``packaged``: MD5 sums of nginx.conf as its package brought it."""

    main: str
    said: tuple[Directive, ...]
    packaged: frozenset[str]

    def values_of(self, name: str) -> list[str]:
        return [found.value for found in self.said if found.name == name]

    def unset(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if not self.values_of(name)]

    def workers_account(self) -> pwd.struct_passwd:
        named = self.values_of("user")[:1] or ["www-data"]
        try:
            return pwd.getpwnam(named[0].split()[0])
        except KeyError:
            return pwd.getpwnam("nobody")

    def main_part(self, files: int) -> str | None:
        """Directives of the main level that nobody else has set. None: there is nothing to add, or no place for it."""
        wanted = {
            "worker_rlimit_nofile": str(files),
            "worker_shutdown_timeout": f"{SHUTDOWN_SECONDS}s",
            "pcre_jit": "on",
        }
        unset = self.unset(wanted)
        if not unset or not INCLUDES["modules-enabled"].search(self.main):
            return None
        return HEADING + "".join(f"{name} {wanted[name]};\n" for name in unset)

    def hash_sizes(self) -> list[str]:
        return self.unset(HASH_SIZES)

    def names_taken(self) -> set[str]:
        return {name for found in self.said if found.name == "server_name" for name in found.arguments}

    def main_with_connections(self) -> str:
        """nginx.conf with as many connections as Bakery needs, where the file is as the package brought it, or was
        changed by us and nobody else. Otherwise as it is: it is somebody's own."""
        return with_connections(self.main, CONNECTIONS) if self._is_packages_own() else self.main

    def main_as_packaged(self) -> str:
        """nginx.conf without our change, if that is in it."""
        for number in PACKAGED_CONNECTIONS:
            text = with_connections(self.main, int(number), only=str(CONNECTIONS))
            if md5(text) in self.packaged:
                return text
        return self.main

    def _is_packages_own(self) -> bool:
        return md5(self.main_as_packaged()) in self.packaged


def read(prefix: SystemPrefix, binary: str, runner: Runner) -> Installed:
    """Ask Nginx for its whole configuration without our parts. Raises ``nginx.broken`` when it is not in order."""
    main = prefix.configuration.read_text()
    write_candidate(prefix, {prefix.http_part: None, prefix.main_part: None})
    heard: list[bytes] = []
    try:
        argv = (*prefix.tested_by, binary, "-T", "-q", "-c", str(prefix.candidate))
        result = runner.run(Command(argv, timeout=READ_SECONDS), heard.append, check=False)
    finally:
        prefix.candidate.unlink(missing_ok=True)
    if result.exit_code != 0:
        said = result.output.strip().splitlines()
        reason = next((line for line in said if "[emerg]" in line), said[-1] if said else "no reason given")
        raise HostProblem(
            "nginx.broken",
            f"The configuration of this machine's Nginx is not in order, without Bakery's part: {reason[-500:]}",
            "Mend that file, run nginx -t, and try again.",
        )
    dump = b"".join(heard).decode("utf-8", "replace")
    return Installed(main, tuple(directives(dump)), _packaged_sums(prefix.configuration, runner))


def _packaged_sums(file: Path, runner: Runner) -> frozenset[str]:
    """What dpkg knows of the file as it was installed; nothing where no package owns it."""
    try:
        owner = runner.run(Command(("dpkg-query", "--search", str(file))), check=False)
        package = owner.output.partition(":")[0]
        argv = ("dpkg-query", "--show", "--showformat=${Conffiles}", package)
        listed = runner.run(Command(argv), check=False).output if owner.exit_code == 0 else ""
    except HostProblem:
        return frozenset()
    return frozenset(re.findall(rf"^\s*{re.escape(str(file))} ([0-9a-f]{{32}})", listed, re.MULTILINE))


def with_connections(main: str, number: int, only: str = "") -> str:
    def changed(match: re.Match[str]) -> str:
        enough = int(match[2]) >= number if not only else match[2] != only
        return match[0] if enough else f"{match[1]}{number}{match[3]}"

    return NUMBER_OF_CONNECTIONS.sub(changed, main, count=1)


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
