"""The names of a place and its certificate: the Domains tab of a deployment, and *Settings → Domain*."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from bakery.models import Task, TaskKind
from bakery.pages import Context, render_page
from bakery.progress import progress_of
from deployments.models import LogStream
from domains.forms import AddNameForm, IssuingForm, UploadForm
from domains.models import Certificate, Challenge, Domain, Source, Verdict
from domains.presentation import Name, certificate_state, days_left, https_of
from domains.services.eligibility import choose, is_public
from domains.services.instructions import instructions_for
from domains.services.names import free_name
from domains.views.place import Place
from infrastructure.hostnames import display

MOST_OPEN = 3  # names whose instructions are shown at once; more would bury the rest of the page


@require_safe
def names(request: HttpRequest, place: Place) -> HttpResponse:
    return render_names(request, place)


def render_names(
    request: HttpRequest, place: Place, add_form: AddNameForm | None = None, upload_form: UploadForm | None = None
) -> HttpResponse:
    """The page, or the part of it that refreshes; with the errors of a form that came back."""
    context = place.context(request)
    domains = list(place.domains(request))
    certificate = place.certificate(request)
    shown = names_of(domains, certificate)
    context |= {
        "names": shown,
        "certificate": certificate,
        "add_form": add_form or AddNameForm(),
        "free_name": _free_name(place, domains),
        "certificate_state": certificate_state(certificate),
        **_certificate_context(request, place, certificate, domains),
        "upload_form": upload_form or UploadForm(),
        "upload_is_open": upload_form is not None,
    }
    parts = {
        "names": "domains/_names.html",
        "certificate": "domains/_certificate.html",
        "issuing-log": "domains/_issuing_log.html",
        "recent": "includes/_recent.html",
    }
    if place.deployment:
        parts |= {"head": "deployments/_head.html", "work": "deployments/_work.html"}
    template = "domains/of_deployment.html" if place.deployment else "domains/of_panel.html"
    return render_page(request, template, context, parts, status=422 if add_form or upload_form else 200)


def names_of(domains: list[Domain], certificate: Certificate | None) -> list[Name]:
    """As a page shows them, with what to do about the DNS of those that need it."""
    shown = [Name(domain, https_of(domain, certificate)) for domain in domains]
    wrong = [name for name in shown if name.needs_dns]
    for name in wrong:
        name.instructions = instructions_for(name.domain, domains)
        name.is_open = len(wrong) <= MOST_OPEN
    return shown


def _free_name(place: Place, domains: list[Domain]) -> str:
    """A name below the server's address that works without any DNS record; empty where it is there already."""
    name = free_name(place.deployment) if place.deployment else ""
    return "" if not name or any(domain.hostname == name for domain in domains) else name


def _certificate_context(
    request: HttpRequest, place: Place, certificate: Certificate | None, domains: list[Domain]
) -> Context:
    tasks = Task.objects.visible_to(request.user).filter(kind=TaskKind.CERTIFICATE, deployment=place.deployment)
    running = tasks.unfinished().for_feed().prefetch_related("steps").first()
    public = [domain for domain in domains if is_public(domain.hostname)]
    wrong = [domain for domain in public if domain.verdict != Verdict.RIGHT and not domain.is_wildcard]
    ready = choose(certificate, domains).ready
    installed = bool(certificate and certificate.is_installed)
    missing = [domain for domain in public if not (certificate and certificate.covers(domain.hostname))]
    left_out = certificate.left_out if certificate else {}
    context: dict[str, Any] = {
        "installed": installed,
        "days_left": days_left(certificate.not_after) if certificate else 0,
        "task": running,
        "progress": progress_of(running) if running else None,
        "stream": LogStream.objects.visible_to(request.user).filter(task=running).first() if running else None,
        "public_names": public,
        "wrong_names": wrong if certificate is None or certificate.challenge == Challenge.HTTP else [],
        "ready_names": ready,
        # What is installed is renewed with the names that it has; a new name, or an uploaded one's end, needs an issue.
        "can_issue": bool(ready) and not (installed and _is_enough(certificate, ready)),
        "missing_names": [(display(each.hostname), left_out.get(each.hostname, "")) for each in missing if installed],
        "issuing_form": IssuingForm(certificate=certificate),
        "recent": tasks.for_feed()[:5],
        "nothing_yet": "No certificate has been asked for yet.",
    }
    return context


def _is_enough(certificate: Certificate | None, ready: Iterable[str]) -> bool:
    """Whether what is installed holds all names that a new certificate would have, and is renewed by itself."""
    return certificate is not None and certificate.source == Source.CERTBOT and all(map(certificate.covers, ready))
