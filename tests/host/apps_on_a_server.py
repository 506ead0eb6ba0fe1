"""Applications of an installed server, driven by its commands and visited from outside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.host.server import Server
from tests.integration.apps import Files
from tests.integration.driving import ENDED, QUICK
from tests.integration.visitors import Visitors
from tests.integration.waiting import until

REPOSITORIES = "/srv/apps"
AUTHOR = ("-c", "user.name=Alice", "-c", "user.email=alice@bakery.localhost")


@dataclass
class ServerApp:
    """The deployment ``name`` of a server, whose repository lies on the server itself."""

    server: Server
    name: str

    @property
    def repository(self) -> str:
        return f"{REPOSITORIES}/{self.name}"

    @property
    def host(self) -> str:
        return f"{self.name}.{self.server.address}.sslip.io"

    def create(self, files: Files, *more: str, **settings: object) -> ServerApp:
        self.server.do("git", "init", "--quiet", "--initial-branch=main", self.repository)
        self.commit(files)
        chosen = [f"{key}={value}" for key, value in {**QUICK, **settings}.items()]
        arguments = ("--repo", f"file://{self.repository}", "--set", *chosen)
        self.server.bakery("create_deployment", self.name, *more, *arguments)
        return self

    def commit(self, files: Files) -> None:
        """Make ``files`` the repository's whole content."""
        self._git("rm", "-r", "--quiet", "--force", "--ignore-unmatch", ".")
        for path, text in files.items():
            self.server.put(f"{self.repository}/{path}", text)
        self._git("add", "--all")
        self._git(*AUTHOR, "commit", "--quiet", "--allow-empty", "--message", "A change")

    def ask(self, command: str, *, wait: bool = True) -> dict[str, Any]:
        """The task that a command has queued; with ``wait`` ended, however it ended."""
        task: dict[str, Any] = json.loads(
            self.server.says("/usr/local/bin/bakery", command, self.name, "--no-wait", "--json")
        )
        return self.ended(task["id"]) if wait else task

    def ended(self, task_id: int, timeout: float = 180.0) -> dict[str, Any]:
        until(lambda: self.task(task_id)["state"] in ENDED, timeout)
        return self.task(task_id)

    def task(self, task_id: int) -> dict[str, Any]:
        row = self.query(f"SELECT row_to_json(task) FROM bakery_task AS task WHERE id = {int(task_id)}")
        found: dict[str, Any] = json.loads(row)
        return found

    def query(self, sql: str) -> str:
        """What Bakery's database says."""
        psql = ("runuser", "-u", "postgres", "--", "psql", "-qAtX", "-d", "bakery", "-c", sql)
        return self.server.do(*psql).strip()

    def deploy(self, files: Files) -> None:
        self.commit(files)
        task = self.ask("deploy")
        assert task["state"] == "succeeded", f"{task['error_message']}\n{self.build_log()}"

    def build_log(self) -> str:
        return self.server.bakery("logs", self.name, "--build", check=False).output

    def version(self) -> str:
        status, text = self.server.answers("/", host=self.host)
        assert status == 200, f"{status}: {text[:300]}"
        found: str = json.loads(text)["version"]
        return found

    def serves(self, version: str, seconds: float = 60) -> None:
        wanted = (200, json.dumps({"version": version}, separators=(",", ":")))
        until(lambda: self.server.answers("/", host=self.host) == wanted, seconds)

    def visitors(self) -> Visitors:
        return Visitors(80, self.host, address=self.server.address)

    def _git(self, *argv: str) -> None:
        self.server.do("git", "-c", "safe.directory=*", "-C", self.repository, *argv)
