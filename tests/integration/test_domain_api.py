"""Names, certificates and DNS providers over ``/api/``, and what the pages ask the database for many of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bakery.models import Task, TaskKind
from deployments.models import Deployment
from deployments.services.settings import create_deployment
from domains.models import Certificate, DnsProvider, Domain, Verdict
from infrastructure.secret import Secret
from tests.certificates import Authority
from tests.integration.people import alice, bob
from tests.integration.test_api import Api

pytestmark = pytest.mark.django_db
SECRET = "credential-that-nobody-may-see"


@pytest.fixture
def shop() -> Deployment:
    return create_deployment(by=None, name="shop", repository="https://example.com/shop.git")


def test_a_name_is_added_changed_verified_and_removed(shop: Deployment) -> None:
    api = Api(bob())
    names = f"deployments/{shop.pk}/domains"
    status, made = api.post(names, {"hostname": "Bücher.bakery-shop.com"})
    assert (status, made["hostname"]) == (201, "xn--bcher-kva.bakery-shop.com")
    assert made["display"] == "bücher.bakery-shop.com"
    one = f"{names}/{made['id']}"
    password = {"auth_user": "guest", "auth_password": "correct-horse"}
    status, changed = api.send("PATCH", one, {"primary": True, "hsts_seconds": 300, **password})
    assert (status, changed["primary"], changed["settings"]["hsts_seconds"]) == (200, True, 300)
    assert "correct-horse" not in str(changed) and Domain.objects.get(pk=made["id"]).auth_hash not in str(changed)
    assert api.post(f"{one}/verify")[0] == 202
    assert {row["hostname"] for row in api.get(names)[1]} == {"shop.localhost", "xn--bcher-kva.bakery-shop.com"}
    assert api.get("domains")[1][0]["hostname"].endswith("bakery-shop.com")
    assert api.send("DELETE", one) == (200, None)
    assert api.get(one)[0] == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"hostname": "https://bakery-shop.com/"}, ""),
        ({"hostname": "bakery-shop.com; return 200"}, ""),
        ({"hostname": ["bakery-shop.com"]}, "hostname"),
        ({"hostname": "bakery-shop.com", "redirects": "yes"}, "redirects"),
        ({"name": "bakery-shop.com"}, "name"),
    ],
)
def test_a_bad_name_is_refused(shop: Deployment, body: dict[str, Any], field: str) -> None:
    status, said = Api(bob()).post(f"deployments/{shop.pk}/domains", body)
    assert status == 422 and said["message"]
    assert not field or field in said["fields"]
    assert shop.domains.count() == 1


def test_settings_of_the_wrong_kind_are_refused_by_field(shop: Deployment) -> None:
    domain = Domain.objects.create(deployment=shop, hostname="bakery-shop.com")
    one = f"deployments/{shop.pk}/domains/{domain.pk}"
    for body in (
        {"hsts_seconds": "long"},
        {"max_body_mb": -1},
        {"headers": ["X-A"]},
        {"headers": {"X-A": 1}},
        {"allowed_networks": {"a": "b"}},
        {"allowed_networks": [1]},
        {"auth_user": 7},
        {"auth_user": "guest", "auth_password": 12345678},
        {"maintenance": "perhaps"},
        {"redirects": None},
        {"primary": False},
        {"hostname": "other.bakery-shop.com"},
    ):
        status, said = Api(bob()).send("PATCH", one, body)
        assert status == 422, (body, status, said)
    fresh = Domain.objects.get(pk=domain.pk)
    assert (fresh.hsts_seconds, fresh.headers, fresh.allowed_networks, fresh.auth_user) == (0, {}, [], "")


def test_a_certificate_is_shown_uploaded_and_removed(shop: Deployment) -> None:
    Domain.objects.create(deployment=shop, hostname="bakery-shop.com", verdict=Verdict.RIGHT)
    api, certificate = Api(bob()), f"deployments/{shop.pk}/certificate"
    assert api.get(certificate) == (200, None)
    assert api.post(f"{certificate}/renew")[0] == 404
    issued = Authority().issue("bakery-shop.com")
    files = {"chain": issued.chain_pem.decode(), "key": issued.key_pem.decode()}
    status, said = api.post(f"{certificate}/upload", {**files, "key": files["chain"]})
    assert (status, said["id"].startswith("certificate.")) == (422, True)
    status, task = api.post(f"{certificate}/upload", files)
    assert (status, task["kind"]) == (202, TaskKind.CERTIFICATE)
    assert "PRIVATE" not in str(api.get(certificate)) + str(api.get(f"tasks/{task['id']}"))
    assert api.post(f"{certificate}/issue")[0] == 409, "one task at a time"
    Task.objects.all().delete()
    assert api.post(f"{certificate}/issue", {"override_dns": "yes"})[0] == 422
    assert api.post(f"{certificate}/issue")[0] == 202
    Task.objects.all().delete()
    assert api.send("DELETE", certificate)[0] == 202


def test_credentials_of_providers_go_in_and_never_come_out(shop: Deployment) -> None:
    api = Api(alice())
    body = {"name": "zone", "plugin": "cloudflare", "credentials": f"dns_cloudflare_api_token = {SECRET}"}
    status, made = api.post("system/dns-providers", body)
    assert (status, made["plugin"]) == (201, "cloudflare")
    assert SECRET not in str(made) + str(api.get("system/dns-providers"))
    assert api.post("system/dns-providers", body)[0] == 422, "the name is taken"
    assert api.post("system/dns-providers", {**body, "name": "b", "plugin": "nonsense"})[0] == 422
    row = Certificate.objects.create(deployment=shop, dns_provider=DnsProvider.objects.get())
    assert api.send("DELETE", f"system/dns-providers/{made['id']}")[1]["id"] == "dns-provider.used"
    row.delete()
    assert api.send("DELETE", f"system/dns-providers/{made['id']}") == (200, None)


def test_bakerys_own_names_are_an_admins() -> None:
    status, made = Api(alice()).post("system/domains", {"hostname": "panel.bakery-shop.com"})
    assert (status, made["deployment"]) == (201, None)
    assert Api(alice()).get("system/certificate") == (200, None)
    assert Api(bob()).get("system/domains")[0] == 403
    assert Api(alice()).send("DELETE", f"system/domains/{made['id']}")[0] == 200


def queries(path: str) -> int:
    client = Client()
    client.force_login(alice())
    client.get(path)  # what is cached once per process is cached now
    with CaptureQueriesContext(connection) as asked:
        assert client.get(path).status_code == 200
    return len(asked)


def test_more_names_need_no_more_queries(shop: Deployment) -> None:
    now = timezone.now()
    provider = DnsProvider.objects.create(name="zone", plugin="rfc2136", credentials=Secret("x = y"))

    def add(first: int, last: int) -> None:
        for number in range(first, last):
            report = {"findings": [{"severity": "error", "message": "No.", "hint": ""}], "records": [], "changes": []}
            said: dict[str, Any] = {"verdict": Verdict.WRONG, "report": report, "checked_at": now}
            Domain.objects.create(deployment=shop, hostname=f"n{number}.bakery-shop.com", **said)
            Domain.objects.create(hostname=f"p{number}.bakery-shop.com", **said)
            app = create_deployment(by=None, name=f"app-{number}", repository="https://example.com/app.git")
            Domain.objects.create(deployment=app, hostname=f"a{number}.bakery-shop.com", **said)
            until = {"not_before": now, "not_after": now + timedelta(days=9), "fingerprint": "ab"}
            Certificate.objects.create(
                deployment=app, names=[f"a{number}.bakery-shop.com"], dns_provider=provider, **until
            )

    pages = (f"/deployments/{shop.pk}/domains", "/domains", "/settings/domain", "/", "/deployments", "/api/domains")
    add(0, 2)
    few = {page: queries(page) for page in pages}
    add(2, 8)
    assert {page: queries(page) for page in pages} == few
