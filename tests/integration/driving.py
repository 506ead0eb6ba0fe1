"""A deployment of the running instance, driven and looked at from the outside: commands, HTTP, rows."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any

import psycopg
import requests
from psycopg.rows import dict_row
from websockets.sync.client import ClientConnection, connect

from tests.instance import Instance
from tests.integration.apps import AppRepository
from tests.integration.waiting import until

# Short, so that a test does not wait for what it does not test.
QUICK = {"drain_seconds": 5, "watch_seconds": 1, "grace_seconds": 2, "probe_timeout": 20}
ENDED = ("succeeded", "failed", "cancelled", "superseded")


def rows(instance: Instance, query: str, *parameters: object) -> list[dict[str, Any]]:
    with psycopg.connect(instance.env["DATABASE_URL"], row_factory=dict_row, connect_timeout=60) as connection:
        return connection.execute(query, parameters).fetchall()  # type: ignore[arg-type]


@dataclass
class Driven:
    """The deployment ``name``. What a command prints as JSON is returned."""

    instance: Instance
    name: str
    repository: AppRepository

    def create(self, *arguments: str, **settings: object) -> Driven:
        chosen = [f"{key}={value}" for key, value in {**QUICK, **settings}.items()]
        self.instance.manage(
            "create_deployment", self.name, "--repo", self.repository.url, *arguments, "--set", *chosen
        )
        return self

    def deploy(self, *, wait: bool = True, ref: str = "") -> dict[str, Any]:
        """The task; with ``wait`` ended, however it ended."""
        return self.ask("deploy", *(["--ref", ref] if ref else []), wait=wait)

    def ask(self, command: str, *arguments: str, wait: bool = True) -> dict[str, Any]:
        """Any command that queues a task."""
        done = self.instance.manage(command, self.name, *arguments, "--no-wait", "--json")
        task: dict[str, Any] = json.loads(done.stdout)
        return self.ended(task["id"]) if wait else task

    def ended(self, task_id: int, timeout: float = 90.0) -> dict[str, Any]:
        until(lambda: self.task(task_id)["state"] in ENDED, timeout)
        return self.task(task_id)

    def task(self, task_id: int) -> dict[str, Any]:
        return rows(self.instance, "SELECT * FROM bakery_task WHERE id = %s", task_id)[0]

    def cancel(self) -> None:
        self.instance.manage("cancel", self.name)

    @property
    def id(self) -> int:
        found: int = rows(self.instance, "SELECT id FROM deployments_deployment WHERE name = %s", self.name)[0]["id"]
        return found

    @property
    def releases(self) -> list[dict[str, Any]]:
        """The newest first."""
        return rows(
            self.instance,
            "SELECT r.* FROM deployments_release r JOIN deployments_deployment d ON d.id = r.deployment_id"
            " WHERE d.name = %s ORDER BY number DESC",
            self.name,
        )

    @property
    def states(self) -> list[str]:
        """Of the releases, the newest first."""
        return [release["state"] for release in self.releases]

    @property
    def slots(self) -> list[dict[str, Any]]:
        return rows(
            self.instance,
            "SELECT s.* FROM deployments_slot s JOIN deployments_deployment d ON d.id = s.deployment_id"
            " WHERE d.name = %s ORDER BY s.name",
            self.name,
        )

    def steps(self, task_id: int) -> list[dict[str, Any]]:
        return rows(self.instance, "SELECT * FROM bakery_taskstep WHERE task_id = %s ORDER BY id", task_id)

    def phases(self, task_id: int) -> list[str]:
        return [step["phase"] for step in self.steps(task_id) if step["argv"] is None]

    def in_phase(self, task_id: int, phase: str, timeout: float = 60.0) -> None:
        """Wait until the task is at it."""

        def is_in() -> bool:
            return any(step["phase"] == phase and step["state"] == "running" for step in self.steps(task_id))

        until(is_in, timeout)

    def build_log(self, number: int | None = None) -> str:
        release = next(r for r in self.releases if number is None or r["number"] == number)
        found = rows(
            self.instance,
            "SELECT c.data FROM deployments_logchunk c JOIN deployments_logstream s ON s.id = c.stream_id"
            " WHERE s.release_id = %s AND s.kind = 'build' ORDER BY c.seq",
            release["id"],
        )
        return "".join(row["data"] for row in found)

    def get(self, path: str = "/", **options: object) -> requests.Response:
        return self.instance.app(self.name, path, **options)

    def open_socket(self) -> ClientConnection:
        """A websocket to the app, through Nginx."""
        port = self.instance.http_port
        reached = socket.create_connection(("127.0.0.1", port), timeout=60)
        return connect(f"ws://{self.name}.localhost:{port}/ws", sock=reached, proxy=None, open_timeout=60)

    def version(self) -> str:
        """Which version answers, through Nginx."""
        answer = self.get()
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:300]}"
        found: str = answer.json()["version"]
        return found

    def serves(self, version: str, timeout: float = 60.0) -> None:
        until(lambda: self.get().text == json.dumps({"version": version}, separators=(",", ":")), timeout)
