"""Gives Nginx other files, all or none: tested beside the ones in use, renamed, reloaded, put back on failure.

A kill -9 at any instant leaves files that Nginx can start with: what was not tested lies in ``candidate/`` alone.
"""

from __future__ import annotations

import fcntl
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.files import make_directory, read_if_there, write_atomically
from infrastructure.nginx import start
from infrastructure.nginx.config import candidate_config, generation_config, generation_in
from infrastructure.nginx.master import Master
from infrastructure.nginx.prefix import Prefix
from infrastructure.runner import Command, CommandFailed, Runner

LOCK_SECONDS = 120.0
TEST_SECONDS = 60.0


@dataclass(frozen=True)
class Applier:
    prefix: Prefix
    nginx_binary: str
    master: Master
    environment: Mapping[str, str]
    runner: Runner = field(default_factory=Runner)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One worker at a time; the kernel lets go of it when its holder dies."""
        deadline = time.monotonic() + LOCK_SECONDS
        with self.prefix.lock.open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise HostProblem(
                            "nginx.busy",
                            f"Another job has been changing Nginx's configuration for {LOCK_SECONDS:g} s.",
                            "Try again when it has ended.",
                        ) from None
                    time.sleep(0.05)
            yield

    def replace(self, sites: Mapping[Path, str | None], can_wait: Mapping[Path, str | None] | None = None) -> bool:
        """Make the site files these (None: no such file), and have Nginx take them. False: no reload was needed.
        What is in ``can_wait`` is written as well, and read at the next reload, whatever that is for.

        The caller holds the lock.
        """
        changed = _differing(sites)
        wanted = generation_in(read_if_there(self.prefix.generation) or "")
        in_force = not changed and self.master.generation() == wanted
        changed |= _differing(can_wait or {})
        if changed:
            self._test(changed)
        if in_force:
            _write(changed)
            return False
        before = {path: read_if_there(path) for path in changed}
        try:
            _write(changed)
            self._reload(wanted + 1)
        except BaseException:
            _write(before)
            # A reload that is applied late, after we gave up, must not pass for the one that is wanted.
            write_atomically(self.prefix.generation, generation_config(wanted + 2))
            raise
        return True

    def _reload(self, number: int) -> None:
        write_atomically(self.prefix.generation, generation_config(number))
        self.master.reload(number)

    def _test(self, changed: Mapping[Path, str | None]) -> None:
        """``nginx -t`` on the sites as they would be; the ones in use are not touched."""
        folder = self.prefix.candidate_sites
        make_directory(folder)
        for left in folder.iterdir():
            left.unlink()
        for site in self.prefix.sites.glob("*.conf"):
            if site not in changed:
                (folder / site.name).symlink_to(site)
        _write({folder / path.name: text for path, text in changed.items()})
        main = self.prefix.configuration.read_text()
        write_atomically(self.prefix.candidate, candidate_config(main), 0o600)
        launcher = (sys.executable, "-I", "-S", start.__file__)  # it raises the limit of open files: -t opens them all
        argv = (*launcher, self.nginx_binary, str(self.prefix.root), str(self.prefix.candidate), "test")
        try:
            self.runner.run(Command(argv, env=self.environment, timeout=TEST_SECONDS))
        except CommandFailed as failure:
            said = failure.result.output.strip().splitlines()
            reason = next((line for line in said if "[emerg]" in line), said[-1] if said else "no reason given")
            raise HostProblem(
                "nginx.refused",
                f"Nginx refused the new configuration: {reason[-500:]}",
                "It was not put in place; every site serves as it did.",
            ) from failure


def _differing(texts: Mapping[Path, str | None]) -> dict[Path, str | None]:
    return {path: text for path, text in texts.items() if read_if_there(path) != text}


def _write(texts: Mapping[Path, str | None]) -> None:
    for path, text in texts.items():
        if text is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, text)
