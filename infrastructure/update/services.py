"""Bakery's own units, told apart from those of the applications that it runs (``bakery-deployment-…``)."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path

from infrastructure.errors import Blame, Problem
from infrastructure.runner import Command, Runner
from infrastructure.systemd.bakery_units import RECOVER, RELAY, RENEWAL

UPDATER = "bakery-update"
APPLICATIONS = "bakery-deployment-"
WORKER, WEB = "bakery-worker.service", "bakery.service"
STOP_SECONDS = 900.0  # more than any unit's own TimeoutStopSec; running deploys may take that long to let go
VERIFY_SECONDS = 120.0
MOST_RESTARTS = 3
JOURNAL_LINES = "40"


def own_units(directory: Path) -> list[Path]:
    """Unit files of Bakery itself, by name: a later version may have others."""
    files = [*directory.glob("bakery.*"), *directory.glob("bakery-*.*")]
    return sorted(file for file in files if file.is_file() and not file.name.startswith(APPLICATIONS))


def own_services(directory: Path) -> list[str]:
    """Those that an update stops and starts. Certificates are renewed meanwhile, if it is time for that, and
    applications in containers reach their databases."""
    others = (RECOVER, RENEWAL, RELAY)
    return [file.name for file in own_units(directory) if file.suffix == ".service" and file.name not in others]


class Services:
    def __init__(self, units: Path, runner: Runner) -> None:
        self.units, self.runner = units, runner

    def pause(self) -> None:
        """The workers first, which may be in the middle of a deploy; the pages stay until the last moment."""
        services = own_services(self.units)
        if WORKER in services:
            self._systemctl("stop", "--", WORKER, timeout=STOP_SECONDS)
        others = [name for name in services if name not in (WORKER, WEB)]
        if others:
            self._systemctl("stop", "--", *others, timeout=STOP_SECONDS)
        if WEB in services:
            self._systemctl("stop", "--", WEB, timeout=STOP_SECONDS)

    def stop(self) -> None:
        """Whatever state they are in."""
        services = own_services(self.units)
        if services:
            self._systemctl("stop", "--", *services, timeout=STOP_SECONDS, check=False)
            self._systemctl("reset-failed", "--", *services, check=False)

    def reload(self) -> None:
        self._systemctl("daemon-reload")

    def start(self, *, wait: bool = True) -> None:
        """``wait=False`` while the host is booting: starting would wait for whoever waits for us."""
        targets = [file.name for file in own_units(self.units) if file.suffix == ".target"]
        names = [*targets, *own_services(self.units)]
        self._systemctl("start", *(() if wait else ("--no-block",)), "--", *names, timeout=STOP_SECONDS, check=False)

    def verify(self, url: str, sha: str, seconds: float = VERIFY_SECONDS) -> None:
        """Wait until every part says that it is well and the pages say that they are of this version."""
        deadline = time.monotonic() + seconds
        while True:
            answer = ask(url)
            if answer.get("ok") is True and not _complaints(answer, sha):
                return
            failed = self._failed()
            if failed or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        raise Problem(
            "update.not-well",
            f"The new version does not get well: {'; '.join(_complaints(answer, sha)) or 'no reason was given'}"
            + (f" ({', '.join(failed)} ended again and again)." if failed else "."),
            "The log has what its processes said last.",
            blame=Blame.BAKERY,
        )

    def last_words(self) -> str:
        """The end of what Bakery's processes wrote to the journal."""
        units = [part for name in own_services(self.units) for part in ("-u", name)]
        command = Command(("journalctl", "--no-pager", "-o", "cat", "-n", JOURNAL_LINES, *units), timeout=30)
        return self.runner.run(command, check=False).output if units else ""

    def _failed(self) -> list[str]:
        """Those that do not stay up. Asked twice a second, so it is not recorded."""
        names = own_services(self.units)
        argv = ("systemctl", "--no-pager", "show", "--property=Id,ActiveState,NRestarts", "--", *names)
        shown = Runner().run(Command(argv, timeout=30), check=False).output
        found = []
        for block in shown.strip().split("\n\n"):
            values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            if values.get("ActiveState") == "failed" or int(values.get("NRestarts") or 0) >= MOST_RESTARTS:
                found.append(values.get("Id", ""))
        return found

    def _systemctl(self, *arguments: str, timeout: float = 60, check: bool = True) -> str:
        command = Command(("systemctl", "--no-pager", *arguments), timeout=timeout)
        return self.runner.run(command, check=check).output


def ask(url: str) -> dict[str, object]:
    """What /healthz answers, whatever its status; {} when nobody does."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - http:// on loopback
            found = json.load(response)
    except urllib.error.HTTPError as error:
        found = _json(error.read())
    except (OSError, ValueError):
        found = {}
    return found if isinstance(found, dict) else {}


def _json(text: bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return {}


def _complaints(answer: dict[str, object], sha: str) -> list[str]:
    if not answer:
        return ["its pages do not answer"]
    version, parts = answer.get("version"), answer.get("parts")
    said = []
    if not isinstance(version, dict) or version.get("sha") != sha:
        said.append("another version answers")
    for name, part in (parts if isinstance(parts, dict) else {}).items():
        if isinstance(part, dict) and not part.get("ok"):
            said.append(f"{name}: {part.get('detail')}")
    return said
