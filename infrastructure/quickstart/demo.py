"""The sample application: made into a git repository of the instance's own, and deployed from there."""

from __future__ import annotations

import shutil
from pathlib import Path

from infrastructure.quickstart.django import Django
from infrastructure.quickstart.layout import Layout
from infrastructure.quickstart.options import Options
from infrastructure.quickstart.report import Report
from infrastructure.runner import Command, Runner

NAME = "hello"
EXAMPLE = Path("infrastructure/examples/hello-bun")
AUTHOR = {"GIT_AUTHOR_NAME": "Bakery", "GIT_AUTHOR_EMAIL": "bakery@localhost"}
COMMITTER = {"GIT_COMMITTER_NAME": "Bakery", "GIT_COMMITTER_EMAIL": "bakery@localhost"}
QUIET = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


def address(options: Options) -> str:
    return f"http://{NAME}.localhost:{options.http_port}/"


def deploy(place: Layout, django: Django, options: Options, report: Report) -> None:
    """Only once: when the repository is there, the person has had the sample, and may have deleted it."""
    repository = place.data / "examples" / "hello-bun"
    if (repository / ".git").exists():
        return
    with report.step("Making a git repository of the sample application"):
        make_repository(place.checkout / EXAMPLE, repository, django.runner)
    with report.step("Deploying the sample application") as step:
        django.manage(
            "create_deployment", NAME, "--repo", f"file://{repository}", "--branch", "main", "--health-path", "/health"
        )
        django.manage("deploy", NAME, "--wait", timeout=300)
        step.note = address(options)


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
