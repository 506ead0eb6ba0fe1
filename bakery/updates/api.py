"""``/api/system/update``."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import path

from bakery.api import body_of, endpoint, refuse_unknown, text
from bakery.permissions import person_of, requires
from bakery.roles import Action
from bakery.updates import requests
from bakery.updates.shapes import known, known_shape
from deployments.shapes import task_shape


@requires(Action.UPDATE_BAKERY)
@endpoint("GET", "POST")
def update(request: HttpRequest) -> dict[str, Any] | tuple[int, dict[str, Any]]:
    """Which version runs, which is available, what is new in it; POST {ref} updates Bakery to it, or to the newest."""
    if request.method == "GET":
        return known_shape(known())
    body = body_of(request)
    refuse_unknown(body, frozenset({"ref"}))
    return 202, task_shape(requests.update(by=person_of(request), ref=text(body, "ref")))


@requires(Action.UPDATE_BAKERY)
@endpoint("POST")
def look(request: HttpRequest) -> tuple[int, dict[str, Any]]:
    """Look for a newer version now; GET system/update shows it a moment later."""
    refuse_unknown(body_of(request), frozenset())
    requests.look()
    return 202, known_shape(known())


urlpatterns = [
    path("system/update", update, name="api-update"),
    path("system/update/look", look, name="api-update-look"),
]
