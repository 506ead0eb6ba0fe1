from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import User
from bakery.models import Task, TaskKind, TaskState
from bakery.roles import Role
from deployments.models import Deployment, EnvVar, LogChunk, LogStream, Release, ReleaseState, StreamKind
from deployments.services import requests
from deployments.services.settings import create_deployment
from tests.integration.people import PASSWORD, alice, bob, charlie

pytestmark = pytest.mark.django_db
REPOSITORY = "https://example.com/shop.git"


def run(*argv: str) -> str:
    out = StringIO()
    call_command(*argv, stdout=out, stderr=out)
    return out.getvalue()


def data(*argv: str) -> Any:
    return json.loads(run(*argv, "--json"))


def refused(*argv: str, code: int = 1) -> str:
    with pytest.raises(CommandError) as caught:
        run(*argv)
    assert caught.value.returncode == code
    return str(caught.value)


@pytest.fixture
def shop() -> Deployment:
    return create_deployment(by=None, name="shop", repository=REPOSITORY)


def finished(task: Task, state: TaskState, **changes: str) -> None:
    """What a worker does at the end, without the work."""
    Task.objects.filter(pk=task.pk).update(state=state, ended_at=timezone.now(), **changes)


def test_an_admin_is_made_once_and_reset_when_asked() -> None:
    first = data("create_admin", "Alice@Example.com")
    assert first["created"] is True
    assert User.objects.get(email="alice@example.com").check_password(first["password"])
    assert "--reset" in refused("create_admin", "alice@example.com")
    second = data("create_admin", "alice@example.com", "--reset")
    assert second["created"] is False
    assert User.objects.get(email="alice@example.com").check_password(second["password"])


def test_an_admin_gets_the_given_password_and_it_is_not_printed() -> None:
    assert PASSWORD not in run("create_admin", "alice@example.com", PASSWORD)
    assert User.objects.get().check_password(PASSWORD)


@pytest.mark.parametrize("argv", [("nonsense",), ("a@example.com", "short"), ("a@example.com", "123456789012")])
def test_an_admin_needs_an_address_and_a_strong_password(argv: tuple[str, ...]) -> None:
    refused("create_admin", *argv)
    assert not User.objects.exists()


def test_reset_makes_a_viewer_who_was_shut_out_an_admin_again() -> None:
    User.objects.create_user("zoe@example.com", PASSWORD, is_active=False)
    run("create_admin", "zoe@example.com", "--reset")
    zoe = User.objects.get()
    assert (zoe.role, zoe.is_active) == (Role.ADMIN, True)


def test_the_last_admin_stays_one() -> None:
    alice()
    assert "last active admin" in refused("set_role", "alice@example.com", "viewer")
    assert "last active admin" in refused("set_role", "alice@example.com", "--inactive")
    bob()
    run("set_role", "bob@example.com", "admin")
    run("set_role", "alice@example.com", "viewer")
    assert {row["email"]: row["role"] for row in data("list_users")} == {
        "alice@example.com": "viewer",
        "bob@example.com": "admin",
    }


