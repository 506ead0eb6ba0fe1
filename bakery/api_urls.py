"""Everything under ``/api/``."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest
from django.middleware.csrf import get_token
from django.urls import URLPattern, path

from bakery.alarms import alarm_shape
from bakery.api import endpoint, rows_wanted
from bakery.models import Alarm
from bakery.permissions import person_of, requires
from bakery.roles import Action
from bakery.updates import api as updates
from databases import api as databases
from databases import api_access, api_restores
from deployments import api as deployments
from domains import api as domains


@requires(Action.VIEW)
@endpoint("GET")
def index(request: HttpRequest) -> dict[str, Any]:
    """What the API can do."""
    return {"operations": [_described(pattern) for pattern in urlpatterns if pattern.name != "api-unknown"]}


@requires(Action.OWN_ACCOUNT)
@endpoint("GET")
def session(request: HttpRequest) -> dict[str, Any]:
    """Who is signed in, and the CSRF token that unsafe methods need."""
    person = person_of(request)
    return {"email": person.email, "role": person.role, "csrf_token": get_token(request)}


@requires(Action.VIEW)
@endpoint("GET")
def alarms(request: HttpRequest) -> list[dict[str, Any]]:
    """What a person has to look at now, the urgent first (?limit=)."""
    found = Alarm.objects.visible_to(request.user).open().for_list()
    return [alarm_shape(alarm) for alarm in found[: rows_wanted(request)]]


@requires(Action.VIEW)
@endpoint("GET", "POST", "PUT", "PATCH", "DELETE")
def unknown(request: HttpRequest, rest: str) -> None:
    """Any other address."""
    raise Http404(f"There is nothing at /api/{rest}. GET /api/ lists what there is.")


def _described(pattern: URLPattern) -> dict[str, Any]:
    view: Any = pattern.callback
    may = {"GET": view.action.label} if "GET" in view.methods else {}
    may.update({method: view.action_to_change.label for method in view.methods if method != "GET"})
    return {"path": f"/api/{pattern.pattern}", "methods": may, "summary": (view.__doc__ or "").strip()}


urlpatterns = [
    path("", index, name="api-index"),
    path("session", session, name="api-session"),
    path("alarms", alarms, name="api-alarms"),
    *deployments.urlpatterns,
    *domains.urlpatterns,
    *databases.urlpatterns,
    *api_access.urlpatterns,
    *api_restores.urlpatterns,
    *updates.urlpatterns,
    path("<path:rest>", unknown, name="api-unknown"),
]
