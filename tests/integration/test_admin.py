from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from bakery.models import Alarm, AvailableVersion, Task, TaskKind
from bakery.roles import Role
from databases.models import Attachment, Backup, BackupPlan, Database, DatabaseSnapshot, Disclosure, Storage
from deployments.models import Deployment, EnvVar, LogChunk, LogStream, Release, StreamKind
from deployments.services import requests
from deployments.services.settings import create_deployment
from domains.models import Certificate, DnsProvider, Domain
from infrastructure.secret import Secret
from tests.integration.people import PASSWORD, alice, bob, charlie

pytestmark = pytest.mark.django_db
APPS = ("accounts", "bakery", "databases", "deployments", "domains")
OURS = [model for model in apps.get_models() if model._meta.app_label in APPS]
CHANGEABLE = {"User", "Deployment", "EnvVar"}
READ_ONLY = [model for model in OURS if model.__name__ not in CHANGEABLE]


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def page(model: type[models.Model], kind: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{kind}", args=args)


@pytest.fixture
def shop() -> Deployment:
    """One row of every model."""
    made = create_deployment(
        by=None,
        name="shop",
        repository="https://example.com/shop.git",
        env={"TOKEN": "very secret"},
        persistent=["data"],
    )
    task = requests.deploy(made, by=None)
    task.steps.create(phase="build", argv=["bun", "install"])
    Certificate.objects.create(deployment=made)
    DnsProvider.objects.create(name="zone", plugin="rfc2136", credentials=Secret("very secret"))
    Alarm.objects.create(key="certificate.expires:1", subject="shop", message="It runs out.", deployment=made)
    url = Secret("postgresql://u:very secret@h/d")
    database = Database.objects.create(name="shop-db", deployment=made, password=Secret("very secret"), url=url)
    storage = Storage.objects.create(
        name="s3", endpoint="https://s3.example.com", bucket="b", access_key="a", secret_key=Secret("very secret")
    )
    BackupPlan.objects.create(database=database, storage=storage, passphrase=Secret("very secret"))
    Backup.objects.create(database=database, subject="shop-db", storage=storage, passphrase=Secret("very secret"))
    Attachment.objects.create(deployment=made, database=database)
    DatabaseSnapshot.objects.create(
        database=database, taken_at=timezone.now(), size_bytes=1, table_count=1, connections=1
    )
    Disclosure.objects.create(database=database, subject="shop-db", what="connection string")
    AvailableVersion.objects.create(sha="a" * 40, changes=[{"sha": "a" * 40, "date": "", "subject": "A change"}])
    stream = LogStream.objects.create(kind=StreamKind.BUILD, deployment=made, release=task.release)
    LogChunk.objects.create(
        stream=stream, seq=1, first_line=0, line_count=1, byte_offset=0, created_at=timezone.now(), data="hello\n"
    )
    return made


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_model_has_a_list_and_a_page_for_admins_alone(model: type[models.Model], shop: Deployment) -> None:
    client = signed_in(alice())
    row = model._default_manager.order_by("pk").first()
    assert row is not None
    for address in (page(model, "changelist"), page(model, "changelist") + "?q=x", page(model, "change", row.pk)):
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert "very secret" not in answer.content.decode()
        for person in (bob(), charlie()):
            assert signed_in(person).get(address).status_code == 403
        refused = Client().get(address)
        assert (refused.status_code, refused.headers["Location"].split("?")[0]) == (302, "/auth/login")


@pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model.__name__)
def test_what_happened_is_neither_added_nor_changed_nor_deleted(model: type[models.Model], shop: Deployment) -> None:
    client = signed_in(alice())
    row = model._default_manager.order_by("pk").first()
    assert row is not None
    assert client.get(page(model, "add")).status_code == 403
    assert client.post(page(model, "change", row.pk), {"state": "live"}).status_code == 403
    assert client.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_the_hash_of_a_sites_password_is_not_shown(shop: Deployment) -> None:
    domain = shop.domains.get()
    shop.domains.update(auth_user="guest", auth_hash="$2b$05$hashed")
    text = signed_in(alice()).get(page(Domain, "change", domain.pk)).content.decode()
    assert "guest" in text
    assert "hashed" not in text


def test_every_model_is_registered_and_groups_are_not() -> None:
    registered = {model._meta.label for model in admin.site._registry}
    assert {model._meta.label for model in OURS} <= registered
    assert "auth.Group" not in registered


def test_the_lists_have_filters_and_columns() -> None:
    for model in OURS:
        assert len(admin.site._registry[model].list_display) > 1, model


def test_the_admin_has_no_sign_in_of_its_own() -> None:
    answer = Client().get("/admin/login/?next=/admin/deployments/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/auth/login?next=%2Fadmin%2Fdeployments%2F")


def form_of(client: Client, address: str) -> dict[str, Any]:
    """What a browser would send back unchanged."""
    form = client.get(address).context["adminform"].form
    values = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    return {name: value for name, value in values.items() if value not in (None, False)}


