"""A log over HTTP: the page, a range of lines, a search, the whole text. ``consumers.py`` has the live part."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from bakery.permissions import access_stream, requires
from bakery.roles import Action
from deployments.logs import reading
from deployments.models import LogStream

LONGEST_QUERY = 500
PLAIN = "text/plain; charset=utf-8"


@requires(Action.READ_LOGS)
@require_GET
def viewer(request: HttpRequest, stream_id: int) -> HttpResponse:
    return render(request, "deployments/log.html", {"stream": access_stream(request, stream_id)})


@requires(Action.READ_LOGS)
@never_cache
@require_GET
def lines(request: HttpRequest, stream_id: int) -> HttpResponse:
    """``?from=`` is a line number from 0, or negative: so many lines before the end. ``?count=``: at most 5,000."""
    stream = access_stream(request, stream_id)
    first, count = _number(request, "from", -1000), _number(request, "count", 1000)
    if first is None or count is None:
        return HttpResponseBadRequest("“from” and “count” are whole numbers.", content_type=PLAIN)
    return JsonResponse(reading.lines(stream, first, count), json_dumps_params={"ensure_ascii": False})


@requires(Action.READ_LOGS)
@never_cache
@require_GET
def search(request: HttpRequest, stream_id: int) -> HttpResponse:
    """Numbers of the lines that hold ``?q=``, at most 2,000 from line ``?from=`` on."""
    stream = access_stream(request, stream_id)
    start = _number(request, "from", 0)
    query = request.GET.get("q", "").replace("\0", "")
    if start is None or len(query) > LONGEST_QUERY:
        reason = f"“from” is a whole number, and “q” has at most {LONGEST_QUERY} characters."
        return HttpResponseBadRequest(reason, content_type=PLAIN)
    return JsonResponse(reading.search(stream, query, max(0, start)))


@requires(Action.READ_LOGS)
@never_cache
@require_GET
def raw(request: HttpRequest, stream_id: int) -> StreamingHttpResponse:
    """The log as text, with its colours, as a download."""
    stream = access_stream(request, stream_id)
    response = StreamingHttpResponse(reading.raw(stream), content_type=PLAIN)
    response["Content-Disposition"] = f'attachment; filename="{_file_name(stream)}"'
    return response


def _file_name(stream: LogStream) -> str:
    release = f"-v{stream.release.number}" if stream.release else ""
    whose = stream.deployment.name if stream.deployment else "bakery"
    return f"{whose}{release}-{stream.kind}.log"


def _number(request: HttpRequest, name: str, default: int) -> int | None:
    text = request.GET.get(name, str(default))
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) <= 12 else None
