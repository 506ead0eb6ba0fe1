from __future__ import annotations

from django.urls import path

from deployments.views import actions, creation, detail, environment, listing, settings

app_name = "deployments"
urlpatterns = [
    path("deployments", listing.list_deployments, name="list"),
    path("deployments/new", creation.new, name="new"),
    path("deployments/new/<str:name>", creation.template, name="template"),
    path("deployments/<int:pk>", detail.overview, name="detail"),
    path("deployments/<int:pk>/releases", detail.releases, name="releases"),
    path("deployments/<int:pk>/releases/<int:release_pk>", detail.release, name="release"),
    path("deployments/<int:pk>/releases/<int:release_pk>/rollback", actions.rollback, name="rollback"),
    path("deployments/<int:pk>/environment", environment.environment, name="environment"),
    path("deployments/<int:pk>/environment/add", environment.add, name="env-add"),
    path("deployments/<int:pk>/environment/paste", environment.paste, name="env-paste"),
    path("deployments/<int:pk>/environment/<int:variable_pk>", environment.edit, name="env-edit"),
    path("deployments/<int:pk>/environment/<int:variable_pk>/value", environment.reveal, name="env-reveal"),
    path("deployments/<int:pk>/environment/<int:variable_pk>/remove", environment.remove, name="env-remove"),
    path("deployments/<int:pk>/settings", settings.settings, name="settings"),
    path("deployments/<int:pk>/logs", detail.logs, name="logs"),
    path("deployments/<int:pk>/deploy", actions.deploy, name="deploy"),
    path("deployments/<int:pk>/restart", actions.restart, name="restart"),
    path("deployments/<int:pk>/stop", actions.stop, name="stop"),
    path("deployments/<int:pk>/start", actions.start, name="start"),
    path("deployments/<int:pk>/delete", actions.delete, name="delete"),
    path("deployments/tasks/<int:pk>/cancel", actions.cancel, name="cancel"),
]
