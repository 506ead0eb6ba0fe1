from __future__ import annotations

from django.urls import path

from deployments.views import actions, creation, detail, environment, listing, settings

app_name = "deployments"
urlpatterns = [
    path("", listing.list_deployments, name="list"),
    path("/new", creation.new, name="new"),
    path("/new/<str:name>", creation.template, name="template"),
    path("/<int:pk>", detail.overview, name="detail"),
    path("/<int:pk>/releases", detail.releases, name="releases"),
    path("/<int:pk>/releases/<int:release_pk>", detail.release, name="release"),
    path("/<int:pk>/releases/<int:release_pk>/rollback", actions.rollback, name="rollback"),
    path("/<int:pk>/environment", environment.environment, name="environment"),
    path("/<int:pk>/environment/add", environment.add, name="env-add"),
    path("/<int:pk>/environment/paste", environment.paste, name="env-paste"),
    path("/<int:pk>/environment/<int:variable_pk>", environment.edit, name="env-edit"),
    path("/<int:pk>/environment/<int:variable_pk>/value", environment.reveal, name="env-reveal"),
    path("/<int:pk>/environment/<int:variable_pk>/remove", environment.remove, name="env-remove"),
    path("/<int:pk>/settings", settings.settings, name="settings"),
    path("/<int:pk>/logs", detail.logs, name="logs"),
    path("/<int:pk>/deploy", actions.deploy, name="deploy"),
    path("/<int:pk>/restart", actions.restart, name="restart"),
    path("/<int:pk>/stop", actions.stop, name="stop"),
    path("/<int:pk>/start", actions.start, name="start"),
    path("/<int:pk>/delete", actions.delete, name="delete"),
    path("/tasks/<int:pk>/cancel", actions.cancel, name="cancel"),
]
