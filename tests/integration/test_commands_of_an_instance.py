"""``manage.py`` as a person runs it: a process of its own, against a running Bakery."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.quickstart import layout
from tests.instance import EMAIL, Instance, clean_environment, run
from tests.integration.waiting import until

pytestmark = pytest.mark.slow

OURS = {
    "backup_panel",
    "cancel",
    "create_admin",
    "create_deployment",
    "delete_deployment",
    "deploy",
    "doctor",
    "env",
    "list_users",
    "logs",
    "restart",
    "restore_panel",
    "rollback",
    "rotate_encryption_key",
    "set_role",
    "start",
    "status",
    "stop",
}
NAME = "shell"
SERVER = """
const version = "VERSION";
Bun.serve({ port: process.env.PORT, fetch: () => new Response(`${version} ${process.env.GREETING}`) });
console.log(`version ${version} listens`);
"""


def git(repository: Path, *argv: str) -> str:
    identity = ("-c", "user.name=Tests", "-c", "user.email=tests@example.com", "-c", "init.defaultBranch=main")
    done = run(["git", "-C", str(repository), *identity, *argv], timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(repository: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (repository / name).write_text(text)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "Change")
    return git(repository, "rev-parse", "HEAD")


def server(version: str) -> dict[str, str]:
    package = {"name": "app", "scripts": {"start": "bun server.ts"}}
    return {"server.ts": SERVER.replace("VERSION", version), "package.json": json.dumps(package)}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    commit(tmp_path, server("one"))
    return tmp_path


@pytest.fixture
def deployment(instance: Instance, repository: Path) -> Iterator[str]:
    settings = ("--env", "GREETING=hello there", "--set", "watch_seconds=1", "drain_seconds=2", "probe_timeout=20")
    instance.manage("create_deployment", NAME, "--repo", f"file://{repository}", *settings)
    try:
        yield NAME
    finally:
        instance.manage("delete_deployment", NAME, "--yes")


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_command_explains_itself(instance: Instance, name: str) -> None:
    said = instance.manage(name, "--help").stdout
    assert "Exit codes:" in said
    assert "--as EMAIL" in said


def test_a_command_tells_failure_from_wrong_usage(instance: Instance) -> None:
    failed = instance.manage("deploy", "nothing", check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("Failed: There is no deployment called nothing.\n")
    assert instance.manage("deploy", check=False).returncode == 2
    assert instance.manage("env", "nothing", "burn", check=False).returncode == 2


def test_a_failure_is_json_where_json_was_asked_for(instance: Instance) -> None:
    failed = instance.manage("status", "nothing", "--json", check=False)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert json.loads(failed.stderr)["id"] == "deployment.unknown"


def test_a_deployment_lives_its_life_at_the_shell(instance: Instance, deployment: str, repository: Path) -> None:
    first = instance.manage("deploy", NAME)
    assert re.search(rf"{NAME} v1 is live: http://{NAME}\.localhost:{instance.http_port}/", first.stdout)
    assert "→ build" in first.stdout
    assert instance.app(NAME).text == "one hello there"
    assert "version one listens" in wait_for_log(instance, "version one")

    sha = commit(repository, server("two"))
    instance.manage("env", NAME, "set", "GREETING=good day")
    assert instance.manage_json("status", NAME)["not_live_yet"] == ["env GREETING"]  # type: ignore[index]
    task = instance.manage_json("deploy", NAME, "--as", EMAIL)
    assert isinstance(task, dict)
    assert (task["state"], task["release"], task["requested_by"]) == ("succeeded", 2, EMAIL)
    assert instance.app(NAME).text == "two good day"
    assert sha[:8] in instance.manage("status", NAME).stdout

    instance.manage("rollback", NAME)
    assert instance.app(NAME).text == "one hello there"
    instance.manage("rollback", NAME, "--to", "v2")
    assert instance.app(NAME).text == "two good day"
    instance.manage("restart", NAME)
    assert instance.app(NAME).text == "two good day"
    instance.manage("stop", NAME)
    assert instance.app(NAME).status_code == 503
    assert "Stopped" in instance.manage("status").stdout
    instance.manage("start", NAME)
    assert instance.app(NAME).text == "two good day"


def test_a_release_that_fails_says_why_and_leaves_the_old_one(
    instance: Instance, deployment: str, repository: Path
) -> None:
    instance.manage("deploy", NAME)
    commit(repository, {"package.json": '{"name": "app", "scripts": {"start": "bun missing.ts"}}'})
    failed = instance.manage("deploy", NAME, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("Failed: ")
    assert instance.app(NAME).text == "one hello there"
    assert instance.manage("deploy", NAME, "--ref", "no-such-branch", check=False).returncode == 1
    statuses = [row["state"] for row in instance.manage_json("status", NAME)["releases"]]  # type: ignore[index]
    assert statuses == ["failed", "failed", "live"]


def test_without_redis_a_task_is_written_down_and_found(instance: Instance, deployment: str) -> None:
    env = {**clean_environment(), **instance.env, "REDIS_URL": "redis://127.0.0.1:1/0"}
    done = subprocess.run(
        [sys.executable, "manage.py", "deploy", NAME, "--no-wait"],
        cwd=layout.CHECKOUT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "a worker will find it" in done.stdout
    until(lambda: instance.app(NAME).text == "one hello there", timeout=180)


def wait_for_log(instance: Instance, text: str) -> str:
    """The collector carries a line within a moment: follow the log until it is there."""
    for _ in range(50):
        done = instance.manage("logs", NAME, check=False)
        if text in done.stdout:
            return done.stdout
    raise AssertionError(f"{text!r} never came: {done.stdout} {done.stderr}")
