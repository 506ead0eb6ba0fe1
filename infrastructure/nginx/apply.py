"""Gives Nginx other files, all or none: tested beside the ones in use, renamed, reloaded, put back on failure.

A kill -9 at any instant leaves files that Nginx can start with: what was not tested lies in ``candidate/`` alone.
"""

from __future__ import annotations

import fcntl
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.files import read_if_there, write_atomically
from infrastructure.nginx import start
from infrastructure.nginx.candidate import write_candidate
from infrastructure.nginx.config import generation_config, generation_in
from infrastructure.nginx.directives import in_text
from infrastructure.nginx.hand_edits import edited, kept_copies, set_aside
from infrastructure.nginx.master import Master
from infrastructure.nginx.prefix import Prefix
from infrastructure.runner import Command, CommandFailed, Runner

LOCK_SECONDS = 120.0
TEST_SECONDS = 60.0
CONFLICT = re.compile(r'conflicting server name "([^"]+)"')


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

        A site's file that was changed by hand becomes again what Bakery wrote. The caller holds the lock.
        """
        asked = {**sites, **(can_wait or {})}
        wanted = generation_in(read_if_there(self.prefix.generation) or "")
        by_hand: dict[Path, str] = {}
        in_force = not (changed := _differing(sites)) and self.master.generation() == wanted
        if not in_force:
            by_hand = edited(self.prefix)
            sites = {**{path: text for path, text in by_hand.items() if path not in asked}, **sites}
            changed = _differing(sites)
        changed |= _differing(can_wait or {})
        if changed:
            self._test(changed)
            set_aside(self.prefix, by_hand)
        # What is meant to be there is noted first: after a kill -9 in between it is what the files become.
        changed = _differing(kept_copies(self.prefix, {**sites, **(can_wait or {})})) | changed
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

    def start_with(self, files: Mapping[Path, str | None], start_nginx: Callable[[], None]) -> None:
        """As ``replace``, of an Nginx that does not run."""
        before = self.write_tested(files)
        try:
            start_nginx()
            self.master.wait_until_running()
        except BaseException:
            _write(before)
            raise

    def write_tested(self, files: Mapping[Path, str | None]) -> dict[Path, str | None]:
        """Put the files in place for whenever Nginx reads them next; returns what was there before."""
        changed = _differing(files)
        if changed:
            self._test(changed)
        changed = _differing(kept_copies(self.prefix, files)) | changed
        before = {path: read_if_there(path) for path in changed}
        _write(changed)
        return before

    def _reload(self, number: int) -> None:
        write_atomically(self.prefix.generation, generation_config(number))
        self.master.reload(number)

    def _test(self, changed: Mapping[Path, str | None]) -> None:
        """``nginx -t`` on the files as they would be; the ones in use are not touched."""
        write_candidate(self.prefix, changed)
        launcher = (sys.executable, "-I", "-S", start.__file__)  # it raises the limit of open files: -t opens them all
        nginx = (self.nginx_binary, self.prefix.started_with, str(self.prefix.candidate), "test")
        argv = (*self.prefix.tested_by, *launcher, *nginx)
        try:
            result = self.runner.run(Command(argv, env=self.environment, timeout=TEST_SECONDS))
            self._refuse_names_of_others(changed, result.output)
        except CommandFailed as failure:
            said = failure.result.output.strip().splitlines()
            reason = next((line for line in said if "[emerg]" in line), said[-1] if said else "no reason given")
            raise HostProblem(
                "nginx.refused",
                f"Nginx refused the new configuration: {reason[-500:]}",
                "It was not put in place; every site serves as it did." + self._whose(reason),
            ) from failure
        finally:
            self.prefix.candidate.unlink(missing_ok=True)

    def _refuse_names_of_others(self, changed: Mapping[Path, str | None], said: str) -> None:
        """Nginx only warns of two servers with one name, and goes by their order: a site of the machine's own, or
        Bakery's pages, would lose theirs to whoever asks for it. Between deployments the database decides."""
        taken = set(CONFLICT.findall(said)) & _names(text for text in changed.values() if text)
        if taken:
            others = {path for path in self.prefix.sites.glob("[1-9]*.conf") if path not in changed}
            taken -= _names(path.read_text() for path in others)
        if taken:
            raise HostProblem(
                "nginx.name-taken",
                f"Another site of this machine's Nginx already answers to {' and '.join(sorted(taken))}.",
                "Take the name out of one of the two.",
            )

    def _whose(self, reason: str) -> str:
        """A machine's own Nginx has files of other people's, and is only ever tested as a whole."""
        file = re.search(r" in (/\S+):[0-9]+$", reason.strip())
        if not file:
            return ""
        path = Path(file[1])
        if path.parent == self.prefix.candidate_sites:
            path = self.prefix.sites / path.name
        ours = path == self.prefix.candidate or path.is_relative_to(self.prefix.root)
        if ours and (path.parent != self.prefix.sites or (self.prefix.written / path.name).exists()):
            return ""
        return f" {path} is not as Bakery writes it: mend it or take it away, and try again."


def _names(texts: Iterable[str]) -> set[str]:
    return {
        name for text in texts for found in in_text(text) if found.name == "server_name" for name in found.arguments
    }


def _differing(texts: Mapping[Path, str | None]) -> dict[Path, str | None]:
    return {path: text for path, text in texts.items() if read_if_there(path) != text}


def _write(texts: Mapping[Path, str | None]) -> None:
    for path, text in texts.items():
        if text is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, text)
