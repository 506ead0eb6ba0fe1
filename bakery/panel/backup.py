"""A backup of Bakery itself: what it takes to run the same applications on another host."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from accounts.models import User
from bakery import addresses
from bakery.panel import certificates
from bakery.panel.contents import About, in_words, pack
from bakery.panel.host_settings import moving_settings
from bakery.version import current
from deployments.models import Deployment, LogChunk, PersistentDirectory
from infrastructure.errors import HostProblem
from infrastructure.postgres import dumps
from infrastructure.runner import Runner
from infrastructure.secret import Secret

# Who is signed in on this host is nobody's business on another one.
NEVER_TAKEN = ("django_session",)


def back_up(
    file: Path,
    passphrase: Secret,
    *,
    with_logs: bool = True,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> About:
    """Write ``file``. The panel may be in use meanwhile: the dump shows the database at one moment."""
    if file.exists() and not overwrite:
        raise HostProblem("backup.exists", f"{file} is there already.", "Choose another name, or add --overwrite.")
    about = about_this_panel(with_logs=with_logs)
    with workshop() as directory:
        say("→ dump the database")
        skipped = NEVER_TAKEN if with_logs else (*NEVER_TAKEN, LogChunk._meta.db_table)
        dump = directory / "database"
        dumps.dump(settings.BAKERY.database_url, dump, Runner(), without_rows_of=skipped, private_tools=private_tools())
        say("→ gather certificates")
        with in_words(directory):
            gathered = certificates.collect(directory)
        say("→ encrypt")
        pack(file, passphrase, about, moving_settings(), dump, gathered)
    return about


def about_this_panel(*, with_logs: bool) -> About:
    bakery = settings.BAKERY
    directories = PersistentDirectory.objects.select_related("deployment").order_by("deployment__name", "path")
    return About(
        created_at=timezone.now().isoformat(timespec="seconds"),
        base_url=addresses.base_url(),
        apps_domain=bakery.apps_domain,
        version=current().sha,
        schema=sorted(".".join(name) for name in MigrationRecorder(connection).applied_migrations()),
        deployments=list(Deployment.objects.filter(deleting=False).order_by("name").values_list("name", flat=True)),
        persistent=[f"{found.deployment.name}: {found.path}" for found in directories],
        people=User.objects.count(),
        with_logs=with_logs,
    )


def private_tools() -> Path:
    """Where a quickstart keeps programs that the machine lacks."""
    tools: Path = settings.BAKERY.data_dir / "tools"
    return tools


@contextmanager
def workshop() -> Iterator[Path]:
    """A directory for what is not encrypted, readable by nobody else and gone afterwards."""
    parent = settings.BAKERY.data_dir / "backups"
    with in_words(parent):
        parent.mkdir(mode=0o700, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix="panel-", dir=parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
