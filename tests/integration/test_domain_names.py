"""Adding, removing and changing names: who may have which, what is asked of the web server."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection

from bakery.models import Task, TaskKind
from deployments.models import Deployment
from deployments.services import requests
from deployments.services.settings import create_deployment
from domains.models import Domain
from domains.services import names
from domains.services.names import add_domain, change_domain, make_primary, remove_domain
from infrastructure.errors import Problem, Refused
from tests.integration.people import bob

pytestmark = pytest.mark.django_db
REPOSITORY = "https://example.com/shop.git"


def deployment(name: str) -> Deployment:
    """Without the slots, which nothing here runs in."""
    made = Deployment.objects.create(name=name, repository=REPOSITORY)
    made.domains.create(hostname=f"{name}.localhost", generated=True, primary=True)
    return made


@pytest.fixture
def shop() -> Deployment:
    return deployment("shop")


@pytest.fixture
def blog() -> Deployment:
    return deployment("blog")


def primary_of(deployment: Deployment) -> str:
    return deployment.domains.get(primary=True).hostname


def test_a_name_is_stored_as_a_labels_and_asked_of_the_web_server_once(shop: Deployment) -> None:
    domain = add_domain(shop, "Bücher.example.com", by=bob())
    assert (domain.hostname, domain.primary, domain.redirects) == ("xn--bcher-kva.example.com", False, False)
    add_domain(shop, "*.example.com", by=bob())
    task = Task.objects.get(kind=TaskKind.APPLY_ROUTES)
    assert (task.deployment, task.requested_by, task.release) == (shop, bob(), None)


def test_a_name_that_another_deployment_has_is_refused_with_that_ones_name(shop: Deployment, blog: Deployment) -> None:
    add_domain(shop, "www.example.com", by=None)
    with pytest.raises(Refused, match="belongs to the deployment shop") as caught:
        add_domain(blog, "WWW.example.com", by=None)
    assert caught.value.id == "domain.taken"
    with pytest.raises(Refused, match="domain of the deployment shop already"):
        add_domain(shop, "www.example.com", by=None)
    add_domain(blog, "*.example.com", by=None)  # exact names come first in Nginx


def test_names_of_bakerys_own_are_never_an_applications(shop: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    bakery = replace(settings.BAKERY, base_url="https://bakery.example.com", apps_domain="apps.example.com")
    monkeypatch.setattr(settings, "BAKERY", bakery)
    add_domain(None, "panel.example.net", by=None)
    for text in (
        "bakery.example.com",
        "panel.example.net",
        "apps.example.com",
        "x.apps.example.com",
        "*.apps.example.com",
    ):
        with pytest.raises(Refused) as caught:
            add_domain(shop, text, by=None)
        assert caught.value.id == "domain.of-bakery"
    with pytest.raises(Refused, match=r"bakery\.example\.com is Bakery's own"):
        add_domain(shop, "*.example.com", by=None)
    monkeypatch.setattr(settings, "BAKERY", replace(bakery, web_server="system"))
    add_domain(shop, "*.example.com", by=None)


@pytest.mark.parametrize("settings", [{"hsts_seconds": 300}, {"maintenance": True}, {"redirects": True}])
def test_nothing_is_set_for_the_panels_name_that_would_only_seem_to_be_in_force(settings: dict[str, Any]) -> None:
    add_domain(None, "panel.example.com", by=None)
    other = add_domain(None, "bakery.example.com", by=None)
    with pytest.raises(Refused, match="nothing is set for one"):
        change_domain(other, by=None, **settings)
    change_domain(other, by=None, **dict.fromkeys(settings, 0))


def test_the_panel_gets_one_primary_name_and_never_an_applications(shop: Deployment) -> None:
    first, second = (add_domain(None, f"{label}.example.com", by=None) for label in ("bakery", "panel"))
    assert (first.primary, second.primary) == (True, False)
    add_domain(shop, "shop.example.com", by=None)
    with pytest.raises(Refused, match="belongs to the deployment shop"):
        add_domain(None, "shop.example.com", by=None)
    with pytest.raises(Refused, match="not a wildcard"):
        add_domain(None, "*.example.net", by=None)
    remove_domain(first, by=None)
    second.refresh_from_db()
    assert second.primary


def test_a_deployment_cannot_be_called_so_that_it_would_have_the_panels_name(monkeypatch: pytest.MonkeyPatch) -> None:
    bakery = replace(settings.BAKERY, base_url="https://ops.apps.example.com", apps_domain="apps.example.com")
    monkeypatch.setattr(settings, "BAKERY", bakery)
    add_domain(None, "control.apps.example.com", by=None)
    for name in ("ops", "control"):
        with pytest.raises(ValidationError, match="leads somewhere else"):
            create_deployment(by=None, name=name, repository=REPOSITORY)
    assert not Deployment.objects.exists()


def test_a_deployment_that_is_being_deleted_gets_no_name(shop: Deployment) -> None:
    requests.delete(shop, by=None)
    with pytest.raises(Problem, match="being deleted"):
        add_domain(shop, "shop.example.com", by=None)


def test_the_primary_name_moves_and_falls_back(shop: Deployment) -> None:
    generated = primary_of(shop)
    apex = make_primary(add_domain(shop, "example.com", by=None), by=None)
    www = add_domain(shop, "www.example.com", by=None, redirects=True)
    assert (primary_of(shop), www.redirects) == ("example.com", True)
    make_primary(www, by=None)
    www.refresh_from_db()
    assert (primary_of(shop), www.redirects) == ("www.example.com", False)
    change_domain(apex, by=None, redirects=True)
    remove_domain(www, by=None)
    assert primary_of(shop) == generated
    remove_domain(www, by=None)  # somebody else was first: nothing happens


def test_what_makes_no_sense_is_refused(shop: Deployment) -> None:
    generated = shop.domains.get()
    with pytest.raises(Refused, match="only this machine"):
        add_domain(shop, "www.example.com", by=None, redirects=True)
    with pytest.raises(Refused, match="wildcard"):
        make_primary(add_domain(shop, "*.example.com", by=None), by=None)
    with pytest.raises(Refused, match="it stays"):
        remove_domain(generated, by=None)
    with pytest.raises(Refused, match="primary name"):
        change_domain(generated, by=None, redirects=True)


def test_a_deployment_has_no_more_names_than_a_certificate(shop: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST_NAMES", 3)
    for label in ("a", "b"):
        add_domain(shop, f"{label}.example.com", by=None)
    with pytest.raises(Refused, match="at most 3"):
        add_domain(shop, "c.example.com", by=None)


def test_settings_of_a_name_are_typed_and_refused_by_field(shop: Deployment) -> None:
    domain = add_domain(shop, "shop.example.com", by=None)
    changed = change_domain(
        domain,
        by=None,
        hsts_seconds=31_536_000,
        max_body_mb=200,
        auth_user="staff",
        auth_password="correct horse",
        allowed_networks=["10.0.0.0/8", "2001:db8::1"],
        maintenance=True,
        headers={"X-Frame-Options": "DENY"},
    )
    changed.refresh_from_db()
    assert changed.allowed_networks == ["10.0.0.0/8", "2001:db8::1/128"]
    assert changed.auth_hash.startswith("$2b$")
    kept = change_domain(changed, by=None, auth_user="team", auth_password="")
    assert (kept.auth_user, kept.auth_hash) == ("team", changed.auth_hash)
    assert change_domain(kept, by=None, auth_user="").auth_hash == ""
    with pytest.raises(ValidationError) as caught:
        change_domain(domain, by=None, headers={"Connection": "x"}, allowed_networks=["10.0.0.1/8"], auth_user="x")
    assert set(caught.value.message_dict) == {"headers", "allowed_networks", "auth_password"}
    with pytest.raises(ValidationError):
        change_domain(domain, by=None, hsts_seconds=10**9)
    with pytest.raises(ValidationError, match="no setting"):
        change_domain(domain, by=None, hostname="other.example.com")


def test_a_free_name_is_offered_where_the_server_is_reached_by_its_address_alone(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    bakery = replace(settings.BAKERY, public_ip="")
    monkeypatch.setattr(settings, "BAKERY", bakery)
    assert names.free_name(shop) == ""
    monkeypatch.setattr(settings, "BAKERY", replace(bakery, public_ip="203.0.113.5"))
    assert names.free_name(shop) == "shop.203-0-113-5.sslip.io"
    add_domain(shop, names.free_name(shop), by=None)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_want_a_name_at_once_one_is_told_who_has_it(shop: Deployment, blog: Deployment) -> None:
    said: list[str] = []
    barrier = threading.Barrier(2)

    def want(deployment: Deployment) -> None:
        try:
            barrier.wait(30)
            add_domain(deployment, "www.example.com", by=None)
            said.append("")
        except Refused as refusal:
            said.append(refusal.message)
        finally:
            connection.close()

    threads = [threading.Thread(target=want, args=(deployment,)) for deployment in (shop, blog)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    owner = Domain.objects.get(hostname="www.example.com").deployment
    assert owner is not None
    assert sorted(said) == ["", f"www.example.com belongs to the deployment {owner.name}."]