def test_a_deployment_is_made_with_all_that_was_said(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("A=from file\nB=kept\n")
    made = data(
        *("create_deployment", "shop", "--repo", REPOSITORY, "--branch", "next", "--base-dir", "apps/web"),
        *("--runtime", "bun", "--no-blue-green", "--one-writer", "--health-path", "/healthz"),
        *(
            "--build-command",
            "bun run make",
            "--start-command",
            "bun run serve",
            "--pre-deploy-command",
            "bun run migrate",
        ),
        *("--env", "A=1", "C=x=y", "--env-file", str(env_file), "--persistent", "data", "uploads"),
        *("--set", "memory_mb=256", "drain_seconds=5"),
    )
    settings = made["settings"]
    assert made["url"].startswith("http://shop.")
    assert made["persistent"] == ["data", "uploads"]
    assert (settings["branch"], settings["base_directory"], settings["runtime"]) == ("next", "apps/web", "bun")
    assert (settings["blue_green"], settings["one_writer"]) == (False, True)
    assert (settings["memory_mb"], settings["drain_seconds"]) == (256, 5)
    assert settings["pre_deploy_command"] == "bun run migrate"
    values = {variable.name: variable.value.reveal() for variable in EnvVar.objects.all()}
    assert values == {"A": "1", "B": "kept", "C": "x=y"}


@pytest.mark.parametrize(
    "argv",
    [
        ("Shop!", "--repo", REPOSITORY),
        ("shop", "--repo", "ftp://example.com/x"),
        ("shop", "--repo", REPOSITORY, "--base-dir", "../x"),
        ("shop", "--repo", REPOSITORY, "--env", "PORT=1"),
        ("shop", "--repo", REPOSITORY, "--set", "memory_mb=1"),
        ("shop", "--repo", REPOSITORY, "--persistent", "/etc"),
        ("shop", "--repo", REPOSITORY, "--env-file", "/does/not/exist"),
    ],
)
def test_a_deployment_that_cannot_be_is_refused_in_words(argv: tuple[str, ...]) -> None:
    assert refused("create_deployment", *argv)
    assert not Deployment.objects.exists()


@pytest.mark.parametrize("last", [("--env", "A"), ("--set", "colour=red"), ("--branch", "a", "--set", "branch=b")])
def test_a_command_that_is_written_wrongly_ends_with_2(last: tuple[str, ...]) -> None:
    refused("create_deployment", "shop", "--repo", REPOSITORY, *last, code=2)


def test_a_name_is_given_once(shop: Deployment) -> None:
    assert "name" in refused("create_deployment", "shop", "--repo", REPOSITORY)


def test_an_unknown_deployment_is_answered_with_those_that_there_are(shop: Deployment) -> None:
    assert "There are: shop." in refused("deploy", "shoop")


def test_variables_are_set_listed_unset_and_imported(shop: Deployment, tmp_path: Path) -> None:
    run("env", "shop", "set", "A=1", "B=two words", "--run-only")
    assert "two words" not in run("env", "shop", "list")
    assert data("env", "shop", "list", "--reveal")[1] == {
        "name": "B",
        "value": "two words",
        "build_time": False,
        "run_time": True,
    }
    assert [sorted(row) for row in data("env", "shop", "list")] == [["build_time", "name", "run_time"]] * 2
    run("env", "shop", "unset", "A")
    assert "no variable A" in refused("env", "shop", "unset", "A")
    (tmp_path / "more.env").write_text("C='$literal'\n")
    run("env", "shop", "import", str(tmp_path / "more.env"))
    assert shop.env_vars.get(name="C").value.reveal() == "$literal"
    refused("env", "shop", "set", code=2)
    refused("env", "shop", "set", "9=1")


def test_a_deploy_that_is_not_waited_for_is_a_queued_task(shop: Deployment) -> None:
    queued = data("deploy", "shop", "--ref", "v1.2", "--no-wait")
    assert (queued["state"], queued["kind"], queued["release"]) == ("queued", "deploy", 1)
    assert Release.objects.get().ref == "v1.2"
    assert "queued" in run("status", "shop").lower()


def test_a_command_is_recorded_under_the_person_it_was_given_for(shop: Deployment) -> None:
    bob()
    assert data("deploy", "shop", "--no-wait", "--as", "bob@example.com")["requested_by"] == "bob@example.com"


def test_a_role_that_may_not_is_refused(shop: Deployment) -> None:
    charlie()
    assert "may not" in refused("deploy", "shop", "--as", "charlie@example.com")
    assert "may not" in refused("env", "shop", "list", "--as", "charlie@example.com")
    assert "shop" in run("status", "--as", "charlie@example.com")
    assert not Task.objects.exists()


@pytest.mark.parametrize(
    ("state", "error", "said"),
    [
        (TaskState.FAILED, "The repository has no branch “next”.", "no branch “next”"),
        (TaskState.CANCELLED, "", "was cancelled"),
        (TaskState.SUPERSEDED, "", "gave way"),
    ],
)
def test_a_deploy_that_does_not_succeed_says_why(
    shop: Deployment, monkeypatch: pytest.MonkeyPatch, state: TaskState, error: str, said: str
) -> None:
    asked = requests.deploy

    def ended(*args: Any, **options: Any) -> Task:
        task = asked(*args, **options)
        finished(task, state, error_message=error)
        return task

    monkeypatch.setattr(requests, "deploy", ended)
    assert said in refused("deploy", "shop")


def test_waiting_prints_the_steps_and_the_log(shop: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = requests.deploy

    def ended(*args: Any, **options: Any) -> Task:
        task = asked(*args, **options)
        assert task.release
        task.steps.create(phase="build", state=TaskState.SUCCEEDED)
        log(task.release, StreamKind.BUILD, "bundled 3 modules\n", "done\n")
        finished(task, TaskState.SUCCEEDED)
        return task

    monkeypatch.setattr(requests, "deploy", ended)
    said = run("deploy", "shop")
    assert "→ build" in said
    assert "bundled 3 modules\ndone\n" in said
    assert "shop v1 is live: http://shop." in said


def log(release: Release, kind: StreamKind, *chunks: str) -> LogStream:
    stream = LogStream.objects.create(kind=kind, deployment=release.deployment, release=release)
    line = 0
    for seq, text in enumerate(chunks, start=1):
        count = text.count("\n")
        LogChunk.objects.create(
            stream=stream,
            seq=seq,
            first_line=line,
            line_count=count,
            byte_offset=0,
            created_at=timezone.now(),
            data=text,
        )
        line += count
    LogStream.objects.filter(pk=stream.pk).update(next_seq=len(chunks) + 1, line_count=line)
    return stream


def test_the_last_lines_of_a_log_are_printed(shop: Deployment) -> None:
    release = requests.deploy(shop, by=None).release
    assert release
    log(release, StreamKind.PROCESS, "one\ntwo\n", "three\n")
    assert run("logs", "shop", "--lines", "2") == "two\nthree\n"
    assert run("logs", "shop", "--release", "v1", "--lines", "0") == "one\ntwo\nthree\n"
    assert "no build log" in refused("logs", "shop", "--build")
    assert "no release v7" in refused("logs", "shop", "--release", "v7")


def test_cancelling_ends_what_waits(shop: Deployment) -> None:
    assert "doing nothing" in refused("cancel", "shop")
    task = requests.deploy(shop, by=None)
    run("cancel", "shop")
    task.refresh_from_db()
    assert task.state == TaskState.CANCELLED


@pytest.mark.parametrize("verb", ["restart", "stop", "start"])
def test_what_needs_a_release_says_so(shop: Deployment, verb: str) -> None:
    assert "no release yet" in refused(verb, "shop")


def test_rolling_back_needs_a_release_to_go_back_to(shop: Deployment) -> None:
    assert "no earlier release" in refused("rollback", "shop")
    Release.objects.create(deployment=shop, number=7, ref="main", snapshot="{}", state=ReleaseState.FAILED)
    assert "failed" in refused("rollback", "shop", "--to", "v7")


def test_deleting_asks_first(shop: Deployment) -> None:
    assert "--yes" in refused("delete_deployment", "shop", code=2)
    assert data("delete_deployment", "shop", "--yes", "--no-wait")["kind"] == TaskKind.DELETE
    shop.refresh_from_db()
    assert shop.deleting


def test_the_status_of_everything_is_a_table_or_json(shop: Deployment) -> None:
    assert run("status").splitlines()[0].split() == ["NAME", "STATUS", "RELEASE", "COMMIT", "SEEN", "ADDRESS"]
    assert [row["name"] for row in data("status")] == ["shop"]
    detail = data("status", "shop")
    assert (detail["status"]["key"], detail["releases"], detail["tasks"]) == ("never", [], [])
