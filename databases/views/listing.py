from __future__ import annotations

from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from bakery.models import Alarm
from bakery.pages import open_alarms, render_page
from bakery.permissions import requires
from bakery.roles import Action
from databases.forms import ListFilter
from databases.models import Database
from databases.presentation import Row
from databases.services.overview import overviews

PER_PAGE = 50


@requires(Action.VIEW)
@require_safe
def list_databases(request: HttpRequest) -> HttpResponse:
    filters = ListFilter({key: str(value).replace("\0", "") for key, value in request.GET.items()})
    filters.is_valid()
    query, show = filters.cleaned_data.get("q", ""), filters.cleaned_data.get("show", "")
    found = Database.objects.visible_to(request.user).for_list()
    if query:
        uses = Q(attachments__deployment__name__icontains=query)
        found = found.filter(Q(name__icontains=query) | uses).distinct()
    if show == "attention":
        open_now = Alarm.objects.visible_to(request.user).open().of_databases()
        found = found.filter(Q(pk__in=[alarm.database_pk for alarm in open_now]) | ~Q(problem=""))
    elif show:
        found = found.filter(kind=show)
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "section": "databases",
        **open_alarms(request),
        "filters": filters,
        "filtered": bool(query or show),
        "page": page,
        "page_query": urlencode({"q": query, "show": show}),
        "rows": [Row(overview) for overview in overviews(page)],
    }
    return render_page(request, "databases/list.html", context, {"databases": "databases/_table.html"})
