"""What the buttons of the certificate do."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from bakery.permissions import person_of
from domains.forms import IssuingForm, UploadForm
from domains.models import Certificate
from domains.services import issuance
from domains.views.names import do
from domains.views.page import render_names
from domains.views.place import Place
from infrastructure.errors import Problem

# What is refused about something else than the certificate -> the field that it is about.
FIELD_OF = {
    "certificate.key-encrypted": "passphrase",
    "certificate.passphrase": "passphrase",
    "certificate.key-kind": "key",
    "certificate.key-not-pem": "key",
    "certificate.mismatch": "key",
}


@require_POST
def issue(request: HttpRequest, place: Place) -> HttpResponse:
    override = request.POST.get("override_dns") == "1"
    ask = lambda: issuance.request_certificate(place.deployment, by=person_of(request), override_dns=override)  # noqa: E731
    return do(request, place, ask, f"A certificate for {place.label} is asked for.")


@require_POST
def renew(request: HttpRequest, place: Place) -> HttpResponse:
    certificate = _certificate(request, place)
    ask = lambda: issuance.renew(certificate, by=person_of(request), force=True)  # noqa: E731
    return do(request, place, ask, f"The certificate of {place.label} is being renewed.")


@sensitive_post_parameters("key", "passphrase")
@require_POST
def upload(request: HttpRequest, place: Place) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if form.is_valid():
        data = form.cleaned_data
        try:
            issuance.upload_certificate(
                place.deployment,
                data["chain"],
                data["key"],
                by=person_of(request),
                passphrase=data["passphrase"] or None,
            )
        except (Problem, ValidationError) as problem:
            form.take(problem, FIELD_OF.get(problem.id, "chain") if isinstance(problem, Problem) else "chain")
        else:
            messages.success(request, "The certificate is taken. Nginx serves it in a moment.")
            return redirect(place.url("of"))
    return render_names(request, place, upload_form=form)


@require_POST
def issuing(request: HttpRequest, place: Place) -> HttpResponse:
    """How it is issued: by itself or when asked, over HTTP or by a DNS record."""
    form = IssuingForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(str(words) for errors in form.errors.values() for words in errors))
        return redirect(place.url("of"))
    act = lambda: issuance.set_issuing(issuance.certificate_of(place.deployment), **form.cleaned_data)  # noqa: E731
    return do(request, place, act, "Saved. It is issued and renewed like that from now on.")


@require_POST
def remove(request: HttpRequest, place: Place) -> HttpResponse:
    certificate = _certificate(request, place)
    ask = lambda: issuance.remove_certificate(certificate, by=person_of(request))  # noqa: E731
    return do(request, place, ask, "The certificate is being removed; its names are served over plain HTTP then.")


def _certificate(request: HttpRequest, place: Place) -> Certificate:
    found = place.certificate(request)
    if found is None:
        raise Http404(f"{place.label} has no certificate.")
    return found
