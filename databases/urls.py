from __future__ import annotations

from django.urls import path

from databases.views import (
    attaching,
    backup_actions,
    backups,
    creation,
    listing,
    of_deployment,
    overview,
    secrets,
    settings,
    storage,
)

ONE = "databases/<int:pk>"
BACKUP = f"{ONE}/backups/<int:backup_pk>"

app_name = "databases"
urlpatterns = [
    path("databases", listing.list_databases, name="list"),
    path("databases/new", creation.new, name="new"),
    path("databases/register", creation.register, name="register"),
    path(ONE, overview.overview, name="detail"),
    path(f"{ONE}/reveal", secrets.reveal, name="reveal"),
    path(f"{ONE}/rotate", secrets.rotate, name="rotate"),
    path(f"{ONE}/reader", secrets.reader, name="reader"),
    path(f"{ONE}/reader/drop", secrets.end_reader, name="reader-drop"),
    path(f"{ONE}/drop", settings.drop, name="drop"),
    path(f"{ONE}/retry", settings.retry, name="retry"),
    path(f"{ONE}/check", overview.check, name="check"),
    path(f"{ONE}/attach", attaching.attach, name="attach"),
    path(f"{ONE}/attachments/<int:attachment_pk>/detach", attaching.detach, name="detach"),
    path(f"{ONE}/settings", settings.settings, name="settings"),
    path(f"{ONE}/settings/plan", settings.plan, name="plan"),
    path(f"{ONE}/backups", backups.backups, name="backups"),
    path(f"{ONE}/backups/make", backup_actions.make, name="back-up"),
    path(f"{ONE}/backups/upload", backup_actions.upload, name="upload"),
    path(f"{ONE}/clone", backup_actions.clone, name="clone"),
    path(f"{ONE}/restore/confirm", backup_actions.confirm, name="restore-confirm"),
    path(f"{ONE}/restore/undo", backup_actions.undo, name="restore-undo"),
    path(BACKUP, backups.backup, name="backup"),
    path(f"{BACKUP}/pin", backup_actions.pin, name="backup-pin"),
    path(f"{BACKUP}/delete", backup_actions.delete, name="backup-delete"),
    path(f"{BACKUP}/test", backup_actions.test, name="backup-test"),
    path(f"{BACKUP}/fetch", backup_actions.fetch, name="backup-fetch"),
    path(f"{BACKUP}/restore", backup_actions.restore, name="backup-restore"),
    path("settings/backup-storage", storage.storages, name="storages"),
    path("settings/backup-storage/add", storage.add, name="storage-add"),
    path("settings/backup-storage/<int:pk>", storage.edit, name="storage"),
    path("settings/backup-storage/<int:pk>/check", storage.check, name="storage-check"),
    path("settings/backup-storage/<int:pk>/remove", storage.remove, name="storage-remove"),
    path("deployments/<int:pk>/databases", of_deployment.of_deployment, name="of"),
    path("deployments/<int:pk>/databases/attach", attaching.attach_here, name="of-attach"),
]
