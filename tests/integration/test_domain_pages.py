"""Names and certificates on the pages, as a person with a browser meets them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from accounts.models import User
from bakery.models import Task, TaskKind
from deployments.models import Deployment
from deployments.services.settings import create_deployment
from deployments.services.status import url_of
from domains.models import Certificate, DnsProvider, Domain, Verdict
from infrastructure.secret import Secret
from tests.certificates import Authority, key_pem
from tests.integration.people import alice, bob, browser, charlie

pytestmark = pytest.mark.django_db
SECRET = "credential-that-nobody-may-see"


@pytest.fixture
def shop() -> Deployment:
    return create_deployment(by=None, name="shop", repository="https://example.com/shop.git")


@pytest.fixture(autouse=True)
def public_address(settings: Any) -> None:
    settings.BAKERY = replace(settings.BAKERY, public_ip="192.0.2.10")


def named(shop: Deployment | None, hostname: str, **fields: Any) -> Domain:
    return Domain.objects.create(deployment=shop, hostname=hostname, **fields)


def certified(shop: Deployment | None, *names: str, days: int = 60, **fields: Any) -> Certificate:
    now = timezone.now()
    return Certificate.objects.create(
        deployment=shop,
        names=list(names),
        issuer="Test CA",
        fingerprint="ab" * 32,
        not_before=now - timedelta(days=30),
        not_after=now + timedelta(days=days, hours=1),
        **fields,
    )


def page_of(person: User, shop: Deployment) -> str:
    return browser(person).get(f"/deployments/{shop.pk}/domains").content.decode()


def test_a_name_is_added_with_its_other_half_and_its_record_is_shown_to_copy(shop: Deployment) -> None:
    client = browser(bob())
    form = {"hostname": "bakery-shop.com", "counterpart": "on"}
    response = client.post(f"/deployments/{shop.pk}/domains/add", form)
    assert response.status_code == 302
    assert {d.hostname for d in shop.domains.all()} == {"shop.localhost", "bakery-shop.com", "www.bakery-shop.com"}
    page = page_of(bob(), shop)
    assert "192.0.2.10" in page
    assert re.search(r'<code id="host-[^"]*">www</code><button[^>]*data-copy="host-', page)
    assert "Not looked at yet" in page


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Type a name such as"),
        ("https://bakery-shop.com/x", "Type bakery-shop.com alone."),
        ("bakery-shop.com:8080", "carries a port"),
        ("a_b.bakery-shop.com", "no underscore"),
        ("co.uk", "public suffix"),
        ("192.0.2.1", "IP address"),
        ("localhost", "always means the machine"),
        ("x;return 200.com", "cannot be used as a domain"),
        ("a\nb.com", "cannot be seen"),
        (f"{'a' * 64}.com", "at most 63"),
        ("blog.localhost", "localhost"),
    ],
)
def test_a_bad_name_is_refused_beside_its_field_and_stays_typed(shop: Deployment, typed: str, said: str) -> None:
    response = browser(bob()).post(f"/deployments/{shop.pk}/domains/add", {"hostname": typed})
    page = response.content.decode()
    assert response.status_code == 422
    assert shop.domains.count() == 1
    error = re.search(r'id="id_hostname_error">(.*?)</ul>', page, re.DOTALL)
    assert error and said in error[1].replace("&#x27;", "'"), error and error[1]


def test_a_name_that_somebody_has_is_refused_with_who_has_it(shop: Deployment) -> None:
    blog = create_deployment(by=None, name="blog", repository="https://example.com/blog.git")
    named(blog, "bakery-shop.com")
    response = browser(bob()).post(f"/deployments/{shop.pk}/domains/add", {"hostname": "bakery-shop.com"})
    assert "belongs to the deployment blog" in response.content.decode()


def test_an_international_name_is_shown_as_typed_with_what_dns_has_beside(shop: Deployment) -> None:
    browser(bob()).post(f"/deployments/{shop.pk}/domains/add", {"hostname": "bücher-bäckerei.com"})
    page = page_of(charlie(), shop)
    assert "bücher-bäckerei.com" in page
    assert "xn--bcher-bckerei-hfb5t.com" in page or "xn--" in page


def test_buttons_change_a_name_and_a_viewer_has_none(shop: Deployment) -> None:
    first, second = named(shop, "bakery-shop.com"), named(shop, "shop.example.org")
    client, address = browser(bob()), f"/deployments/{shop.pk}/domains"
    client.post(f"{address}/{first.pk}/primary")
    client.post(f"{address}/{second.pk}/redirect", {"redirects": "1"})
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.primary, second.redirects) == (True, True)
    client.post(f"{address}/{second.pk}/remove")
    assert not Domain.objects.filter(pk=second.pk).exists()
    html = page_of(charlie(), shop)
    assert set(re.findall(r'<form[^>]*method="post"[^>]*action="([^"]*)"', html)) == {"/auth/logout"}


def test_a_name_of_another_deployment_is_not_reached_through_this_one(shop: Deployment) -> None:
    blog = create_deployment(by=None, name="blog", repository="https://example.com/blog.git")
    other, panel = named(blog, "bakery-shop.com"), named(None, "panel.bakery-shop.com")
    for domain in (other, panel):
        for what in ("", "/verify", "/primary", "/remove"):
            address = f"/deployments/{shop.pk}/domains/{domain.pk}{what}"
            assert browser(bob()).post(address).status_code == 404
    assert Domain.objects.filter(pk__in=[other.pk, panel.pk]).count() == 2


def test_settings_of_a_name_are_typed_and_the_password_is_never_shown(shop: Deployment) -> None:
    domain = named(shop, "bakery-shop.com")
    address = f"/deployments/{shop.pk}/domains/{domain.pk}"
    form = {
        "hsts_seconds": "300",
        "max_body_mb": "10",
        "auth_user": "guest",
        "auth_password": SECRET,
        "allowed_networks": "203.0.113.0/24\n2001:db8::/32",
        "headers": "X-Robots-Tag: noindex",
        "maintenance": "on",
    }
    assert browser(bob()).post(address, form).status_code == 302
    domain.refresh_from_db()
    assert (domain.hsts_seconds, domain.max_body_mb, domain.auth_user) == (300, 10, "guest")
    assert domain.allowed_networks == ["203.0.113.0/24", "2001:db8::/32"]
    assert domain.headers == {"X-Robots-Tag": "noindex"}
    page = browser(bob()).get(address).content.decode()
    assert SECRET not in page and domain.auth_hash not in page
    hashed = domain.auth_hash
    browser(bob()).post(address, {**form, "auth_password": "", "maintenance": ""})
    domain.refresh_from_db()
    assert (domain.auth_hash, domain.maintenance) == (hashed, False)


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("hsts_seconds", "12", "not one of the available choices"),
        ("max_body_mb", "0", "greater than or equal to 1"),
        ("auth_user", "with:colon", "letters, digits"),
        ("auth_password", "short", "8 to 72 bytes"),
        ("allowed_networks", "203.0.113.7/24", "203.0.113.0/24"),
        ("allowed_networks", "everybody; allow all", "no address"),
        ("headers", "no colon", "Line 1 has no colon"),
        ("headers", "X-A: $remote_addr", "begins a variable"),
        ("headers", "Content-Length: 1", "not to be set"),
        ("headers", "X-A: 1\nX-A: 2", "there twice"),
    ],
)
def test_a_bad_setting_is_refused_beside_its_field(shop: Deployment, field: str, typed: str, said: str) -> None:
    domain = named(shop, "bakery-shop.com")
    form = {"hsts_seconds": "0", "auth_user": "guest", "auth_password": "long enough", field: typed}
    response = browser(bob()).post(f"/deployments/{shop.pk}/domains/{domain.pk}", form)
    assert response.status_code == 422
    error = re.search(rf'id="id_{field}_error">(.*?)</ul>', response.content.decode(), re.DOTALL)
    assert error and said in error[1].replace("&#x27;", "'"), error and error[1]
    domain.refresh_from_db()
    assert not domain.auth_hash


def test_the_url_of_a_deployment_is_its_primary_name_over_https_once_a_certificate_covers_it(shop: Deployment) -> None:
    assert url_of(shop).startswith("http://shop.localhost")
    shop.domains.update(primary=False)
    named(shop, "bakery-shop.com", primary=True)
    assert url_of(shop).startswith("http://bakery-shop.com")
    certified(shop, "*.bakery-shop.com")
    fresh = Deployment.objects.for_list().get(pk=shop.pk)
    assert url_of(fresh).startswith("http://"), "a wildcard is not good for the name above it"
    Certificate.objects.update(names=["bakery-shop.com"])
    fresh = Deployment.objects.for_list().get(pk=shop.pk)
    assert url_of(fresh).startswith("https://bakery-shop.com")


def test_the_certificate_says_until_when_and_why_it_failed(shop: Deployment) -> None:
    named(shop, "bakery-shop.com", verdict=Verdict.RIGHT)
    assert "is issued by itself" in page_of(charlie(), shop)
    row = certified(shop, "bakery-shop.com", days=60)
    page = page_of(charlie(), shop)
    assert "Test CA" in page and "60 days left" in page
    failure = {"error_id": "acme.rate-limited", "error_message": "Too many were asked for.", "error_hint": "Wait."}
    Certificate.objects.filter(pk=row.pk).update(**failure, retry_after=timezone.now() + timedelta(hours=3, minutes=1))
    page = page_of(charlie(), shop)
    assert "Too many were asked for." in page and "Wait." in page and "in 3 h" in page


def test_a_certificate_is_asked_for_and_its_task_is_shown(shop: Deployment) -> None:
    named(shop, "bakery-shop.com", verdict=Verdict.RIGHT)
    assert browser(bob()).post(f"/deployments/{shop.pk}/domains/certificate/issue").status_code == 302
    task = Task.objects.get(kind=TaskKind.CERTIFICATE)
    page = page_of(bob(), shop)
    assert f"/activity/{task.pk}" in page
    assert 'id="do-issue"' not in page


def test_a_certificate_whose_dns_is_wrong_is_asked_for_only_in_so_many_words(shop: Deployment) -> None:
    named(shop, "bakery-shop.com", verdict=Verdict.WRONG)
    address = f"/deployments/{shop.pk}/domains/certificate/issue"
    assert 'id="do-issue-anyway"' in page_of(bob(), shop)
    page = browser(bob()).post(address, follow=True).content.decode()
    assert "No name is ready" in page
    assert not Task.objects.filter(kind=TaskKind.CERTIFICATE).exists()
    browser(bob()).post(address, {"override_dns": "1"})
    assert Task.objects.filter(kind=TaskKind.CERTIFICATE).count() == 1


def test_names_whose_dns_is_right_do_not_wait_for_the_others(shop: Deployment) -> None:
    named(shop, "bakery-shop.com", verdict=Verdict.RIGHT)
    named(shop, "www.bakery-shop.com", verdict=Verdict.WRONG)
    named(shop, "*.bakery-shop.com", verdict=Verdict.RIGHT)
    page = page_of(bob(), shop)
    assert "Issue for 1 name" in page and 'id="do-issue-anyway"' in page
    certified(shop, "bakery-shop.com", left_out={"www.bakery-shop.com": "its DNS does not lead here"})
    page = page_of(bob(), shop)
    assert 'id="do-issue"' not in page and "its DNS does not lead here" in page


def test_an_uploaded_certificate_that_does_not_fit_is_refused_beside_its_field(shop: Deployment) -> None:
    named(shop, "bakery-shop.com")
    address = f"/deployments/{shop.pk}/domains/certificate/upload"
    authority = Authority()
    one, two = authority.issue("bakery-shop.com"), authority.issue("bakery-shop.com")
    response = browser(bob()).post(address, {"chain": one.chain_pem.decode(), "key": two.key_pem.decode()})
    assert response.status_code == 422
    page = response.content.decode()
    assert re.search(r'id="id_key_error">', page)
    assert two.key_pem.decode().splitlines()[1] not in page, "a key is not sent back"
    response = browser(bob()).post(address, {"chain": "hello", "key": "world"})
    assert "not a certificate in PEM form" in response.content.decode()
    locked = key_pem(one.key, b"open sesame")
    sealed = {"chain": one.chain_pem.decode(), "key": locked.decode()}
    for passphrase in ("", "guessed"):
        response = browser(bob()).post(address, {**sealed, "passphrase": passphrase})
        assert re.search(r'id="id_passphrase_error">', response.content.decode()), passphrase
    assert browser(bob()).post(address, {**sealed, "passphrase": "open sesame"}).status_code == 302
    Task.objects.all().delete()
    chain, key = SimpleUploadedFile("c.pem", one.chain_pem), SimpleUploadedFile("k.pem", one.key_pem)
    assert browser(bob()).post(address, {"chain_file": chain, "key_file": key}).status_code == 302
    assert Task.objects.filter(kind=TaskKind.CERTIFICATE).count() == 1


def test_credentials_of_dns_providers_are_on_no_page(shop: Deployment) -> None:
    client = browser(alice())
    form = {"name": "zone", "plugin": "cloudflare", "credentials": f"dns_cloudflare_api_token = {SECRET}\r\n"}
    assert client.post("/settings/dns-providers/add", form).status_code == 302
    provider = DnsProvider.objects.get()
    assert provider.credentials.reveal() == f"dns_cloudflare_api_token = {SECRET}\n"
    for address in ("/settings/dns-providers", f"/settings/dns-providers/{provider.pk}", "/settings/domain"):
        assert SECRET not in client.get(address).content.decode()
    assert SECRET not in page_of(alice(), shop)
    bad = client.post("/settings/dns-providers/add", {"name": "b", "plugin": "cloudflare", "credentials": "nothing"})
    assert (bad.status_code, DnsProvider.objects.count()) == (422, 1)
    assert "lack dns_cloudflare_api_token" in bad.content.decode()


def test_a_provider_that_a_certificate_needs_is_not_removed(shop: Deployment) -> None:
    provider = DnsProvider.objects.create(name="zone", plugin="rfc2136", credentials=Secret("x = y"))
    certified(shop, "*.bakery-shop.com", dns_provider=provider, challenge="dns-01")
    page = browser(alice()).post(f"/settings/dns-providers/{provider.pk}/remove", follow=True).content.decode()
    assert "is what the certificates of" in page
    assert DnsProvider.objects.exists()


def test_the_list_has_what_needs_attention_first_and_is_searched_in_both_forms(shop: Deployment) -> None:
    named(shop, "aaa.bakery-shop.com", verdict=Verdict.RIGHT)
    named(shop, "mmm.bakery-shop.com", verdict=Verdict.WRONG)
    named(shop, "zzz.bakery-shop.com", verdict=Verdict.RIGHT, served_problem="Another certificate is served.")
    named(None, "xn--bcher-kva.bakery-shop.com", verdict=Verdict.RIGHT)
    page = browser(charlie()).get("/domains").content.decode()
    table = page[page.index('id="domains"') :]
    order = [table.index(name) for name in ("zzz.bakery", "mmm.bakery", "aaa.bakery", "shop.localhost")]
    assert order == sorted(order)
    for query, found in (("q=mmm", "mmm."), ("q=bücher", "bücher."), ("show=attention", "zzz."), ("q=shop", "aaa.")):
        part = browser(charlie()).get(f"/domains?{query}", headers={"HX-Request": "true", "HX-Target": "domains"})
        assert found in part.content.decode(), query
    assert "Nothing fits" in browser(charlie()).get("/domains?q=%00nowhere").content.decode()
    assert browser(charlie()).get("/domains?show=rubbish&page=x").status_code == 200


def test_the_panels_names_are_found_by_the_panels_certificate(shop: Deployment) -> None:
    named(None, "panel.bakery-shop.com", verdict=Verdict.RIGHT)
    named(shop, "plain.bakery-shop.com", verdict=Verdict.RIGHT)

    def found(show: str) -> set[str]:
        page = browser(charlie()).get(f"/domains?show={show}").content.decode()
        return {name for name in ("panel", "plain") if f"{name}.bakery-shop.com" in page}

    assert (found("https"), found("plain"), found("attention")) == (set(), {"panel", "plain"}, set())
    row = certified(None, "panel.bakery-shop.com")
    assert (found("https"), found("plain"), found("attention")) == ({"panel"}, {"plain"}, set())
    Certificate.objects.filter(pk=row.pk).update(not_after=timezone.now() + timedelta(days=3))
    assert found("attention") == {"panel"}
    Certificate.objects.filter(pk=row.pk).update(not_after=row.not_after, revoked_at=timezone.now())
    assert found("attention") == {"panel"}


def test_the_panels_own_domain_has_the_same_page_for_admins(shop: Deployment) -> None:
    client = browser(alice())
    assert client.post("/settings/domain/add", {"hostname": "panel.bakery-shop.com"}).status_code == 302
    domain = Domain.objects.get(deployment=None)
    page = client.get("/settings/domain").content.decode()
    assert "panel.bakery-shop.com" in page and "192.0.2.10" in page
    assert "Settings of this name" not in page  # there are none: see domain.of-the-panel
    assert client.get(f"/settings/domain/{domain.pk}").status_code == 200
    taken = browser(bob()).post(f"/deployments/{shop.pk}/domains/add", {"hostname": "panel.bakery-shop.com"})
    assert taken.status_code == 422


def test_whoever_changes_the_panels_names_is_told_that_nginx_follows() -> None:
    client = browser(alice())
    page = client.post("/settings/domain/add", {"hostname": "panel.bakery-shop.com"}, follow=True).content.decode()
    assert "panel.bakery-shop.com is added. Bakery looks at its DNS now, and tells Nginx." in page
    address = f"/settings/domain/{Domain.objects.get(deployment=None).pk}/remove"
    assert "panel.bakery-shop.com is removed; Nginx is told now." in client.post(address, follow=True).content.decode()
