"""The databases of one deployment: a tab of its pages."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from bakery.pages import render_page
from bakery.permissions import requires
from bakery.roles import Action
from databases.models import Attachment, Database
from databases.presentation import Row
from databases.services.overview import overviews
from deployments.views.detail import HEAD, WORK, page_of


@requires(Action.VIEW)
@require_safe
def of_deployment(request: HttpRequest, pk: int) -> HttpResponse:
    return render_databases(request, pk)


def render_databases(request: HttpRequest, pk: int, status: int = 200, **more: object) -> HttpResponse:
    deployment, context = page_of(request, pk, "databases", "databases:of")
    attached = list(Attachment.objects.filter(deployment=deployment))
    databases = Database.objects.visible_to(request.user).for_list().filter(pk__in=[a.database_id for a in attached])
    rows = {overview.database.pk: Row(overview) for overview in overviews(databases)}
    context |= {"attached": [(each, rows[each.database_id]) for each in attached if each.database_id in rows], **more}
    parts = {"head": HEAD, "work": WORK, "attached": "databases/_of_deployment.html"}
    return render_page(request, "databases/of_deployment.html", context, parts, status)
