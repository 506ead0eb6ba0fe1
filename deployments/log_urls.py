from __future__ import annotations

from django.urls import path

from deployments.views import logs

app_name = "logs"
urlpatterns = [
    path("<int:stream_id>/", logs.viewer, name="viewer"),
    path("<int:stream_id>/lines", logs.lines, name="lines"),
    path("<int:stream_id>/search", logs.search, name="search"),
    path("<int:stream_id>/raw", logs.raw, name="raw"),
]
