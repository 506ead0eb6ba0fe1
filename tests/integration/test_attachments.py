"""Databases in deployments' environments: what may be attached, what a process is given, what is due."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError

from bakery.models import Task, TaskKind
from databases.models import Database, DatabaseKind, DatabaseState
from databases.services.addresses import gateway
from databases.services.attaching import attach, detach
from databases.services.due import due, what_is_due
from databases.services.injection import fingerprints, inject, secrets_of
from databases.services.leaving import databases_to_drop
from databases.services.provisioning import create_database
from deployments.logs.masking import ReleaseMasker
from deployments.models import Deployment, Release, ReleaseState, Slot
from deployments.services.env import set_env
from deployments.services.settings import create_deployment, not_live_yet
from deployments.services.snapshot import Attached, Snapshot
from infrastructure.errors import Problem, Refused
from infrastructure.secret import Masker, Secret

pytestmark = pytest.mark.django_db
PASSWORD = "a-password-of-24-letters"


def make_deployment(name: str = "shop") -> Deployment:
    return create_deployment(by=None, name=name, repository="https://example.com/shop.git")


def make_database(name: str = "shop-data", **fields: Any) -> Database:
    return Database.objects.create(
        **{"name": name, "state": DatabaseState.READY, "password": Secret(PASSWORD), **fields}
    )


def make_external(url: str) -> Database:
    return make_database("elsewhere", kind=DatabaseKind.EXTERNAL, password=Secret(""), url=Secret(url))


def serve(deployment: Deployment) -> Slot:
    """A release with the deployment's configuration of now serves, started with its databases as they are now."""
    snapshot = Snapshot.of(deployment)
    slot = deployment.slots.get(name="blue")
    number = deployment.next_release_number
    deployment.releases.update(state=ReleaseState.RETAINED)
    release = Release.objects.create(
        deployment=deployment,
        number=number,
        ref="main",
        snapshot=snapshot.to_secret(),
        slot=slot,
        state=ReleaseState.LIVE,
    )
    slot.release, slot.databases = release, fingerprints(snapshot.databases)
    slot.save()
    deployment.current_release, deployment.next_release_number = release, number + 1
    deployment.save()
    return slot


def refusal(error: pytest.ExceptionInfo[Problem]) -> str:
    return error.value.id


def test_a_process_is_given_the_address_in_its_variable_and_libpqs_on_request() -> None:
    deployment, database = make_deployment(), make_database()
    attach(database, deployment, by=None)
    given = inject(Snapshot.of(deployment).databases, in_container=False).variables
    url = urlsplit(given["DATABASE_URL"].reveal())
    assert (url.scheme, url.username, url.password) == ("postgresql", f"bakery_db_{database.pk}_a", PASSWORD)
    assert (url.hostname, url.path) == ("127.0.0.1", f"/bakery_db_{database.pk}")
    attach(database, deployment, by=None, pg_variables=True)
    given = inject(Snapshot.of(deployment).databases, in_container=False).variables
    assert given["PGPASSWORD"].reveal() == PASSWORD
    assert given["PGDATABASE"].reveal() == f"bakery_db_{database.pk}"
    assert {"PGHOST", "PGPORT", "PGUSER"} <= given.keys()


def test_a_container_is_given_the_gateway_where_the_hosts_own_address_would_be_its_own() -> None:
    deployment, database = make_deployment(), make_database()
    attach(database, deployment, by=None)
    attached = Snapshot.of(deployment).databases
    outside, inside = (
        urlsplit(inject(attached, in_container=there).variables["DATABASE_URL"].reveal()) for there in (False, True)
    )
    assert inside.hostname == gateway() != outside.hostname
    assert (inside.port, inside.password) == (outside.port, outside.password)


@pytest.mark.parametrize("port", [None, 1])
def test_an_address_elsewhere_is_given_as_it_is_unless_a_container_cannot_reach_it(port: int | None) -> None:
    deployment = make_deployment()
    database = make_external("postgres://me:hush-hush-hush@db.example.com/data?sslmode=require")
    attach(database, deployment, by=None)
    attached = Snapshot.of(deployment).databases
    assert inject(attached, in_container=True).variables["DATABASE_URL"] == database.url
    own = urlsplit(settings.BAKERY.postgres_admin_url or settings.BAKERY.database_url).port or 5432
    Database.objects.filter(pk=database.pk).update(url=Secret(f"postgres://me:hush@localhost:{port or own}/data"))
    if port:
        with pytest.raises(Problem) as error:
            inject(attached, in_container=True)
        assert refusal(error) == "database.not-from-containers"
        return
    given = inject(attached, in_container=True).variables["DATABASE_URL"].reveal()
    assert given == f"postgres://me:hush@{gateway()}:{own}/data"


