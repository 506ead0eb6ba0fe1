from __future__ import annotations

from django.urls import path

from bakery.updates import views

urlpatterns = [
    path("settings/update", views.page, name="update"),
    path("settings/update/start", views.start, name="update-start"),
    path("settings/update/look", views.look, name="update-look"),
]
