"""Bakery itself, brought back from a backup: on a fresh host, or in the place of the panel that is here.

The story is ``restore``. Until the database is swapped nothing is changed; from there to the last migration everything
is put back when something fails; then the records are made this host's own, and what was live is deployed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from redis import RedisError

from accounts.models import User
from bakery import heartbeat
from bakery.models import Task, TaskState
from bakery.panel import certificates
from bakery.panel.backup import private_tools, workshop
from bakery.panel.contents import About, Unpacked, unpack
from bakery.panel.host_settings import KEY, SettingsFile, settings_file, to_be_brought
from databases.services import moving as databases
from deployments.models import Deployment
from deployments.services import moving
from domains.models import Domain
from domains.services.panel import apply_panel
from infrastructure.errors import HostProblem, Problem
from infrastructure.hostnames import display
from infrastructure.panel_processes import PanelProcesses, panel_processes
from infrastructure.postgres import dumps
from infrastructure.runner import Runner
from infrastructure.secret import Secret


@dataclass
class Restored:
    about: About
    brought: list[str]  # names of settings
    tasks: list[Task]  # the deploys that were queued
    is_started: bool  # whether Bakery's processes run again
    how_to_start: str
    notes: list[str] = field(default_factory=list)


def restore(
    file: Path,
    passphrase: Secret,
    *,
    replace_panel: bool = False,
    by_email: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Restored:
    """``by_email``: who asks for the deploys, when the restored panel knows them."""
    file_of_settings = settings_file()
    processes = panel_processes(settings.BAKERY.processes, settings.BAKERY.supervisor_url)
    present = moving.present_deployments()
    refuse_occupied(len(present), replace_panel=replace_panel)
    with workshop() as directory:
        say("→ open the backup")
        backup = unpack(file, passphrase, directory, refuse_newer)
        say(f"  made {backup.about.created_at} at {backup.about.base_url}")
        brought = to_be_brought(backup.settings)
        with stopped(processes, say) as managed:
            tasks, previous = _swap(backup, file_of_settings, brought, by_email, say)
            notes = _bring_the_host_along(present, backup.certificates, say)
            dumps.drop_previous(settings.BAKERY.database_url, previous)
    notes += [*databases.what_to_know(), *_what_to_know(backup.about, tasks)]
    return Restored(backup.about, sorted(brought), tasks, managed, processes.how_to_start, notes)


def refuse_newer(about: About) -> None:
    """A database with migrations that this version does not have is not understood by it."""
    loader = MigrationLoader(None)
    known = {".".join(key) for key in loader.disk_migrations or {}}
    known |= {".".join(old) for found in (loader.disk_migrations or {}).values() for old in found.replaces}
    unknown = sorted(set(about.schema) - known)
    if unknown:
        version = f" ({about.version})" if about.version else ""
        raise Problem(
            "backup.newer-schema",
            f"The backup was made by a newer Bakery{version}: this one does not know {', '.join(unknown[:5])}.",
            "Update Bakery to that version, then restore it.",
        )


def refuse_occupied(deployments: int, *, replace_panel: bool) -> None:
    if deployments and not replace_panel:
        raise Problem(
            "restore.not-empty",
            f"This Bakery has {deployments} deployment{'s' if deployments > 1 else ''}, which would be lost.",
            "Restore on a fresh Bakery; or add --replace, which ends and deletes what is here.",
        )
    if Task.objects.filter(state=TaskState.RUNNING).exists():
        raise Problem("restore.busy", "A task is running.", "Wait for it or cancel it, then restore.")


@contextmanager
def stopped(processes: PanelProcesses, say: Callable[[str], None]) -> Iterator[bool]:
    """Bakery's processes are down inside; they come back however it ends. False: nobody here starts them."""
    say("→ stop Bakery's processes")
    managed = processes.stop()
    if not managed and _somebody_lives():
        raise HostProblem(
            "restore.running",
            "Bakery's processes run, but not under what BAKERY_PROCESSES names, so they cannot be stopped here.",
            "End them, then run this again.",
        )
    try:
        yield managed
    finally:
        if managed:
            say("→ start Bakery's processes")
            processes.start()


def _somebody_lives() -> bool:
    try:
        return any(heartbeat.seen().values())
    except RedisError:
        return False


def _swap(
    backup: Unpacked, file: SettingsFile, brought: dict[str, str], by_email: str | None, say: Callable[[str], None]
) -> tuple[list[Task], str]:
    """The database, its keys, its schema, its rows: all or nothing. Returns the deploys that are queued in it, and the
    name under which the old database is kept."""
    before = settings.BAKERY
    say("→ restore the database")
    connection.close()
    previous = dumps.restore(before.database_url, backup.database, Runner(), private_tools=private_tools())
    try:
        file.write(brought)
        keys = tuple(key.strip() for key in brought[KEY].split(",") if key.strip())
        settings.BAKERY = replace(before, encryption_keys=keys)  # this process was started with the old ones
        say("→ migrate")
        call_command("migrate", interactive=False, verbosity=0)
        tasks = _take_over(backup.about, by_email, say)
    except BaseException as error:
        say("→ put everything back")
        settings.BAKERY = before
        file.put_back()
        connection.close()
        dumps.put_back(before.database_url, previous)
        if isinstance(error, Problem | KeyboardInterrupt):
            raise
        raise HostProblem(
            "restore.failed",
            f"The backup could not be brought up to this version: {type(error).__name__}: {error}",
            "Everything is as it was before. Try the version of Bakery with which the backup was made.",
        ) from error
    return tasks, previous


def _take_over(about: About, by_email: str | None, say: Callable[[str], None]) -> list[Task]:
    say("→ make the records this host's own")
    live = moving.take_over()
    if not about.with_logs:
        moving.forget_logs()
    by = User.objects.filter(email__iexact=by_email, is_active=True).first() if by_email else None
    say(f"→ queue {len(live)} deploy{'' if len(live) == 1 else 's'}")
    return moving.redeploy(live, by=by)


def _bring_the_host_along(
    present: list[moving.Present], certificates_file: Path | None, say: Callable[[str], None]
) -> list[str]:
    if present:
        say("→ end what the replaced panel ran")
    notes = [f"Persistent directories were moved to {path}." for path in moving.end_replaced(present)]
    say("→ bring certificates back")
    try:
        notes += certificates.bring_back(certificates_file)
    except (Problem, OSError) as problem:
        notes.append(f"Certificates are missing, and issued anew once DNS leads here: {problem}")
    try:
        moving.show_pages()
        apply_panel()
    except Problem as problem:
        notes.append(f"The web server does not know all deployments yet: {problem}")
    return notes


def _what_to_know(about: About, tasks: list[Task]) -> list[str]:
    notes = []
    if about.persistent:
        place = settings.BAKERY.data_dir / "persistent"
        notes.append(
            f"Persistent directories are in no backup of Bakery. Copy them from the old host into {place}: "
            f"{'; '.join(about.persistent)}."
        )
    idle = Deployment.objects.exclude(pk__in=[task.deployment_id for task in tasks]).order_by("name")
    if names := ", ".join(idle.values_list("name", flat=True)):
        notes.append(f"Not deployed, as they were stopped or never live: {names}.")
    own = Domain.objects.filter(generated=False).order_by("hostname")
    if domains := ", ".join(display(domain.hostname) for domain in own):
        notes.append(f"DNS still leads to the old host; when this one is as you want it, change it for {domains}.")
    if about.apps_domain != settings.BAKERY.apps_domain:
        notes.append(f"Host names below {about.apps_domain} now end in {settings.BAKERY.apps_domain}.")
    return notes
