"""Runs on the host with systemd: does one thing with the runtime that Bakery would use there, and answers in JSON."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from infrastructure.confinement import uid_for
from infrastructure.errors import Problem
from infrastructure.runner import Runner
from infrastructure.runtime import App, Build, Limits, Runtime
from infrastructure.runtimes import make_runtimes
from infrastructure.secret import Secret
from infrastructure.trees import make_owned, make_private

DATA = Path(os.environ.get("DATA", "/var/lib/bakery"))


def runtime() -> Runtime:
    return make_runtimes(
        data_dir=DATA,
        logs_dir=DATA / "logs",
        builds_dir=DATA / "builds",
        bun_binary="bun",
        supervisor_url="",
        processes="systemd",
        docker_subnet="",
        docker_publish="",
        install_dir=Path("/opt/bakery"),
    )["bun"]


def source(deployment: int, release: int, files: dict[str, str]) -> Path:
    """A checkout, as git.py leaves it."""
    uid = uid_for(deployment)
    directory = make_owned(make_private(DATA / "builds" / str(deployment), uid) / str(release), uid)
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in directory.rglob("*"):
        os.chown(path, uid or 0, uid or 0)
    return directory


class Inside:
    def __init__(self) -> None:
        self.runtime = runtime()
        self.heard = b""

    def hear(self, data: bytes) -> None:
        self.heard += data

    def available(self) -> None:
        self.runtime.available()

    def build(self, deployment: int, release: int, files: dict[str, str], **limits_of_it: int) -> str:
        place = source(deployment, release, files)
        wanted: dict[str, Any] = {"memory_mb": 512, "cpu_percent": 100, "max_processes": 128, "timeout": 60}
        limits = Limits(**{**wanted, **limits_of_it})
        plan = Build(deployment, release, place, "", "", "", {}, limits)
        self.runtime.build(plan, Runner(), self.hear)
        return self.heard.decode()

    def app(self, deployment: int, release: int, **changes: Any) -> App:
        limits = Limits(memory_mb=changes.pop("memory_mb", 512), cpu_percent=100, max_processes=128, timeout=60)
        env = {name: Secret(value) for name, value in changes.pop("env", {}).items()}
        persistent = {name: DATA / "persistent" / str(deployment) / name for name in changes.pop("persistent", [])}
        settings: dict[str, Any] = {"slot": "blue", "port": 8100, "grace_seconds": 5, **changes}
        artifact = str(DATA / "builds" / str(deployment) / str(release))
        return App(
            deployment, release, address="", artifact=artifact, base_directory="", start_command="", env=env,
            limits=limits, persistent=persistent, **settings,
        )  # fmt: skip

    def start(self, deployment: int, release: int, **changes: Any) -> None:
        self.runtime.start(self.app(deployment, release, **changes), Runner())

    def stop(self, deployment: int, slot: str = "blue", grace_seconds: int = 5) -> None:
        self.runtime.stop(deployment, slot, grace_seconds)

    def observe(self, deployment: int, slot: str = "blue") -> dict[str, Any]:
        seen = asdict(self.runtime.observe(deployment, slot))
        return {**seen, "state": seen["state"].value}

    def run_once(self, deployment: int, release: int, command: str, **changes: Any) -> str:
        self.runtime.run_once(self.app(deployment, release, **changes), command, Runner(), self.hear)
        return self.heard.decode()

    def last_output(self, deployment: int, slot: str = "blue") -> str:
        return self.runtime.last_output(deployment, slot)

    def remove_deployment(self, deployment: int) -> None:
        self.runtime.remove_deployment(deployment)


def main(request: str) -> None:
    asked = json.loads(request)
    inside = Inside()
    try:
        answer = {"answer": getattr(inside, asked.pop("do"))(**asked)}
    except Problem as problem:
        answer = {"problem": problem.id, "text": f"{problem} {problem.hint}", "heard": inside.heard.decode()}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
