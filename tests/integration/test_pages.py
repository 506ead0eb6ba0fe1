"""The pages, as a person with a browser meets them."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.utils import timezone

from bakery.models import Task, TaskKind, TaskState, TaskStep
from deployments.models import Deployment, Release, ReleaseState
from deployments.services.settings import create_deployment
from deployments.services.snapshot import Snapshot
from tests.integration.people import alice, bob, browser, charlie

pytestmark = pytest.mark.django_db
SECRET = "value-that-nobody-may-see"
NEW = {
    "name": "blog",
    "repository": "https://example.com/blog.git",
    "branch": "main",
    "runtime": "auto",
    "blue_green": "on",
    "health_path": "/",
    "memory_mb": "512",
    "cpu_percent": "100",
    "max_processes": "256",
    "build_memory_mb": "2048",
    "build_disk_mb": "4096",
    "build_timeout": "900",
    "probe_timeout": "60",
    "drain_seconds": "30",
    "grace_seconds": "10",
    "watch_seconds": "10",
    "request_timeout": "60",
    "max_body_mb": "64",
}


@pytest.fixture
def shop() -> Deployment:
    return create_deployment(by=None, name="shop", repository="https://example.com/shop.git", env={"TOKEN": SECRET})


def released(shop: Deployment, number: int, state: ReleaseState, **fields: object) -> Release:
    release = Release.objects.create(
        deployment=shop,
        number=number,
        ref="main",
        state=state,
        artifact="/somewhere",
        switched_at=timezone.now(),
        snapshot=Snapshot.of(shop).to_secret(),
        **fields,
    )
    Deployment.objects.filter(pk=shop.pk).update(next_release_number=number + 1)
    if state == ReleaseState.LIVE:
        Deployment.objects.filter(pk=shop.pk).update(current_release=release)
    return release


def test_an_empty_host_says_what_to_do_first() -> None:
    assert "Give Bakery a git repository" in browser(bob()).get("/").content.decode()
    page = browser(charlie()).get("/").content.decode()
    assert "Somebody with the role deployer or admin can create one" in page
    assert "/deployments/new" not in page


def test_a_viewer_sees_every_page_without_a_button_that_changes_something(shop: Deployment) -> None:
    released(shop, 1, ReleaseState.RETAINED)
    released(shop, 2, ReleaseState.LIVE)
    client = browser(charlie())
    for page in ("", "/releases", "/environment", "/settings", "/logs"):
        html = client.get(f"/deployments/{shop.pk}{page}").content.decode()
        actions = set(re.findall(r'<form[^>]*method="post"[^>]*action="([^"]*)"', html))
        assert actions <= {"/auth/logout", f"/deployments/{shop.pk}/settings"}, page
        assert "Save" not in html
        assert "Reveal" not in html


def test_values_of_variables_are_on_no_page_until_somebody_who_may_asks(shop: Deployment) -> None:
    released(shop, 1, ReleaseState.LIVE)
    variable = shop.env_vars.get()
    for person in (charlie(), bob(), alice()):
        for page in ("", "/releases", "/environment", "/settings", "/logs"):
            assert SECRET not in browser(person).get(f"/deployments/{shop.pk}{page}").content.decode()
    address = f"/deployments/{shop.pk}/environment/{variable.pk}/value"
    shown = browser(bob()).get(address)
    assert SECRET in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    assert SECRET not in browser(bob()).get(f"{address}?hide=1").content.decode()


def test_a_deployment_is_created_with_its_variables_and_deployed() -> None:
    form = {**NEW, "env": "API_KEY=abc\nexport LEVEL='debug'", "persistent": "data\n ./uploads/ \n", "deploy": "1"}
    response = browser(bob()).post("/deployments/new", form)
    made = Deployment.objects.get(name="blog")
    assert (response.status_code, response["Location"]) == (302, f"/deployments/{made.pk}")
    assert {v.name: v.value.reveal() for v in made.env_vars.all()} == {"API_KEY": "abc", "LEVEL": "debug"}
    assert [d.path for d in made.persistent_directories.all()] == ["data", "uploads"]
    assert [task.kind for task in made.tasks.all()] == [TaskKind.DEPLOY]
    assert made.created_by == bob()


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("name", "My Shop", "small letters, digits and hyphens"),
        ("name", "admin", "is reserved"),
        ("name", "", "required"),
        ("repository", "https://user:pass@example.com/x.git", "user name or a password"),
        ("repository", "--upload-pack=touch /tmp/x", "no repository address has"),
        ("branch", "-x", "no branch"),
        ("base_directory", "../etc", "inside the repository"),
        ("health_path", "healthz", "begins with one slash"),
        ("build_command", "bun run build\nrm -rf /", "one line"),
        ("memory_mb", "1", "greater than or equal to 32"),
        ("memory_mb", "lots", "whole number"),
        ("env", "NAME=1\nno equals sign", "Line 2"),
        ("env", "PORT=80", "Bakery sets this one itself"),
        ("persistent", "data\ndata/cache", "keep one of them"),
    ],
)
def test_bad_input_is_refused_beside_its_field_and_nothing_typed_is_lost(field: str, typed: str, said: str) -> None:
    response = browser(bob()).post("/deployments/new", {**NEW, "start_command": "bun serve.ts", field: typed})
    page = response.content.decode()
    assert response.status_code == 422
    assert not Deployment.objects.exists()
    error = re.search(rf'id="id_{field}_error">(.*?)</ul>', page, re.DOTALL)
    assert error, "the error stands beside the field"
    assert said in error[1].replace("&#x27;", "'")
    assert "bun serve.ts" in page
    assert f'id="id_{field}"' in page
    kept = {**NEW, field: typed}
    assert all(value in page for name, value in kept.items() if name in ("name", "repository") and "<" not in value)


def test_two_deployments_cannot_have_one_name(shop: Deployment) -> None:
    page = browser(bob()).post("/deployments/new", {**NEW, "name": shop.name}).content.decode()
    assert "already exists" in page
    assert Deployment.objects.count() == 1


def test_what_is_typed_is_shown_as_text_and_never_as_markup(shop: Deployment) -> None:
    evil = '"><script>alert(1)</script>'
    client = browser(bob())
    pages = [
        client.post("/deployments/new", {**NEW, "name": evil, "env": evil}),
        client.get("/deployments", {"q": evil}),
        client.post(f"/deployments/{shop.pk}/environment/add", {"name": evil, "value": evil, "run_time": "on"}),
        client.post(f"/deployments/{shop.pk}/deploy", {"ref": evil}, follow=True),
    ]
    assert all("<script>alert" not in page.content.decode() for page in pages)


def test_settings_are_saved_and_said_to_be_not_live_yet(shop: Deployment) -> None:
    released(shop, 1, ReleaseState.LIVE)
    client = browser(bob())
    form = {**NEW, "repository": shop.repository, "memory_mb": "1024", "persistent": "data"}
    page = client.post(f"/deployments/{shop.pk}/settings", form, follow=True).content.decode()
    shop.refresh_from_db()
    assert shop.memory_mb == 1024
    assert "Not live yet:</strong> Memory, Persistent directories" in page
    assert "Redeploy" in page
    client.post(f"/deployments/{shop.pk}/settings", {**form, "memory_mb": "512", "persistent": ""})
    assert "Not live yet" not in client.get(f"/deployments/{shop.pk}/settings").content.decode()


def test_a_refused_setting_changes_nothing(shop: Deployment) -> None:
    form = {**NEW, "repository": shop.repository, "branch": "next", "health_path": "no-slash"}
    response = browser(bob()).post(f"/deployments/{shop.pk}/settings", form)
    assert response.status_code == 422
    shop.refresh_from_db()
    assert shop.branch == "main"


def test_variables_are_added_changed_pasted_and_removed(shop: Deployment) -> None:
    client, base = browser(bob()), f"/deployments/{shop.pk}/environment"
    client.post(f"{base}/add", {"name": "KEY", "value": "line 1\r\nline 2\r\n", "run_time": "on"})
    key = shop.env_vars.get(name="KEY")
    assert (key.value.reveal(), key.build_time, key.run_time) == ("line 1\nline 2\n", False, True)
    client.post(f"{base}/{key.pk}", {"name": "OTHER", "value": "  spaces stay  ", "build_time": "on", "run_time": "on"})
    key.refresh_from_db()
    assert (key.name, key.value.reveal(), key.build_time) == ("KEY", "  spaces stay  ", True)
    client.post(f"{base}/paste", {"text": "KEY=new\nA=1\n# a comment\nB='two words'"})
    values = {v.name: v.value.reveal() for v in shop.env_vars.all()}
    assert values == {"TOKEN": SECRET, "KEY": "new", "A": "1", "B": "two words"}
    client.post(f"{base}/{key.pk}/remove")
    assert not shop.env_vars.filter(name="KEY").exists()


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"name": "1ST", "value": "x", "run_time": "on"}, "no digit at the beginning"),
        ({"name": "LD_PRELOAD", "value": "x", "run_time": "on"}, "Bakery sets this one itself"),
        ({"name": "NUL", "value": "a\0b", "run_time": "on"}, "Null characters are not allowed"),
        ({"name": "BIG", "value": "x" * 1_000_000, "run_time": "on"}, "the system takes at most"),
        ({"name": "NOWHERE", "value": "x"}, "Choose build, run or both"),
    ],
)
def test_a_variable_that_cannot_be_is_refused_in_words(shop: Deployment, form: dict[str, str], said: str) -> None:
    response = browser(bob()).post(f"/deployments/{shop.pk}/environment/add", form)
    assert response.status_code == 422
    assert said in response.content.decode()
    assert shop.env_vars.count() == 1


def test_a_broken_env_file_names_its_line_and_saves_nothing(shop: Deployment) -> None:
    typed = "GOOD=1\nBAD LINE"
    page = browser(bob()).post(f"/deployments/{shop.pk}/environment/paste", {"text": typed}).content.decode()
    assert "Line 2" in page
    assert "BAD LINE" in page
    assert shop.env_vars.count() == 1


def test_every_button_asks_for_what_it_says(shop: Deployment) -> None:
    old = released(shop, 1, ReleaseState.RETAINED)
    released(shop, 2, ReleaseState.LIVE)
    client = browser(bob())
    for verb in ("deploy", "restart", "stop", f"releases/{old.pk}/rollback"):
        assert client.get(f"/deployments/{shop.pk}/{verb}").status_code == 405
        client.post(f"/deployments/{shop.pk}/{verb}")
    asked = {(task.kind, task.requested_by) for task in shop.tasks.all()}
    kinds = (TaskKind.DEPLOY, TaskKind.RESTART, TaskKind.STOP, TaskKind.ROLLBACK)
    assert asked == {(kind, bob()) for kind in kinds}


def test_a_deploy_takes_the_ref_that_was_typed_or_says_why_not(shop: Deployment) -> None:
    client = browser(bob())
    client.post(f"/deployments/{shop.pk}/deploy", {"ref": "release/2.0"})
    assert shop.releases.get().ref == "release/2.0"
    page = client.post(f"/deployments/{shop.pk}/deploy", {"ref": "--help"}, follow=True).content.decode()
    assert "git has no branch, tag or commit of such a name" in page
    assert shop.releases.count() == 1


def test_a_queued_deploy_is_cancelled(shop: Deployment) -> None:
    client = browser(bob())
    client.post(f"/deployments/{shop.pk}/deploy")
    task = shop.tasks.get()
    client.post(f"/deployments/tasks/{task.pk}/cancel")
    task.refresh_from_db()
    assert task.state == TaskState.CANCELLED
    page = client.post(f"/deployments/tasks/{task.pk}/cancel", follow=True).content.decode()
    assert "cannot be cancelled any more" in page


@pytest.mark.parametrize(("state", "offered"), [(ReleaseState.BUILDING, True), (ReleaseState.DRAINING, False)])
def test_cancel_is_offered_until_the_release_serves(shop: Deployment, state: ReleaseState, offered: bool) -> None:
    running = {"kind": TaskKind.DEPLOY, "state": TaskState.RUNNING, "subject": "shop"}
    task = Task.objects.create(deployment=shop, release=released(shop, 1, state), **running)
    for path in (f"/deployments/{shop.pk}", f"/activity/{task.pk}"):
        assert (f"cancel-{task.pk}" in browser(bob()).get(path).content.decode()) is offered


def test_deleting_takes_the_name_typed_out(shop: Deployment) -> None:
    client = browser(bob())
    page = client.post(f"/deployments/{shop.pk}/delete", {"name": "ship"}, follow=True).content.decode()
    assert "Nothing was deleted" in page
    assert not shop.tasks.exists()
    answer = client.post(f"/deployments/{shop.pk}/delete", {"name": "shop"})
    assert answer["Location"] == "/deployments", "its own page is about to go"
    assert shop.tasks.get().kind == TaskKind.DELETE


def test_a_failed_deploy_is_explained_where_people_look(shop: Deployment) -> None:
    released(shop, 1, ReleaseState.LIVE)
    said = {"error_id": "build.failed", "error_message": "The build failed.", "error_hint": "Read its last lines."}
    failed = released(shop, 2, ReleaseState.FAILED, **said)
    task = Task.objects.create(
        kind=TaskKind.DEPLOY,
        subject="shop",
        deployment=shop,
        release=failed,
        state=TaskState.FAILED,
        error_blame="app",
        **said,
    )
    TaskStep.objects.create(task=task, phase="build", state=TaskState.FAILED)
    TaskStep.objects.create(task=task, phase="build", argv=["bun", "run", "build"], exit_code=1, state=TaskState.FAILED)
    client = browser(charlie())
    overview = client.get(f"/deployments/{shop.pk}").content.decode()
    assert "v2 failed." in overview
    assert "v1 is still serving" in overview
    feed = client.get(f"/activity/{task.pk}").content.decode()
    for words in ("The build failed.", "Read its last lines.", "build.failed", "bun run build", "exit 1"):
        assert words in feed


def test_the_feed_filters_and_pages_without_gaps(shop: Deployment) -> None:
    for number in range(60):
        state = TaskState.FAILED if number % 3 == 0 else TaskState.SUCCEEDED
        Task.objects.create(kind=TaskKind.RESTART, subject="shop", deployment=shop, state=state)
    client = browser(charlie())
    first = client.get("/activity").content.decode()
    assert first.count('href="/activity/') == 50
    older = re.search(r'href="(\?before=\d+)">Older', first)
    assert older
    second = client.get(f"/activity{older[1]}").content.decode()
    assert second.count('href="/activity/') == 10
    failed = client.get("/activity?state=failed&kind=restart").content.decode()
    assert failed.count('href="/activity/') == 20
    assert client.get("/activity?state=nonsense&before=x").status_code == 200


def test_the_search_finds_by_name_repository_and_branch(shop: Deployment) -> None:
    create_deployment(by=None, name="blog", repository="https://example.com/words.git", branch="production")
    client = browser(charlie())
    for query, found in (("SHO", "shop"), ("words", "blog"), ("production", "blog")):
        part = client.get("/deployments", {"q": query}, headers={"HX-Request": "true", "HX-Target": "deployments"})
        names = re.findall(r'class="title" href="[^"]*">([^<]*)<', part.content.decode())
        assert names == [found]
    assert "Nothing is called" in client.get("/deployments", {"q": "%"}).content.decode()


def test_a_part_is_given_alone_to_who_asks_for_it(shop: Deployment) -> None:
    client = browser(charlie())
    for address, part in (
        ("/", "deployments"),
        ("/", "host"),
        ("/", "running"),
        (f"/deployments/{shop.pk}", "head"),
        (f"/deployments/{shop.pk}", "work"),
        (f"/deployments/{shop.pk}/settings", "head"),
        ("/activity", "feed"),
    ):
        html = client.get(address, headers={"HX-Request": "true", "HX-Target": part}).content.decode().strip()
        assert f'id="{part}"' in html.split(">")[0]
        assert "<html" not in html


def test_a_part_asked_for_after_signing_out_leads_the_whole_page_to_sign_in() -> None:
    headers = {
        "HX-Request": "true",
        "HX-Target": "running",
        "HX-Current-URL": "http://testserver/activity?state=failed",
    }
    answer = Client().get("/", headers=headers)
    assert answer["HX-Redirect"] == "/auth/login?next=%2Factivity%3Fstate%3Dfailed"


def test_errors_are_pages_of_our_own(shop: Deployment) -> None:
    missing = browser(bob()).get("/deployments/999999")
    assert missing.status_code == 404
    assert "There is nothing here" in missing.content.decode()
    refused = browser(charlie()).get("/deployments/new")
    assert refused.status_code == 403
    assert "Your role (viewer) may not create a deployment" in refused.content.decode()


def test_a_fault_of_our_own_is_said_without_asking_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    client = browser(bob())
    client.raise_request_exception = False
    monkeypatch.setattr("bakery.views.host_figures", lambda _: 1 / 0)
    answer = client.get("/")
    assert answer.status_code == 500
    assert "Your applications are served by Nginx and are not affected" in answer.content.decode()


def test_every_answer_forbids_inline_code_and_frames(shop: Deployment) -> None:
    client = browser(alice())
    for address in ("/auth/login", "/", f"/deployments/{shop.pk}", "/nowhere", "/admin/"):
        answer = client.get(address)
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        html = answer.content.decode()
        assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?![^>]*src=)", html), address


def test_a_secret_that_cannot_be_decrypted_is_said_and_the_page_stays(shop: Deployment) -> None:
    from django.db import connection

    released(shop, 1, ReleaseState.LIVE)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE deployments_envvar SET value = 'gAAAAABnothing'")
    page = browser(bob()).get(f"/deployments/{shop.pk}/environment")
    assert page.status_code == 200
    assert "cannot be decrypted" in page.content.decode()
