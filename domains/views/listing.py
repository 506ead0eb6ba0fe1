from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from bakery.pages import open_alarms, render_page
from bakery.permissions import requires
from bakery.roles import Action
from domains.forms import ListFilter
from domains.models import Certificate, Domain
from domains.presentation import Name, https_of

PER_PAGE = 50


@requires(Action.VIEW)
@require_safe
def list_domains(request: HttpRequest) -> HttpResponse:
    """All names, those that need attention first."""
    filters = ListFilter({key: str(value).replace("\0", "") for key, value in request.GET.items()})
    filters.is_valid()
    query, show = filters.cleaned_data.get("q", ""), filters.cleaned_data.get("show", "")
    found = Domain.objects.visible_to(request.user).for_overview()
    if query:
        found = found.matching(query)
    if show:
        found = found.showing(show)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    panel = Certificate.objects.filter(deployment=None).first()
    context = {
        "section": "domains",
        **open_alarms(request),
        "filters": filters,
        "filtered": bool(query or show),
        "page": page,
        "page_query": urlencode({"q": query, "show": show}),
        "rows": [Name(domain, https_of(domain, _certificate_of(domain, panel))) for domain in page],
    }
    return render_page(request, "domains/list.html", context, {"domains": "domains/_table.html"})


def _certificate_of(domain: Domain, panel: Certificate | None) -> Certificate | None:
    return getattr(domain.deployment, "certificate", None) if domain.deployment else panel
