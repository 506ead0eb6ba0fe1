from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import DisallowedHost, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.http import urlencode
from django_htmx.http import HttpResponseClientRedirect

from bakery.api import refusal
from bakery.permissions import action_of
from bakery.roles import Action, Role, role_may

GetResponse = Callable[[HttpRequest], HttpResponse]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src {connect}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)


class ContentSecurityPolicyMiddleware:
    """No inline script or style, nothing from elsewhere, no framing; websockets to this host alone."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY.format(connect=_connect_sources(request)))
        return response


def _connect_sources(request: HttpRequest) -> str:
    """Older Safari does not count ws: of the same host as 'self', so it is named."""
    try:
        return f"'self' {'wss' if request.is_secure() else 'ws'}://{request.get_host()}"
    except DisallowedHost:
        return "'self'"


class PermissionMiddleware:
    """Default deny: a view that declares no action is refused, whoever asks."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: object, kwargs: object
    ) -> HttpResponse | None:
        action = required_action(request, view)
        if action is None:
            raise PermissionDenied("This page does not say who may see it, so nobody may.")
        if action.lowest is None:  # not even the session is asked: /healthz answers when PostgreSQL does not
            return None
        role = request.user.role if request.user.is_authenticated and request.user.is_active else None
        if role_may(role, action):
            return None
        speaks_json = getattr(view, "speaks_json", False)
        if role is None:
            if speaks_json:
                return refusal(401, "api.not-signed-in", "You are not signed in.", "Sign in at /auth/login.")
            return _to_sign_in(request)
        why = f"Your role ({dict(Role.choices).get(role, role).lower()}) may not {action.label}."
        if speaks_json:
            return refusal(403, "permission.refused", why, "Ask an admin for another role.")
        raise PermissionDenied(why)


def required_action(request: HttpRequest, view: Callable[..., Any]) -> Action | None:
    # Django's admin brings its own views: all of them are for admins.
    if request.resolver_match and "admin" in request.resolver_match.app_names:
        return Action.ADMINISTER
    return action_of(view, request.method or "GET")


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    """Where a person who was signed out in the middle is sent: back to the page, not to the part that was refreshed."""
    came_from = request.get_full_path() if request.method in ("GET", "HEAD") else "/"
    login = resolve_url("accounts:login")
    if htmx := getattr(request, "htmx", None):
        return HttpResponseClientRedirect(f"{login}?{urlencode({'next': htmx.current_url_abs_path or '/'})}")
    return HttpResponseRedirect(f"{login}?{urlencode({'next': came_from})}")
