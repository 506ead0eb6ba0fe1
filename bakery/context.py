from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from bakery import version
from deployments.models import Deployment
from deployments.services.status import with_status

SIDEBAR_LIMIT = 60  # more are found through the list and its search


def sidebar(request: HttpRequest) -> dict[str, Any]:
    """What every page with a sidebar shows. Lazy: a refreshed part has no sidebar and pays nothing for it."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {}
    visible = Deployment.objects.visible_to(user)
    return {
        "version": version.current(),
        "sidebar_deployments": SimpleLazyObject(lambda: with_status(visible.for_list()[:SIDEBAR_LIMIT])),
        "sidebar_total": SimpleLazyObject(visible.count),
    }
