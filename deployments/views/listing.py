from __future__ import annotations

from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from bakery.pages import render_page
from bakery.permissions import requires
from bakery.roles import Action
from deployments.models import Deployment
from deployments.services.status import with_status

PER_PAGE = 50


@requires(Action.VIEW)
@require_safe
def list_deployments(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "").strip().replace("\0", "")[:100]
    found = Deployment.objects.visible_to(request.user).for_list()
    if query:
        found = found.filter(Q(name__icontains=query) | Q(repository__icontains=query) | Q(branch__icontains=query))
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    context = {"section": "deployments", "query": query, "page": page, "deployments": with_status(page)}
    return render_page(request, "deployments/list.html", context, {"deployments": "deployments/_table.html"})