def test_a_variable_and_a_database_of_one_name_are_refused_both_ways() -> None:
    deployment, database = make_deployment(), make_database()
    set_env(deployment, by=None, values={"DATABASE_URL": "postgres://old", "PGUSER": "me"})
    with pytest.raises(Refused, match="has an environment variable DATABASE_URL") as error:
        attach(database, deployment, by=None)
    assert refusal(error) == "database.variable-taken"
    with pytest.raises(Refused, match="has an environment variable PGUSER"):
        attach(database, deployment, by=None, variable="DATA", pg_variables=True)
    attach(database, deployment, by=None, variable="DATA")
    with pytest.raises(Refused, match="DATA is the address of the database shop-data") as error:
        set_env(deployment, by=None, values={"FINE": "1", "DATA": "x"})
    assert refusal(error) == "env.attached"
    assert not deployment.env_vars.filter(name="FINE").exists()
    set_env(deployment, by=None, values={"DATA": "for the build alone"}, run_time=False)


def test_two_databases_have_two_variables_and_one_can_be_shared() -> None:
    shop, blog = make_deployment(), make_deployment("blog")
    first, second = make_database(), make_database("more-data")
    attach(first, shop, by=None, pg_variables=True)
    with pytest.raises(Refused, match="has the database shop-data as DATABASE_URL"):
        attach(second, shop, by=None)
    with pytest.raises(Refused, match="as PGDATABASE"):
        attach(second, shop, by=None, variable="MORE", pg_variables=True)
    attach(second, shop, by=None, variable="MORE")
    attach(first, blog, by=None, variable="SHOP_URL")
    given = inject(Snapshot.of(shop).databases, in_container=False).variables
    assert {"DATABASE_URL", "MORE"} <= given.keys() and given["MORE"] != given["DATABASE_URL"]
    shared = inject(Snapshot.of(blog).databases, in_container=False).variables
    assert shared == {"SHOP_URL": given["DATABASE_URL"]}


@pytest.mark.parametrize("name", ["PORT", "1X", "A-B", "BAKERY_X"])
def test_a_name_that_is_no_variables_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        attach(make_database(), make_deployment(), by=None, variable=name)


def test_nothing_is_attached_to_what_is_going() -> None:
    deployment, database = make_deployment(), make_database(state=DatabaseState.DROPPING)
    with pytest.raises(Problem) as error:
        attach(database, deployment, by=None)
    assert refusal(error) == "database.dropping"
    Deployment.objects.filter(pk=deployment.pk).update(deleting=True)
    with pytest.raises(Problem) as error:
        attach(make_database("other"), deployment, by=None)
    assert refusal(error) == "deployment.deleting"


def test_a_database_that_cannot_be_used_is_named_with_who_wants_it_and_what_to_do() -> None:
    deployment, database = make_deployment(), make_database()
    attach(database, deployment, by=None)
    attached = Snapshot.of(deployment).databases
    for state, expected in (("creating", "database.not-ready"), ("failed", "database.failed")):
        Database.objects.filter(pk=database.pk).update(state=state, problem="There is no room.")
        with pytest.raises(Problem, match="v3 of shop wants the database shop-data in DATABASE_URL") as error:
            inject(attached, in_container=False, wanted_by="v3 of shop")
        assert refusal(error) == expected and error.value.hint
    database.delete()
    with pytest.raises(Problem, match="v3 of shop wants the database shop-data in DATABASE_URL, and that was") as error:
        inject(attached, in_container=False, wanted_by="v3 of shop")
    assert refusal(error) == "database.gone"


def test_a_snapshot_holds_no_password_and_one_of_before_there_were_databases_is_read() -> None:
    deployment, database = make_deployment(), make_database()
    attach(database, deployment, by=None, variable="DATA")
    kept = json.loads(Snapshot.of(deployment).to_secret().reveal())
    assert kept["databases"] == [
        {"variable": "DATA", "database": database.pk, "name": "shop-data", "pg_variables": False}
    ]
    assert PASSWORD not in json.dumps(kept)
    del kept["databases"]
    old = Release(snapshot=Secret(json.dumps(kept)))
    assert Snapshot.from_release(old).databases == ()


def test_what_is_attached_or_detached_since_is_due_with_the_next_deploy() -> None:
    deployment, database = make_deployment(), make_database()
    assert due(deployment) == []
    serve(deployment)
    attachment = attach(database, deployment, by=None)
    assert due(deployment) == ["DATABASE_URL becomes the address of shop-data with the next deploy."]
    assert not_live_yet(deployment) == ["env DATABASE_URL"]
    serve(deployment)
    assert due(deployment) == [] == not_live_yet(deployment)
    detach(attachment, by=None)
    assert due(deployment) == ["DATABASE_URL, the address of shop-data, goes with the next deploy."]
    assert [found.verb for found in what_is_due(deployment)] == ["deploy"]


