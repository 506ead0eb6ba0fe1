"""The databases of one deployment: a tab of its pages."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from bakery.pages import render_page
from bakery.permissions import person_of, requires
from bakery.roles import Action
from databases.forms import AttachForm
from databases.models import Attachment, Database
from databases.presentation import Row
from databases.services.due import Due, what_is_due
from databases.services.overview import overviews
from deployments.models import Deployment
from deployments.views.detail import HEAD, WORK, page_of
from infrastructure.errors import Problem


@requires(Action.VIEW)
@require_safe
def of_deployment(request: HttpRequest, pk: int) -> HttpResponse:
    return render_databases(request, pk)


def _restart_due(deployment: Deployment) -> list[Due]:
    """Of what is due: what a deploy brings stands above, with all else that is not live yet."""
    try:
        found = [] if deployment.deleting else what_is_due(deployment)
    except Problem:  # a snapshot that cannot be decrypted: the page says so above
        return []
    return [] if any(one.verb == "deploy" for one in found) else found


def render_databases(request: HttpRequest, pk: int, status: int = 200, **more: object) -> HttpResponse:
    deployment, context = page_of(request, pk, "databases", "databases:of")
    attached = list(Attachment.objects.filter(deployment=deployment))
    databases = Database.objects.visible_to(request.user).for_list().filter(pk__in=[a.database_id for a in attached])
    rows = {overview.database.pk: Row(overview) for overview in overviews(databases)}
    may_attach = person_of(request).may(Action.MANAGE_DATABASES) and not deployment.deleting
    context |= {
        "attached": [(each, rows[each.database_id]) for each in attached if each.database_id in rows],
        "attach_form": AttachForm(deployment=deployment) if may_attach else None,
        "restart_due": _restart_due(deployment),
        **more,
    }
    parts = {"head": HEAD, "work": WORK, "attached": "databases/_of_deployment.html"}
    return render_page(request, "databases/of_deployment.html", context, parts, status)
