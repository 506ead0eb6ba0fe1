"""Commands of users' code as transient units: clones, builds, commands before the switch. systemd-run(1).

The unit ends with everything in it, at its time limit also when Bakery is gone by then, and shares what the sites leave
(``system-bakerybuilds.slice``). The launcher in it gives up root, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from infrastructure import launcher
from infrastructure.confinement import MINIMAL_ENVIRONMENT, Confinement, Launch
from infrastructure.files import write_atomically
from infrastructure.runner import Command, Runner
from infrastructure.systemd import untrusted
from infrastructure.trees import remove_tree

SLICE = "system-bakerybuilds.slice"
LOADED = Path("/run/systemd/transient")  # systemd keeps a file of each transient unit that it knows
STOP_SECONDS = 5  # between SIGTERM and SIGKILL
LATER = 30  # seconds after Bakery's own time limit: then Bakery is gone
# A directory for temporary files of its own, which ends with the unit and counts as its memory.
TEMPORARY = (("TemporaryFileSystem", "/tmp:mode=1777"), ("TemporaryFileSystem", "/var/tmp:mode=1777"))  # noqa: S108


@dataclass(frozen=True)
class TransientUnits:
    """Where Bakery keeps what its units need, and which directories they see only their own parts of."""

    home: Path
    hidden: tuple[Path, ...] = ()

    def note(self, confinement: Confinement) -> Path:
        """There once the unit has used up its memory."""
        return self._own(confinement) / "out-of-memory"

    def ran_out_of_memory(self, confinement: Confinement) -> bool:
        return self.note(confinement).exists()

    @contextmanager
    def confined(
        self,
        confinement: Confinement,
        argv: list[str],
        env: dict[str, str],
        cwd: Path | None,
        links: Mapping[str, str],
        seconds: float,
    ) -> Iterator[tuple[list[str], dict[str, str]]]:
        """The argv that runs it to its end in a unit. What a killed worker left under the name is ended before."""
        runs = launcher.installed(self.home / "launcher")
        own = self._own(confinement)
        _stop(confinement.cgroup)
        remove_tree(own)
        own.mkdir(parents=True, mode=0o700)
        plan = untrusted.plan(confinement, runs, own, self.hidden)
        left = replace(confinement, cgroup="", reach=plan.reach, units=None)
        spec = own / "spec.json"
        write_atomically(spec, Launch(tuple(argv), env, left, cwd, links).text(), mode=0o600)
        note = runs.note_argv(self.note(confinement))
        try:
            yield systemd_run(confinement, plan, runs.argv(spec), note, seconds), dict(MINIMAL_ENVIRONMENT)
        finally:
            _stop(confinement.cgroup)
            remove_tree(own)

    def _own(self, confinement: Confinement) -> Path:
        return self.home / "once" / confinement.cgroup


def systemd_run(
    confinement: Confinement, plan: untrusted.Plan, argv: list[str], note: list[str], seconds: float
) -> list[str]:
    """Pure: the whole argv."""
    settings = (
        ("Slice", SLICE),
        ("MemoryMax", str(confinement.memory_bytes)),
        ("MemorySwapMax", "0"),
        ("CPUQuota", f"{confinement.cpu_percent}%"),
        ("CPUWeight", "20"),
        ("IOWeight", "20"),
        ("TasksMax", str(confinement.max_processes)),
        ("RuntimeMaxSec", str(int(seconds) + LATER)),
        ("TimeoutStopSec", str(STOP_SECONDS)),
        ("OOMPolicy", "kill"),
        ("OOMScoreAdjust", "500"),
        *TEMPORARY,
        *untrusted.fixed(),
        *plan.settings,
    )
    properties = [f"--property={key}={value}" for key, value in settings]
    # The plus: without all of the above, which would take as long once more, as it is no user's program.
    words = " ".join(quoted(word) for word in note)
    properties.append(f"--property=ExecStopPost=+{words}")
    return [
        "systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--service-type=exec",
        f"--unit={confinement.cgroup}.service", *properties, "--", *argv,
    ]  # fmt: skip


def quoted(word: str) -> str:
    """systemd.syntax(7); no specifier and no variable is expanded in what comes over D-Bus."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _stop(name: str) -> None:
    """End the unit with all that is in it, if it is there. Asking systemd costs more than looking for its file."""
    if (LOADED / f"{name}.service").exists():
        Runner().run(Command(("systemctl", "--quiet", "stop", "--", f"{name}.service"), timeout=60), check=False)
