from __future__ import annotations

from django.urls import path

from databases.views import attaching, backups, creation, listing, of_deployment, overview, secrets, settings

ONE = "databases/<int:pk>"

app_name = "databases"
urlpatterns = [
    path("databases", listing.list_databases, name="list"),
    path("databases/new", creation.new, name="new"),
    path("databases/register", creation.register, name="register"),
    path(ONE, overview.overview, name="detail"),
    path(f"{ONE}/reveal", secrets.reveal, name="reveal"),
    path(f"{ONE}/check", overview.check, name="check"),
    path(f"{ONE}/attach", attaching.attach, name="attach"),
    path(f"{ONE}/attachments/<int:attachment_pk>/detach", attaching.detach, name="detach"),
    path(f"{ONE}/settings", settings.settings, name="settings"),
    path(f"{ONE}/backups", backups.backups, name="backups"),
    path("deployments/<int:pk>/databases", of_deployment.of_deployment, name="of"),
    path("deployments/<int:pk>/databases/attach", attaching.attach_here, name="of-attach"),
]
