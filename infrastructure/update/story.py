"""One update, from the first look to the last: every step can be undone, and an update that was cut off is put back.

fetch → check → install (all beside the running version) → pause → back up → migrate → activate → start → verify
"""

from __future__ import annotations

import time
from pathlib import Path

import psycopg

from infrastructure.errors import Blame, HostProblem, Problem
from infrastructure.files import point_symlink
from infrastructure.runner import Command, CommandFailed, Runner, TimedOut
from infrastructure.update import backup, preflight, releases
from infrastructure.update import state as states
from infrastructure.update.journal import Journal
from infrastructure.update.mirror import UNTOUCHED, Mirror
from infrastructure.update.place import Place
from infrastructure.update.services import Services
from infrastructure.version_file import Version

MIGRATE_SECONDS = 3600.0
DATABASE_SECONDS = 90.0  # how long PostgreSQL may take to answer, after a reboot
MOST_ATTEMPTS = 3


class Update:
    def __init__(self, place: Place, journal: Journal, runner: Runner) -> None:
        self.place, self.journal, self.runner = place, journal, runner
        self.state = journal.state
        self.services = Services(place.units, runner)
        self.mirror = Mirror(place.mirror, runner, journal.hear)

    def go_forward(self) -> None:
        """Raises ``Problem`` at the first thing that does not work; ``put_back`` then undoes what was done."""
        self.choose()
        directory = self.install()
        self.pause()
        self.back_up()
        self.migrate(directory)
        self.activate(directory)
        self.start_and_verify()

    def choose(self) -> None:
        state, old = self.state, self.place.running()
        state.old, state.old_date = old.sha, old.date
        with self.journal.phase("fetch") as step:
            self.mirror.fetch()
            new = self.mirror.resolve(state.ref)
            self._refuse_other_directions(old, new)
            state.new, state.new_date = new.sha, new.date
            changes = self.mirror.changes(old.sha, new.sha)
            step.note = f"{old.short} → {new.short}, {len(changes)} change{'' if len(changes) == 1 else 's'}"
            self.journal.say(step.note)
            for change in changes:
                self.journal.say(f"  {change.sha[:12]} {change.subject}")

    def _refuse_other_directions(self, old: Version, new: Version) -> None:
        if new.sha == old.sha:
            raise Problem("update.current", f"{new.short} is what runs already.", "There is nothing to update.")
        if self.mirror.follows(new.sha, old.sha):
            raise Problem(
                "update.downgrade",
                f"{new.short} is older than {old.short}, which runs: its database cannot be taken back.",
                "Choose a newer version. To go back, restore a backup: docs/operations.md, Updating.",
            )
        if not self.mirror.follows(old.sha, new.sha):
            raise Problem(
                "update.not-a-successor",
                f"{new.short} does not contain {old.short}, which runs: it may lack what the database already has.",
                f"{UNTOUCHED} Choose a version that was made after it.",
            )

    def install(self) -> Path:
        new = Version(self.state.new, self.state.new_date)
        with self.journal.phase("check") as step:
            python = preflight.python_for(self.mirror.text_of(new.sha, "pyproject.toml"), Runner())
            step.note = preflight.check_room(self.place, self._database_bytes())
            self.journal.say(f"{step.note}; {python}")
        with self.journal.phase("install"):
            directory = releases.make(self.place, new, self.mirror, python, self.runner, self.journal.hear)
            self._manage(directory, "check", failing="The new version does not even load")
        return directory

    def pause(self) -> None:
        # From here on somebody has to put things back if this process is cut off: see bakery-update-recover.service.
        point_symlink(self.place.updating, f"releases/{self.place.release(self.state.old).name}")
        self.journal.about_to("paused")
        with self.journal.phase("pause"):
            self.services.pause()

    def back_up(self) -> None:
        with self.journal.phase("back up") as step:
            directory = backup.new_directory(self.place, self.state.old)
            backup.save_files(self.place, directory)
            backup.save_database(self.place, directory, self.runner)
            self.state.backup = step.note = str(directory)

    def migrate(self, directory: Path) -> None:
        self.journal.about_to("database")
        with self.journal.phase("migrate"):
            self._manage(
                directory,
                "migrate",
                "--no-input",
                timeout=MIGRATE_SECONDS,
                failing="The database could not be migrated",
            )

    def activate(self, directory: Path) -> None:
        self.journal.about_to("files")
        with self.journal.phase("activate"):
            self._manage(
                directory, "collectstatic", "--no-input", "-v", "0", failing="Static files could not be written"
            )
            # By the new code: it knows which units it needs.
            argv = (str(_python_of(directory)), "-m", "infrastructure.update", "units", str(self.place.install))
            self._run(argv, directory, "The new version's units could not be written")
            point_symlink(self.place.current, f"releases/{directory.name}")
            self.services.reload()

    def start_and_verify(self) -> None:
        with self.journal.phase("start"):
            self.services.start()
        with self.journal.phase("verify"):
            try:
                self.services.verify(self.health_url(), self.state.new)
            except Problem:
                self.journal.say(self.services.last_words())
                raise
        self.journal.about_to("verified")

    def finish(self) -> None:
        """The new version runs and is well."""
        with self.journal.phase("tidy") as step:
            try:
                gone = releases.prune(self.place, {self.state.old, self.state.new}) + backup.prune(self.place)
                step.note = f"removed: {', '.join(gone)}" if gone else ""
            except OSError as error:  # the update has succeeded all the same
                step.note = f"not everything that is old could be removed: {error}"
        self._end("succeeded")
        self.journal.say(f"Bakery runs {self.state.new[:12]}.")

    def put_back(self, *, booting: bool = False) -> None:
        """Whatever was changed is as before, and the old version runs. ``booting``: systemd starts it itself."""
        did = self.state.did
        if "paused" not in did:
            self.journal.say("Nothing was changed: the old version kept running.")
            self._end("failed")
            return
        with self.journal.phase("put back") as step:
            saved = Path(self.state.backup) if self.state.backup else None
            if not booting:
                self.services.stop()
            if saved and "files" in did:
                backup.put_back_link(self.place, saved)
                backup.put_back_files(self.place, saved)
                self.services.reload()
            if saved and "database" in did:
                self._wait_for_database()
                backup.put_back_database(self.place, saved, self.runner)
            self.services.start(wait=not booting)
            if not booting:
                self.services.verify(self.health_url(), self.state.old)
            restored = "the database" if "database" in did else "everything"
            step.note = f"{self.state.old[:12]} runs again, with {restored} as before."
        self.state.error_hint = f"The old version was put back, with {restored} as before. The log says more."
        self._end("failed")

    def give_up(self, problem: Problem) -> None:
        """Putting back did not work either: an administrator has to look."""
        self.state.fail(problem)
        self.state.error_hint = (
            f"The old version could NOT be put back: {problem.message} Sites go on. "
            f"See docs/operations.md, Updating; the backup is {self.state.backup or 'not needed: nothing was changed'}."
        )
        self._end("failed")

    def health_url(self) -> str:
        host = self.place.setting("BAKERY_HOST", "127.0.0.1")
        reached = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
        return f"http://{reached}:{self.place.setting('BAKERY_PORT', '4100')}/healthz"

    def _end(self, outcome: str) -> None:
        self.state.outcome, self.state.ended_at = outcome, states.now()
        self.journal.save()
        self.place.updating.unlink(missing_ok=True)

    def _manage(self, directory: Path, *arguments: str, failing: str, timeout: float = 300.0) -> None:
        self._run((str(_python_of(directory)), "manage.py", *arguments), directory, failing, timeout)

    def _run(self, argv: tuple[str, ...], directory: Path, failing: str, timeout: float = 300.0) -> None:
        """A program of the new version, with its own environment."""
        command = Command(argv, cwd=directory, env={"HOME": "/root", "PYTHONUNBUFFERED": "1"}, timeout=timeout)
        try:
            self.runner.run(command, self.journal.hear)
        except (CommandFailed, TimedOut) as failure:
            raise Problem(
                "update.new-version-fails",
                f"{failing}: {self.runner.masker.mask(failure.message)}",
                "The log says more.",
                blame=Blame.BAKERY,
            ) from failure

    def _database_bytes(self) -> int:
        with psycopg.connect(self.place.setting("DATABASE_URL"), connect_timeout=10) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        return int(row[0]) if row else 0

    def _wait_for_database(self) -> None:
        deadline = time.monotonic() + DATABASE_SECONDS
        while True:
            try:
                self._database_bytes()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise HostProblem(
                        "update.no-database", "PostgreSQL does not answer.", "Start it: systemctl start postgresql."
                    ) from error
                time.sleep(0.5)
            else:
                return


def _python_of(directory: Path) -> Path:
    return directory / ".venv" / "bin" / "python"
