from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode

from bakery.permissions import requires
from bakery.roles import Action


@requires(Action.VIEW)
def dashboard(request: HttpRequest) -> HttpResponse:
    return render(request, "dashboard.html")


@requires(Action.SIGN_IN)
def admin_login(request: HttpRequest) -> HttpResponse:
    response = redirect("accounts:login")
    response["Location"] += f"?{urlencode({'next': request.GET.get('next', '/admin/')})}"
    return response
