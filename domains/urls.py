from __future__ import annotations

from django.urls import path

from bakery.roles import Action
from domains.views import certificate, listing, names, page, providers, settings
from domains.views.place import View, of_deployment, of_panel

# What can be done with a place's names and its certificate: the same under a deployment and under Settings.
VIEWS: dict[str, tuple[str, View]] = {
    "add": ("/add", names.add),
    "verify": ("/<int:domain_pk>/verify", names.verify),
    "primary": ("/<int:domain_pk>/primary", names.primary),
    "redirect": ("/<int:domain_pk>/redirect", names.redirect_or_serve),
    "remove": ("/<int:domain_pk>/remove", names.remove),
    "issue": ("/certificate/issue", certificate.issue),
    "renew": ("/certificate/renew", certificate.renew),
    "issuing": ("/certificate/issuing", certificate.issuing),
    "upload": ("/certificate/upload", certificate.upload),
    "remove-certificate": ("/certificate/remove", certificate.remove),
}
DEPLOYMENT, PANEL = "deployments/<int:pk>/domains", "settings/domain"

app_name = "domains"
urlpatterns = [
    path("domains", listing.list_domains, name="list"),
    path(DEPLOYMENT, of_deployment(page.names, Action.VIEW), name="of"),
    path(f"{DEPLOYMENT}/<int:domain_pk>", of_deployment(settings.name, Action.VIEW, Action.CONFIGURE), name="name"),
    *(path(f"{DEPLOYMENT}{below}", of_deployment(view), name=name) for name, (below, view) in VIEWS.items()),
    path(PANEL, of_panel(page.names), name="panel-of"),
    path(f"{PANEL}/<int:domain_pk>", of_panel(settings.name), name="panel-name"),
    *(path(f"{PANEL}{below}", of_panel(view), name=f"panel-{name}") for name, (below, view) in VIEWS.items()),
    path("settings/dns-providers", providers.providers, name="providers"),
    path("settings/dns-providers/add", providers.add, name="provider-add"),
    path("settings/dns-providers/<int:pk>", providers.edit, name="provider"),
    path("settings/dns-providers/<int:pk>/remove", providers.remove, name="provider-remove"),
]
