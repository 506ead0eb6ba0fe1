"""``/api/domains``, a deployment's certificate, DNS providers. What takes time answers 202 with its task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest
from django.urls import path

from bakery.api import body_of, endpoint, refuse_unknown, rows_wanted, text, text_list, text_map
from bakery.permissions import access_deployment, access_domain, person_of, requires
from bakery.roles import Action
from deployments.models import Deployment
from deployments.shapes import task_shape
from domains.certificate_shapes import certificate_shape
from domains.models import Certificate, DnsProvider, Domain
from domains.services import issuance, names, providers, verification
from domains.shapes import domain_detail, domain_shape, provider_shape

Answer = dict[str, Any] | list[dict[str, Any]] | tuple[int, Any] | None


@requires(Action.VIEW)
@endpoint("GET")
def domains(request: HttpRequest) -> Answer:
    """All names of all deployments, those that need attention first (?limit=)."""
    found = Domain.objects.visible_to(request.user).for_overview()
    return [domain_shape(domain) for domain in found[: rows_wanted(request)]]


@requires(Action.VIEW, to_change=Action.CONFIGURE)
@endpoint("GET", "POST")
def of_deployment(request: HttpRequest, pk: int) -> Answer:
    """The names of one deployment; POST {hostname, redirects} adds one."""
    return _names(request, access_deployment(request, pk))


@requires(Action.VIEW, to_change=Action.CONFIGURE)
@endpoint("GET", "PATCH", "DELETE")
def domain(request: HttpRequest, pk: int, domain_pk: int) -> Answer:
    """One name with what DNS said and which records to make; PATCH {primary, redirects, any setting}; DELETE."""
    return _name(request, access_domain(request, access_deployment(request, pk), domain_pk))


@requires(Action.CONFIGURE)
@endpoint("POST")
def verify(request: HttpRequest, pk: int, domain_pk: int) -> Answer:
    """Look at its DNS now; GET shows what was found a moment later."""
    return _verify(request, access_domain(request, access_deployment(request, pk), domain_pk))


@requires(Action.VIEW, to_change=Action.CONFIGURE)
@endpoint("GET", "DELETE")
def certificate(request: HttpRequest, pk: int) -> Answer:
    """The certificate of a deployment, null where there is none; DELETE removes it."""
    return _certificate(request, access_deployment(request, pk))


@requires(Action.CONFIGURE)
@endpoint("POST")
def issue(request: HttpRequest, pk: int) -> Answer:
    """Ask for a certificate with all its names; {override_dns: true} although DNS looks wrong."""
    return _issue(request, access_deployment(request, pk))


@requires(Action.CONFIGURE)
@endpoint("POST")
def renew(request: HttpRequest, pk: int) -> Answer:
    """Renew the certificate now."""
    return _renew(request, access_deployment(request, pk))


@requires(Action.CONFIGURE)
@endpoint("POST")
def upload(request: HttpRequest, pk: int) -> Answer:
    """Serve this certificate instead: {chain, key} in PEM, {passphrase} where the key has one."""
    return _upload(request, access_deployment(request, pk))


@requires(Action.CONFIGURE_PANEL)
@endpoint("GET", "POST")
def of_panel(request: HttpRequest) -> Answer:
    """The names of Bakery itself; POST {hostname, redirects} adds one."""
    return _names(request, None)


@requires(Action.CONFIGURE_PANEL)
@endpoint("GET", "PATCH", "DELETE")
def panel_domain(request: HttpRequest, domain_pk: int) -> Answer:
    """One name of Bakery itself; PATCH {primary, redirects, any setting}; DELETE."""
    return _name(request, access_domain(request, None, domain_pk))


@requires(Action.CONFIGURE_PANEL)
@endpoint("POST")
def verify_panel(request: HttpRequest, domain_pk: int) -> Answer:
    """Look at the DNS of one of Bakery's own names now."""
    return _verify(request, access_domain(request, None, domain_pk))


@requires(Action.CONFIGURE_PANEL)
@endpoint("GET", "DELETE")
def panel_certificate(request: HttpRequest) -> Answer:
    """The certificate of Bakery itself, null where there is none; DELETE removes it."""
    return _certificate(request, None)


@requires(Action.CONFIGURE_PANEL)
@endpoint("POST")
def issue_panel(request: HttpRequest) -> Answer:
    """Ask for a certificate for Bakery itself; {override_dns: true} although DNS looks wrong."""
    return _issue(request, None)


@requires(Action.CONFIGURE_PANEL)
@endpoint("POST")
def renew_panel(request: HttpRequest) -> Answer:
    """Renew the certificate of Bakery itself now."""
    return _renew(request, None)


@requires(Action.CONFIGURE_PANEL)
@endpoint("POST")
def upload_panel(request: HttpRequest) -> Answer:
    """Serve this certificate for Bakery itself: {chain, key} in PEM, {passphrase} where the key has one."""
    return _upload(request, None)


@requires(Action.CONFIGURE_PANEL)
@endpoint("GET", "POST")
def dns_providers(request: HttpRequest) -> Answer:
    """DNS providers, never their credentials; POST {name, plugin, credentials} adds one."""
    if request.method == "GET":
        return [provider_shape(each) for each in DnsProvider.objects.defer("credentials").order_by("name")]
    body = body_of(request)
    refuse_unknown(body, frozenset({"name", "plugin", "credentials"}))
    given = {name: text(body, name) for name in ("name", "plugin", "credentials")}
    return 201, provider_shape(providers.add_provider(by=person_of(request), **given))


