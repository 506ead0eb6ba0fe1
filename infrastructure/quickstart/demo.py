"""The sample application: made into a git repository of the instance's own, and deployed from there."""

from __future__ import annotations

import http.client
import json
import shutil
import time
from pathlib import Path

from infrastructure.errors import HostProblem, Problem
from infrastructure.quickstart.django import Django
from infrastructure.quickstart.layout import Layout
from infrastructure.quickstart.options import Options
from infrastructure.report import Report
from infrastructure.runner import Command, Runner

NAME = "hello"
SECONDS, LOOK_SECONDS = 120.0, 3.0
EXAMPLE = Path("infrastructure/examples/hello-bun")
AUTHOR = {"GIT_AUTHOR_NAME": "Bakery", "GIT_AUTHOR_EMAIL": "bakery@localhost"}
COMMITTER = {"GIT_COMMITTER_NAME": "Bakery", "GIT_COMMITTER_EMAIL": "bakery@localhost"}
QUIET = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


def address(options: Options) -> str:
    return f"http://{NAME}.localhost:{options.http_port}/"


def deploy(place: Layout, django: Django, options: Options, report: Report) -> None:
    """Only once: when the repository is there, the person has had the sample, and may have deleted it.

    A sample that cannot be deployed is no reason to stop Bakery: its page says why.
    """
    repository = place.data / "examples" / "hello-bun"
    if (repository / ".git").exists():
        return
    try:
        with report.step("Making a git repository of the sample application"):
            make_repository(place.checkout / EXAMPLE, repository, django.runner)
        with report.step("Deploying the sample application") as step:
            described = ("--repo", f"file://{repository}", "--branch", "main", "--health-path", "/health")
            django.manage("create_deployment", NAME, *described, "--persistent", "data")
            django.manage("deploy", NAME, "--no-wait")
            _wait_until_served(django, options)
            step.note = address(options)
    except Problem as problem:
        report.say(
            f"  The sample is not up: {problem.message}\n  Its page in Bakery says more. {problem.hint}".rstrip()
        )


def _wait_until_served(django: Django, options: Options) -> None:
    """The deploy itself goes on to watch the new release for a while; the sample can be looked at before."""
    deadline = time.monotonic() + SECONDS
    next_look = time.monotonic() + LOOK_SECONDS
    while not _is_served(options):
        if time.monotonic() > next_look:
            status = json.loads(django.manage("status", NAME, "--json"))
            failed = [task for task in status["tasks"] if task["state"] == "failed"]
            if failed:
                raise HostProblem("quickstart.sample-failed", failed[0]["error"]["message"])
            next_look = time.monotonic() + LOOK_SECONDS
        if time.monotonic() > deadline:
            raise HostProblem("quickstart.sample-slow", f"it did not answer within {SECONDS:g} s.")
        time.sleep(0.2)


def _is_served(options: Options) -> bool:
    """Asked by its Host header: not every resolver knows that names below localhost are this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", options.http_port, timeout=5)
    try:
        connection.request("GET", "/health", headers={"Host": f"{NAME}.localhost"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def git(repository: Path, *argv: str) -> Command:
    env = {**AUTHOR, **COMMITTER, **QUIET}
    return Command(("git", "-C", str(repository), *argv), env=env)


def make_repository(example: Path, repository: Path, runner: Runner) -> None:
    beside = repository.with_name(f"{repository.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.rmtree(repository, ignore_errors=True)
    shutil.copytree(example, beside)
    runner.run(git(beside, "init", "--quiet", "--initial-branch=main"))
    runner.run(git(beside, "add", "--all"))
    runner.run(git(beside, "commit", "--quiet", "-m", "Say hello"))
    beside.rename(repository)
