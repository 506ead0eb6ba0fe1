"""*Settings → DNS providers*: credentials with which Certbot proves wildcard names. They are never shown again."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from bakery.permissions import person_of, requires
from bakery.roles import Action
from domains.forms import ProviderForm
from domains.models import DnsProvider
from domains.services import providers as services
from infrastructure.errors import Problem


def visible() -> QuerySet[DnsProvider]:
    """Without the credentials: one that cannot be decrypted breaks no page."""
    return DnsProvider.objects.defer("credentials").annotate(used=Count("certificate")).order_by("name")


@requires(Action.CONFIGURE_PANEL)
@require_safe
def providers(request: HttpRequest) -> HttpResponse:
    return _page(request, ProviderForm())


@requires(Action.CONFIGURE_PANEL)
@sensitive_post_parameters("credentials")
@require_POST
def add(request: HttpRequest) -> HttpResponse:
    form = ProviderForm(request.POST)
    if form.is_valid():
        try:
            made = services.add_provider(by=person_of(request), **form.cleaned_data)
        except (Problem, ValidationError) as problem:
            form.take(problem, "credentials")
        else:
            messages.success(request, f"{made.name} is saved. Its credentials are not shown again.")
            return redirect("domains:providers")
    return _page(request, form)


@requires(Action.CONFIGURE_PANEL)
@sensitive_post_parameters("credentials")
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Replace the credentials; what is stored is not shown."""
    provider = _provider(pk)
    form = ProviderForm(request.POST if request.method == "POST" else None, provider=provider)
    if request.method == "POST" and form.is_valid():
        try:
            services.replace_credentials(provider, by=person_of(request), **form.cleaned_data)
        except (Problem, ValidationError) as problem:
            form.take(problem, "credentials")
        else:
            messages.success(request, f"{provider.name} is saved.")
            return redirect("domains:providers")
    context = {"section": "settings", "settings_tab": "providers", "provider": provider, "form": form}
    return render(request, "domains/provider.html", context, status=422 if form.errors else 200)


@requires(Action.CONFIGURE_PANEL)
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    provider = _provider(pk)
    try:
        services.remove_provider(provider, by=person_of(request))
    except Problem as problem:
        messages.error(request, f"{problem.message} {problem.hint}".strip())
    else:
        messages.success(request, f"{provider.name} is removed.")
    return redirect("domains:providers")


def _page(request: HttpRequest, form: ProviderForm) -> HttpResponse:
    context = {"section": "settings", "settings_tab": "providers", "providers": visible(), "form": form}
    return render(request, "domains/providers.html", context, status=422 if form.errors else 200)


def _provider(pk: int) -> DnsProvider:
    found = visible().filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such DNS provider.")
    return found
