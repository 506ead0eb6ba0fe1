"""Whole pages and the parts of them that refresh: one view serves both, and decides by who asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

Context = dict[str, Any]


def render_page(
    request: HttpRequest,
    template: str,
    context: Context,
    parts: Mapping[str, str | tuple[str, Callable[[], Context]]] | None = None,
    status: int = 200,
) -> HttpResponse:
    """``template`` whole, or the one part that htmx asked for.

    ``parts`` maps the element id that htmx will replace to the template of that element, or to (template, function
    that gives what this part alone needs). The whole page needs the context of all parts.
    """
    htmx = getattr(request, "htmx", None)
    wanted: str = htmx.target or "" if htmx else ""
    parts = parts or {}
    if wanted in parts:
        part = parts[wanted]
        name, more = part if isinstance(part, tuple) else (part, dict)
        return render(request, name, {**context, **more()})
    for part in parts.values():
        if isinstance(part, tuple):
            context = {**context, **part[1]()}
    return render(request, template, context, status=status)
