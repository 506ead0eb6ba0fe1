"""What a person does with a deployment, over HTTP as a browser: click, and look when the answer changes."""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass
from typing import Any

import requests

from tests.instance import Instance
from tests.integration.driving import Driven, rows

LOOK_EVERY = 0.005  # seconds
GIVE_UP = 60.0


@dataclass
class Step:
    """A phase (no argv) or a command of a task; seconds after the task was made."""

    phase: str
    argv: list[str] | None
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Person:
    """Signed in, in front of one deployment."""

    def __init__(self, instance: Instance, driven: Driven) -> None:
        self.instance, self.driven = instance, driven
        self.id = driven.id
        self.session: requests.Session = instance.client()
        token = self.session.get(f"{instance.base_url}/api/session", timeout=15).json()["csrf_token"]
        self.session.headers["X-CSRFToken"] = token

    def click(self, verb: str, **body: object) -> int:
        """Ask ``verb`` of the deployment; the task's number."""
        url = f"{self.instance.base_url}/api/deployments/{self.id}/{verb}"
        answer = self.session.post(url, json=body, timeout=30)
        answer.raise_for_status()
        number: int = answer.json()["id"]
        return number

    def change(self, **settings: object) -> None:
        """The next release runs with it; a rollback with what its release was made with."""
        url = f"{self.instance.base_url}/api/deployments/{self.id}"
        self.session.patch(url, json=settings, timeout=30).raise_for_status()

    def serving(self) -> str:
        """The version that answers through Nginx, on a fresh connection."""
        return answering(self.instance.http_port, f"{self.driven.name}.localhost")

    def wait_until_serving(self, version: str) -> None:
        deadline = time.monotonic() + GIVE_UP
        while self.serving() != version:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{version} did not come to serve")
            time.sleep(LOOK_EVERY)

    def ended(self, task: int) -> dict[str, Any]:
        found = self.driven.ended(task, GIVE_UP)
        if found["state"] != "succeeded":
            raise RuntimeError(f"{found['kind']}: {found['error_message']} {found['error_hint']}")
        return found

    def steps(self, task: int) -> list[Step]:
        query = """SELECT s.phase, s.argv, s.started_at, s.ended_at, t.created_at FROM bakery_taskstep s
                   JOIN bakery_task t ON t.id = s.task_id WHERE t.id = %s ORDER BY s.id"""
        return [
            Step(
                row["phase"],
                row["argv"],
                (row["started_at"] - row["created_at"]).total_seconds(),
                (row["ended_at"] - row["created_at"]).total_seconds(),
            )
            for row in rows(self.instance, query, task)
        ]


def answering(port: int, host: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/", headers={"Host": host, "Connection": "close"})
        return connection.getresponse().headers.get("X-App", "")
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
