from __future__ import annotations

from django.contrib import auth, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts.forms import ChangePasswordForm, SignInForm
from bakery.permissions import requires
from bakery.roles import Action


@requires(Action.SIGN_IN)
@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect(_next_page(request))
    form = SignInForm(request, data=request.POST or None)
    if request.method == "POST" and form.is_valid():
        auth.login(request, form.get_user())
        return redirect(_next_page(request))
    return render(request, "accounts/login.html", {"form": form, "next": _next_page(request)})


def _next_page(request: HttpRequest) -> str:
    """Where to go after sign-in: only to a page of this host."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure()):
        return wanted
    return resolve_url("dashboard")


@requires(Action.OWN_ACCOUNT)
@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    auth.logout(request)
    messages.info(request, "You are signed out.")
    return redirect("accounts:login")


@requires(Action.OWN_ACCOUNT)
@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "POST"])
def change_password(request: HttpRequest) -> HttpResponse:
    form = ChangePasswordForm(request.user, data=request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = form.save()
        auth.update_session_auth_hash(request, user)  # this session goes on; all others of the account end
        messages.success(request, "Your password is changed. Other browsers were signed out.")
        return redirect("accounts:password")
    return render(request, "accounts/password.html", {"form": form})
