"""What people give Bakery that cannot work: each ends in a failed release that says why, and the old one serves on."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest

from infrastructure.which import which
from tests.instance import Instance
from tests.integration import apps
from tests.integration.apps import AppRepository
from tests.integration.conftest import MakeApp
from tests.integration.driving import Driven

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Driven:
    """A release that serves, and that every failure must leave alone."""
    repository = AppRepository(tmp_path_factory.mktemp("robust") / "app", apps.healthy("good"))
    driven = Driven(instance, "robust", repository).create(probe_timeout=8, memory_mb=128, watch_seconds=0)
    task = driven.deploy()
    assert task["state"] == "succeeded", driven.build_log()
    return driven


BAD = {
    "app.exited": (apps.exits("cannot find my settings"), "ended with code", "cannot find my settings"),
    "app.never-listened": (apps.never_listens(), "nothing listens on port", "I only think"),
    "app.unhealthy": (apps.answers(500), "it answers 500", ""),
    "app.out-of-memory": (apps.fills_memory(), "more memory than its limit", ""),
    "build.no-start-script": (apps.without_start_script(), "no “start” script", ""),
    "build.failed": (apps.build_fails("the types do not fit"), "ended with exit code 2", "the types do not fit"),
    "build.no-package-json": ({"README": "nothing to run"}, "neither a Dockerfile nor a package.json", ""),
    "build.package-json": ({"package.json": "{,}"}, "not valid JSON", ""),
}


def refused(app: Driven, error_id: str) -> Mapping[str, str]:
    """Deploy, see that it failed for that reason and that nothing else changed; the task."""
    task = app.deploy()
    assert (task["state"], task["error_id"]) == ("failed", error_id), f"{task}\n{app.build_log()}"
    release = app.releases[0]
    assert (release["state"], release["error_id"]) == ("failed", error_id)
    assert release["error_message"] == task["error_message"] and task["error_message"] in app.build_log()
    assert app.version() == "good"
    assert "live" in app.states
    return task


@pytest.mark.parametrize("error_id", BAD)
def test_a_broken_commit_fails_in_words_and_the_old_release_serves(app: Driven, error_id: str) -> None:
    files, message, logged = BAD[error_id]
    app.repository.commit(files)
    task = refused(app, error_id)
    assert message in task["error_message"]
    assert logged in app.build_log()


def test_an_app_on_the_wrong_port_is_told_where_to_listen(app: Driven) -> None:
    app.repository.commit(apps.listens_on_the_wrong_port())
    task = refused(app, "app.never-listened")
    assert "PORT" in task["error_hint"]


def test_what_failed_leaves_no_process_and_no_files(app: Driven) -> None:
    app.repository.commit(apps.never_listens())
    refused(app, "app.never-listened")
    failed = app.releases[0]
    assert not (app.instance.data_dir / "builds" / str(app.id) / str(failed["id"])).exists()
    slot = next(slot for slot in app.slots if slot["release_id"] == failed["id"])
    name = f"bakery-deployment-{app.id}-{slot['name']}"
    assert not [p for p in psutil.process_iter(["cmdline"]) if name in " ".join(p.info["cmdline"] or [])]


def test_a_release_that_ignores_sigterm_is_killed_after_its_grace(make_app: MakeApp) -> None:
    app = make_app(apps.ignores_sigterm("deaf"), watch_seconds=0, grace_seconds=1)
    assert app.deploy()["state"] == "succeeded"
    pid = int(app.get("/pid").text)
    app.repository.commit(apps.healthy("polite"))
    assert app.deploy()["state"] == "succeeded", app.build_log()
    assert app.version() == "polite"
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_pre_deploy_command_that_fails_stops_the_deploy(make_app: MakeApp) -> None:
    app = make_app(apps.healthy("good") | {"migrate.ts": 'console.log("migrated");'}, watch_seconds=0)
    app.instance.manage("delete_deployment", app.name, "--yes")
    app.create("--pre-deploy-command", "bun migrate.ts", watch_seconds=0)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    assert "migrated" in app.build_log()
    app.repository.commit(apps.healthy("bad") | {"migrate.ts": 'throw new Error("no such column");'})
    refused(app, "app.pre-deploy-failed")
    assert "no such column" in app.build_log()


def test_a_branch_that_does_not_exist(app: Driven) -> None:
    task = app.deploy(ref="nowhere")
    assert (task["state"], task["error_id"]) == ("failed", "git.no-such-branch"), task
    assert "nowhere" in task["error_message"]
    assert app.version() == "good"


def test_a_commit_that_does_not_exist(app: Driven) -> None:
    task = app.deploy(ref="0123456789" * 4)
    assert task["error_id"] == "git.no-such-branch", task
    assert app.version() == "good"


def test_a_repository_that_does_not_exist(app: Driven) -> None:
    hidden = app.repository.directory.rename(app.repository.directory.with_name("hidden"))
    try:
        task = app.deploy()
    finally:
        hidden.rename(app.repository.directory)
    assert (task["state"], task["error_id"]) == ("failed", "git.not-found"), task
    assert app.version() == "good"


def test_a_base_directory_that_does_not_exist(make_app: MakeApp) -> None:
    app = make_app(apps.healthy(), "--base-dir", "apps/web")
    task = app.deploy()
    assert (task["state"], task["error_id"]) == ("failed", "git.no-such-directory"), task
    assert "apps/web" in task["error_message"]
    assert "did not succeed" in app.get().text or app.get().status_code in (404, 503)
    app.repository.commit(apps.in_directory("apps/web", apps.healthy("nested")))
    assert app.deploy()["state"] == "succeeded", app.build_log()
    assert app.version() == "nested"


def test_a_name_can_be_taken_once(app: Driven) -> None:
    done = app.instance.manage("create_deployment", app.name, "--repo", app.repository.url, check=False)
    assert done.returncode == 1
    assert "already" in done.stderr


UNUSABLE: dict[str, Callable[[], str]] = {
    "a newline in the name": lambda: "'A\nB=x'",
    "a hyphen in the name": lambda: "A-B=x",
    "a reserved name": lambda: "PORT=1",
    "a megabyte": lambda: f"BIG={'x' * 1_048_576}",
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_variable_that_cannot_be_is_refused(app: Driven, what: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(UNUSABLE[what]())
    done = app.instance.manage("env", app.name, "import", str(file), check=False)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert json.loads(app.instance.manage("env", app.name, "list", "--json").stdout) == []


def test_a_nul_in_a_value_is_refused(app: Driven) -> None:
    done = app.instance.manage("env", app.name, "set", "A", stdin="one\0two\n", check=False)
    assert done.returncode == 1
    assert "NUL" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="a full disk is made with a small tmpfs, which takes root")
def test_a_disk_without_room_stops_a_deploy_before_it_begins(app: Driven) -> None:
    builds = app.instance.data_dir / "builds"
    assert which("mount")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(builds)], check=True)
    try:
        app.repository.commit(apps.healthy("never"))
        refused(app, "disk.full")
    finally:
        subprocess.run(["umount", str(builds)], check=True)


def test_when_all_ports_are_taken_no_further_deployment_is_made(instance: Instance, make_app: MakeApp) -> None:
    app = make_app(apps.healthy())
    taken = [slot["port"] for slot in app.slots]
    done = instance.manage(
        "shell", "-c", PORTS.format(name="one-too-many", url=app.repository.url, first=min(taken), last=max(taken))
    )
    assert "ports.exhausted" in done.stdout, done.stdout
    assert "one-too-many" not in instance.manage("status").stdout


# The range is a setting of the whole instance: here one process sees it narrowed to what is taken.
PORTS = """
import dataclasses
from django.conf import settings
from infrastructure.errors import Problem
from deployments.services.settings import create_deployment
settings.BAKERY = dataclasses.replace(settings.BAKERY, port_range=({first}, {last}))
try:
    create_deployment(by=None, name="{name}", repository="{url}")
except Problem as problem:
    print(problem.id, problem.message, problem.hint)
"""
