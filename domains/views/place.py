"""Whose names a page is about: a deployment's, or Bakery's own. Both have the same pages under their own addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from bakery.pages import Context, open_alarms
from bakery.permissions import access_deployment, person_of, requires
from bakery.roles import Action
from deployments.models import Deployment
from deployments.views.detail import page_of
from domains.models import Certificate, Domain
from domains.models.domain import DomainQuerySet

View = Callable[..., HttpResponse]


@dataclass
class Place:
    """``deployment`` is None for Bakery itself."""

    deployment: Deployment | None

    def url(self, name: str, *ids: int) -> str:
        """``of`` (the page), ``add``, ``verify`` … of this place; see domains/urls.py."""
        if self.deployment is None:
            return reverse(f"domains:panel-{name}", args=ids)
        return reverse(f"domains:{name}", args=[self.deployment.pk, *ids])

    @property
    def label(self) -> str:
        return self.deployment.name if self.deployment else "Bakery"

    @property
    def action(self) -> Action:
        """What changing something here takes."""
        return Action.CONFIGURE if self.deployment else Action.CONFIGURE_PANEL

    def domains(self, request: HttpRequest) -> DomainQuerySet:
        return Domain.objects.visible_to(request.user).filter(deployment=self.deployment)

    def certificate(self, request: HttpRequest) -> Certificate | None:
        return Certificate.objects.visible_to(request.user).for_list().filter(deployment=self.deployment).first()

    def context(self, request: HttpRequest) -> Context:
        """What its pages show around what they are about."""
        may_change = person_of(request).may(self.action)
        shared = {"place": self, "may_change": may_change, "live_url": self.url("of")}
        if self.deployment is None:
            return {"section": "settings", "settings_tab": "domain", **open_alarms(request), **shared}
        self.deployment, context = page_of(request, self.deployment.pk, "domains", "domains:of")
        shared["may_change"] = may_change and not self.deployment.deleting
        return {**context, **shared, "live_url": context["live_url"]}


def of_deployment(view: View, action: Action = Action.CONFIGURE, to_change: Action | None = None) -> View:
    """``view(request, place, …)`` under ``deployments/<pk>/domains``."""

    @requires(action, to_change=to_change)
    @wraps(view)
    def respond(request: HttpRequest, pk: int, **ids: Any) -> HttpResponse:
        return view(request, Place(access_deployment(request, pk)), **ids)

    return respond


def of_panel(view: View) -> View:
    """``view(request, place, …)`` under ``settings/domain``."""

    @requires(Action.CONFIGURE_PANEL)
    @wraps(view)
    def respond(request: HttpRequest, **ids: Any) -> HttpResponse:
        return view(request, Place(None), **ids)

    return respond