def test_a_password_that_is_newer_than_the_process_is_due_with_a_restart() -> None:
    deployment, database = make_deployment(), make_database()
    attach(database, deployment, by=None)
    slot = serve(deployment)
    Database.objects.filter(pk=database.pk).update(login="b", password=Secret("another-password"))
    found = what_is_due(Deployment.objects.get(pk=deployment.pk))
    assert [one.verb for one in found] == ["restart"] and "shop-data" in found[0].said
    Deployment.objects.filter(pk=deployment.pk).update(stopped=True)
    assert due(Deployment.objects.get(pk=deployment.pk)) == []  # a start brings it
    assert PASSWORD not in json.dumps(slot.databases)


def test_a_log_shows_no_password_that_a_database_has_had_meanwhile() -> None:
    deployment, database = make_deployment(), make_database()
    attach(database, deployment, by=None)
    slot = serve(deployment)
    assert slot.release
    masker = ReleaseMasker(slot.release)
    Database.objects.filter(pk=database.pk).update(next_password=Secret("the-next-password"))
    masker.refresh()
    Database.objects.filter(pk=database.pk).update(password=Secret("the-third-password"), next_password=Secret(""))
    masker.refresh()
    line = f"{PASSWORD} the-next-password the-third-password"
    assert masker.mask(line) == "[secret] [secret] [secret]"


def test_the_password_within_an_address_elsewhere_is_hidden_too() -> None:
    database = make_external("postgres://me:p%40ss%2Fword-123@db.example.com/data")
    masker = Masker(secrets_of([Attached("DATABASE_URL", database.pk, database.name)]))
    for shown in ("p@ss/word-123", "p%40ss%2Fword-123", database.url.reveal()):
        assert masker.mask(f"x {shown} y") == "x [secret] y"


def test_what_is_hidden_are_passwords_and_not_names() -> None:
    deployment, database = make_deployment(), make_database()
    attach(database, deployment, by=None, pg_variables=True)
    found = inject(Snapshot.of(deployment).databases, in_container=False)
    shown = Masker(found.secrets).mask(found.variables["DATABASE_URL"].reveal())
    assert f"bakery_db_{database.pk}_a:[secret]@" in shown


def test_with_a_deployment_go_the_databases_that_were_made_for_it_and_that_nobody_else_uses() -> None:
    shop, blog = make_deployment(), make_deployment("blog")
    own, shared = make_database("own", deployment=shop), make_database("shared", deployment=shop)
    make_database("of-blog", deployment=blog)
    make_database("going", deployment=shop, state=DatabaseState.DROPPING)
    for database in (own, shared):
        attach(database, shop, by=None, variable=f"{database.name.upper()}_URL")
    attach(shared, blog, by=None)
    external = make_external("postgres://me@db.example.com/data")
    Database.objects.filter(pk=external.pk).update(deployment=shop)
    assert [database.name for database in databases_to_drop(shop)] == ["own"]
    assert not Task.objects.filter(kind=TaskKind.DROP_DATABASE).exists()


def test_one_that_is_made_again_stays_its_deployments() -> None:
    shop = make_deployment()
    lost = make_database(deployment=shop, state=DatabaseState.FAILED, problem="It is not here.")
    again = create_database(lost.name, by=None)
    assert (again.pk, again.deployment, again.password) == (lost.pk, shop, lost.password)


def test_a_deployment_and_its_database_are_made_together_or_not_at_all() -> None:
    shop = create_deployment(by=None, name="shop", repository="https://example.com/shop.git", database=True)
    (attached,) = Snapshot.of(shop).databases
    assert (attached.variable, attached.name) == ("DATABASE_URL", "shop")
    assert Database.objects.get(pk=attached.database).deployment == shop
    assert Task.objects.filter(kind=TaskKind.CREATE_DATABASE, database=attached.database).exists()
    make_database("blog")
    with pytest.raises(ValidationError) as error:
        create_deployment(by=None, name="blog", repository="https://example.com/blog.git", database=True)
    assert "The database blog:" in error.value.message_dict["database"][0]
    with pytest.raises(ValidationError) as error:
        create_deployment(
            by=None, name="wiki", repository="https://example.com/w.git", env={"DATABASE_URL": "x"}, database=True
        )
    assert "has an environment variable DATABASE_URL" in error.value.message_dict["database"][0]
    assert not Deployment.objects.filter(name__in=["blog", "wiki"]).exists()
