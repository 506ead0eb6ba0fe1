from __future__ import annotations

from django.urls import path

from databases.views import backups, listing, of_deployment, overview

ONE = "databases/<int:pk>"

app_name = "databases"
urlpatterns = [
    path("databases", listing.list_databases, name="list"),
    path(ONE, overview.overview, name="detail"),
    path(f"{ONE}/backups", backups.backups, name="backups"),
    path("deployments/<int:pk>/databases", of_deployment.of_deployment, name="of"),
]