def test_settings_are_changed_through_the_service(shop: Deployment) -> None:
    client, address = signed_in(alice()), page(Deployment, "change", shop.pk)
    form = form_of(client, address)
    assert client.post(address, {**form, "branch": "next", "memory_mb": 300}).status_code == 302
    shop.refresh_from_db()
    assert (shop.branch, shop.memory_mb, shop.blue_green) == ("next", 300, True)
    assert client.post(address, {**form, "branch": "--bad"}).status_code == 200
    assert client.post(address, {**form, "memory_mb": 1}).status_code == 200
    shop.refresh_from_db()
    assert (shop.branch, shop.memory_mb) == ("next", 300)


def test_a_deployment_is_neither_added_nor_deleted_here(shop: Deployment) -> None:
    client = signed_in(alice())
    assert client.get(page(Deployment, "add")).status_code == 403
    assert client.post(page(Deployment, "delete", shop.pk), {"post": "yes"}).status_code == 403
    assert Deployment.objects.count() == 1


def test_the_actions_of_the_list_ask_the_services(shop: Deployment) -> None:
    client = signed_in(alice())
    chosen = {"action": "deploy", "_selected_action": [shop.pk]}
    assert client.post(page(Deployment, "changelist"), chosen).status_code == 302
    assert Task.objects.filter(kind=TaskKind.DEPLOY, requested_by=alice()).count() == 1
    answer = client.post(page(Deployment, "changelist"), {**chosen, "action": "restart"}, follow=True)
    assert "has no release yet" in answer.content.decode()


def test_a_variable_is_written_and_never_shown(shop: Deployment) -> None:
    client = signed_in(alice())
    new = {"deployment": shop.pk, "name": "API_KEY", "new_value": "first\nline", "build_time": "on"}
    assert client.post(page(EnvVar, "add"), new).status_code == 302
    variable = shop.env_vars.get(name="API_KEY")
    assert (variable.value.reveal().replace("\r", ""), variable.build_time, variable.run_time) == (
        "first\nline",
        True,
        False,
    )
    address = page(EnvVar, "change", variable.pk)
    assert client.post(address, {"run_time": "on", "new_value": ""}).status_code == 302
    variable.refresh_from_db()
    assert (variable.value.reveal().replace("\r", ""), variable.build_time) == ("first\nline", False)
    assert client.post(address, {"run_time": "on", "new_value": "second"}).status_code == 302
    variable.refresh_from_db()
    assert variable.value.reveal() == "second"
    assert client.post(page(EnvVar, "delete", variable.pk), {"post": "yes"}).status_code == 302
    assert not shop.env_vars.filter(name="API_KEY").exists()


def test_a_variable_that_cannot_be_is_refused_on_its_page(shop: Deployment) -> None:
    client = signed_in(alice())
    new = {"deployment": shop.pk, "name": "PORT", "new_value": "1", "run_time": "on"}
    assert client.post(page(EnvVar, "add"), new).status_code == 200
    too_long = {**new, "name": "LONG", "new_value": "x" * 140_000}
    answer = client.post(page(EnvVar, "add"), too_long, follow=True)
    assert "the system takes at most" in answer.content.decode()
    assert list(shop.env_vars.values_list("name", flat=True)) == ["TOKEN"]


def test_a_secret_that_no_key_reads_breaks_no_page(shop: Deployment) -> None:
    EnvVar.objects.update(value=models.Value("gAAAA-not-a-token", output_field=models.TextField()))
    Release.objects.update(snapshot=models.Value("gAAAA-not-a-token", output_field=models.TextField()))
    client = signed_in(alice())
    for model in (EnvVar, Release, Task, LogStream):
        key = model._default_manager.values_list("pk", flat=True)[0]
        assert client.get(page(model, "changelist")).status_code == 200
        assert client.get(page(model, "change", key)).status_code == 200


def test_people_are_added_changed_and_shut_out_but_not_deleted() -> None:
    client = signed_in(alice())
    new = {"email": "Zoe@Example.com", "name": "Zoe", "role": Role.VIEWER, "password1": PASSWORD, "password2": PASSWORD}
    assert client.post(page(User, "add"), new).status_code == 302
    zoe = User.objects.get(email="zoe@example.com")
    assert zoe.check_password(PASSWORD)
    change = {"email": zoe.email, "name": "Zoe Z", "role": Role.DEPLOYER, "is_active": "on"}
    assert client.post(page(User, "change", zoe.pk), change).status_code == 302
    zoe.refresh_from_db()
    assert (zoe.role, zoe.name, zoe.is_active) == (Role.DEPLOYER, "Zoe Z", True)
    assert client.post(page(User, "delete", zoe.pk), {"post": "yes"}).status_code == 403


def test_an_admin_gives_somebody_a_new_password() -> None:
    client, person = signed_in(alice()), bob()
    address = reverse("admin:auth_user_password_change", args=[person.pk])
    assert client.get(address).status_code == 200
    secret = "another-good-long-password"
    assert client.post(address, {"password1": secret, "password2": secret}).status_code == 302
    person.refresh_from_db()
    assert person.check_password(secret)


def test_the_last_admin_cannot_shut_themselves_out() -> None:
    client, person = signed_in(alice()), alice()
    change = {"email": person.email, "name": "", "role": Role.VIEWER, "is_active": "on"}
    answer = client.post(page(User, "change", person.pk), change, follow=True)
    assert "last active admin" in answer.content.decode()
    person.refresh_from_db()
    assert person.role == Role.ADMIN