@requires(Action.CONFIGURE_PANEL)
@endpoint("DELETE")
def dns_provider(request: HttpRequest, pk: int) -> Answer:
    """Remove a DNS provider."""
    found = DnsProvider.objects.defer("credentials").filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such DNS provider.")
    providers.remove_provider(found, by=person_of(request))
    return None


def _names(request: HttpRequest, deployment: Deployment | None) -> Answer:
    if request.method == "GET":
        found = Domain.objects.visible_to(request.user).filter(deployment=deployment).select_related("deployment")
        return [domain_shape(each) for each in found]
    body = body_of(request)
    refuse_unknown(body, frozenset({"hostname", "redirects"}))
    redirects = _flag(body, "redirects")
    made = names.add_domain(deployment, text(body, "hostname"), by=person_of(request), redirects=redirects)
    return 201, domain_detail(access_domain(request, deployment, made.pk))


def _name(request: HttpRequest, found: Domain) -> Answer:
    if request.method == "DELETE":
        names.remove_domain(found, by=person_of(request))
        return None
    if request.method == "PATCH":
        body = body_of(request)
        refuse_unknown(body, CHANGEABLE)
        if "primary" in body and not _flag(body, "primary"):
            raise ValidationError({"primary": "Make another name primary instead."})
        settings = {name: KINDS[name](body, name) for name in body if name != "primary"}
        if settings:
            names.change_domain(found, by=person_of(request), **settings)
        if "primary" in body:
            names.make_primary(found, by=person_of(request))
        found = access_domain(request, found.deployment, found.pk)
    return domain_detail(found)


def _verify(request: HttpRequest, found: Domain) -> Answer:
    refuse_unknown(body_of(request), frozenset())
    verification.request_verification(found)
    return 202, domain_shape(found)


def _certificate(request: HttpRequest, deployment: Deployment | None) -> Answer:
    if request.method == "DELETE":
        task = issuance.remove_certificate(_existing(request, deployment), by=person_of(request))
        return 202, task_shape(task)
    found = Certificate.objects.visible_to(request.user).for_list().filter(deployment=deployment).first()
    return certificate_shape(found) if found else None


def _issue(request: HttpRequest, deployment: Deployment | None) -> Answer:
    body = body_of(request)
    refuse_unknown(body, frozenset({"override_dns"}))
    override = _flag(body, "override_dns")
    return 202, task_shape(issuance.request_certificate(deployment, by=person_of(request), override_dns=override))


def _renew(request: HttpRequest, deployment: Deployment | None) -> Answer:
    refuse_unknown(body_of(request), frozenset())
    found = _existing(request, deployment)
    return 202, task_shape(issuance.renew(found, by=person_of(request), force=True))


def _upload(request: HttpRequest, deployment: Deployment | None) -> Answer:
    body = body_of(request)
    refuse_unknown(body, frozenset({"chain", "key", "passphrase"}))
    chain, key, passphrase = text(body, "chain"), text(body, "key"), text(body, "passphrase") or None
    task = issuance.upload_certificate(deployment, chain, key, by=person_of(request), passphrase=passphrase)
    return 202, task_shape(task)


def _existing(request: HttpRequest, deployment: Deployment | None) -> Certificate:
    found = Certificate.objects.visible_to(request.user).for_list().filter(deployment=deployment).first()
    if found is None:
        raise Http404(f"{deployment or 'Bakery'} has no certificate.")
    return found


def _number(body: dict[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValidationError({name: "This is a whole number, or null."})
    return value


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise ValidationError({name: "This is true or false."})
    return value


# What each setting of a name has to be before the service looks at it.
KINDS: dict[str, Callable[[dict[str, Any], str], Any]] = {
    "redirects": _flag,
    "maintenance": _flag,
    "hsts_seconds": _number,
    "max_body_mb": _number,
    "auth_user": text,
    "auth_password": text,
    "allowed_networks": text_list,
    "headers": text_map,
}
CHANGEABLE = frozenset({*KINDS, "primary"})

urlpatterns = [
    path("domains", domains, name="api-domains"),
    path("deployments/<int:pk>/domains", of_deployment, name="api-deployment-domains"),
    path("deployments/<int:pk>/domains/<int:domain_pk>", domain, name="api-domain"),
    path("deployments/<int:pk>/domains/<int:domain_pk>/verify", verify, name="api-domain-verify"),
    path("deployments/<int:pk>/certificate", certificate, name="api-certificate"),
    path("deployments/<int:pk>/certificate/issue", issue, name="api-certificate-issue"),
    path("deployments/<int:pk>/certificate/renew", renew, name="api-certificate-renew"),
    path("deployments/<int:pk>/certificate/upload", upload, name="api-certificate-upload"),
    path("system/domains", of_panel, name="api-panel-domains"),
    path("system/domains/<int:domain_pk>", panel_domain, name="api-panel-domain"),
    path("system/domains/<int:domain_pk>/verify", verify_panel, name="api-panel-domain-verify"),
    path("system/certificate", panel_certificate, name="api-panel-certificate"),
    path("system/certificate/issue", issue_panel, name="api-panel-certificate-issue"),
    path("system/certificate/renew", renew_panel, name="api-panel-certificate-renew"),
    path("system/certificate/upload", upload_panel, name="api-panel-certificate-upload"),
    path("system/dns-providers", dns_providers, name="api-dns-providers"),
    path("system/dns-providers/<int:pk>", dns_provider, name="api-dns-provider"),
]
