"""The JSON API's frame: what every endpoint under ``/api/`` shares.

Plain Django views, because a framework for them (django-ninja with pydantic) costs the web process 10.8 MB.
Signed in by the session; unsafe methods need the CSRF token that ``GET /api/session`` gives, in ``X-CSRFToken``.
Permissions are the ones of pages: ``@requires`` on the view, ``PermissionMiddleware``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import add_never_cache_headers
from django.views.csrf import csrf_failure as csrf_page

from infrastructure.errors import Blame, Problem, Refused

P = ParamSpec("P")
STATUS_BY_BLAME = {Blame.APP: 409, Blame.HOST: 503, Blame.BAKERY: 500}
MOST_ROWS = 200


def endpoint(*methods: str) -> Callable[[Callable[P, Any]], Callable[P, HttpResponse]]:
    """A view that returns what is to be JSON, or ``(status, value)``. Errors become ``{id, message, hint}``."""

    def wrap(view: Callable[P, Any]) -> Callable[P, HttpResponse]:
        @wraps(view)
        def respond(*args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            request = args[0]
            if not isinstance(request, HttpRequest):
                raise TypeError("An endpoint takes the request first.")
            if request.method not in methods:
                refused = refusal(
                    405, "api.method", f"{request.method} is not understood here.", f"Use {', '.join(methods)}."
                )
                refused.headers["Allow"] = ", ".join(methods)
                return refused
            try:
                answer = view(*args, **kwargs)
            except (Problem, ValidationError, Http404) as error:
                response = as_response(error)
            else:
                status, value = answer if isinstance(answer, tuple) else (200, answer)
                response = JsonResponse(value, status=status, safe=False)
            add_never_cache_headers(response)
            return response

        respond.methods = methods  # type: ignore[attr-defined]
        respond.speaks_json = True  # type: ignore[attr-defined]  # PermissionMiddleware refuses in JSON too
        return respond

    return wrap


def refusal(status: int, id: str, message: str, hint: str = "") -> JsonResponse:
    return JsonResponse({"id": id, "message": message, "hint": hint}, status=status)


def as_response(error: Problem | ValidationError | Http404) -> JsonResponse:
    if isinstance(error, Http404):
        return refusal(404, "api.not-found", str(error) or "There is no such thing.")
    if isinstance(error, ValidationError):
        fields = error.message_dict if hasattr(error, "error_dict") else {"__all__": error.messages}
        words = " ".join(message for messages in fields.values() for message in messages)
        body = {"id": "input.invalid", "message": words, "hint": "Correct the fields and try again.", "fields": fields}
        return JsonResponse(body, status=422)
    status = 422 if isinstance(error, Refused) else STATUS_BY_BLAME[error.blame]
    return refusal(status, error.id, error.message, error.hint)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's page, but JSON for the API (settings.CSRF_FAILURE_VIEW)."""
    if request.path.startswith("/api/"):
        return refusal(
            403, "api.csrf", "The CSRF token is missing or wrong.", "Send what GET /api/session gives as X-CSRFToken."
        )
    return csrf_page(request, reason)


def body_of(request: HttpRequest) -> dict[str, Any]:
    """The request's JSON object; empty where there is no body."""
    if not request.body:
        return {}
    try:
        value = json.loads(request.body)
    except ValueError as error:
        raise Refused("api.body", "The body is not JSON.") from error
    if not isinstance(value, dict):
        raise Refused("api.body", "The body is not a JSON object.")
    return value


def refuse_unknown(body: dict[str, Any], known: frozenset[str]) -> None:
    if unknown := sorted(body.keys() - known):
        raise ValidationError(dict.fromkeys(unknown, f"There is no such field. There are: {', '.join(sorted(known))}."))


def text(body: dict[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise ValidationError({name: "This is text."})
    return value


def text_list(body: dict[str, Any], name: str) -> list[str]:
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValidationError({name: "This is a list of texts."})
    return value


def text_map(body: dict[str, Any], name: str) -> dict[str, str]:
    value = body.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ValidationError({name: "This is an object whose values are texts."})
    return value


def flag(body: dict[str, Any], name: str) -> bool:
    """False where it is not said."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise ValidationError({name: "This is true or false."})
    return value


def rows_wanted(request: HttpRequest) -> int:
    limit = request.GET.get("limit", "50")
    if not limit.isdecimal() or not 1 <= int(limit) <= MOST_ROWS:
        raise Refused("api.limit", f"limit is a number from 1 to {MOST_ROWS}.")
    return int(limit)
