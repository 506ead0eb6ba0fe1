"""What the buttons beside a name do: each asks a service, says what was done, and goes back to the page."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from bakery.permissions import access_domain, person_of
from domains.forms import AddNameForm
from domains.models import Domain
from domains.services import names, verification
from domains.views.page import render_names
from domains.views.place import Place
from infrastructure.errors import Problem
from infrastructure.hostnames import display


def do(request: HttpRequest, place: Place, act: Callable[[], object], said: str) -> HttpResponse:
    """Ask a service; what it refuses is said on the page."""
    try:
        act()
    except Problem as problem:
        messages.error(request, f"{problem.message} {problem.hint}".strip())
    except ValidationError as problem:
        messages.error(request, " ".join(problem.messages))
    else:
        messages.success(request, said)
    return redirect(place.url("of"))


@require_POST
def add(request: HttpRequest, place: Place) -> HttpResponse:
    form = AddNameForm(request.POST)
    if form.is_valid():
        typed, by = form.cleaned_data["hostname"], person_of(request)
        try:
            made = names.add_domain(place.deployment, typed, by=by)
        except (Problem, ValidationError) as problem:
            form.take(problem, "hostname")
        else:
            also = _add_counterpart(request, place, made) if form.cleaned_data["counterpart"] else ""
            messages.success(
                request, f"{display(made.hostname)} is added.{also} Bakery looks at its DNS now{_told(place)}."
            )
            return redirect(f"{place.url('of')}#name-{made.pk}")
    return render_names(request, place, add_form=form)


def _told(place: Place) -> str:
    """A deployment's page has the task of it; of the panel nobody else says that Nginx does not have it yet."""
    return "" if place.deployment else ", and tells Nginx"


def _add_counterpart(request: HttpRequest, place: Place, made: Domain) -> str:
    """Add www.… to the bare name, or the bare name to www.…, redirecting; a sentence about it."""
    other = counterpart_of(made.hostname)
    if not other:
        return ""
    primary = place.domains(request).filter(primary=True).first()
    try:
        if primary is None or primary.generated:  # visitors who are redirected there would not arrive
            names.make_primary(made, by=person_of(request))
        names.add_domain(place.deployment, other, by=person_of(request), redirects=True)
    except (Problem, ValidationError) as problem:
        words = problem.message if isinstance(problem, Problem) else " ".join(problem.messages)
        messages.warning(request, f"{display(other)} was not added: {words}")
        return ""
    return f" {display(other)} redirects to the primary name."


def counterpart_of(hostname: str) -> str:
    """
    >>> counterpart_of("example.com"), counterpart_of("www.example.com"), counterpart_of("shop.example.com")
    ('www.example.com', 'example.com', '')
    """
    from infrastructure.hostnames import DomainName

    name = DomainName(hostname)
    if name.is_wildcard:
        return ""
    if name.is_apex:
        return f"www.{name}"
    return str(name.registered) if name.host_part == "www" else ""


@require_POST
def verify(request: HttpRequest, place: Place, domain_pk: int) -> HttpResponse:
    domain = access_domain(request, place.deployment, domain_pk)
    said = f"Looking at the DNS of {display(domain.hostname)}."
    return do(request, place, lambda: verification.request_verification(domain), said)


@require_POST
def primary(request: HttpRequest, place: Place, domain_pk: int) -> HttpResponse:
    domain = access_domain(request, place.deployment, domain_pk)
    said = f"{display(domain.hostname)} is the primary name now."
    return do(request, place, lambda: names.make_primary(domain, by=person_of(request)), said)


@require_POST
def redirect_or_serve(request: HttpRequest, place: Place, domain_pk: int) -> HttpResponse:
    domain = access_domain(request, place.deployment, domain_pk)
    redirects = request.POST.get("redirects") == "1"
    does = "redirects to the primary name" if redirects else "serves the application itself"
    act = lambda: names.change_domain(domain, by=person_of(request), redirects=redirects)  # noqa: E731
    return do(request, place, act, f"{display(domain.hostname)} {does}.")


@require_POST
def remove(request: HttpRequest, place: Place, domain_pk: int) -> HttpResponse:
    domain = access_domain(request, place.deployment, domain_pk)
    said = f"{display(domain.hostname)} is removed{'' if place.deployment else '; Nginx is told now'}."
    return do(request, place, lambda: names.remove_domain(domain, by=person_of(request)), said)
