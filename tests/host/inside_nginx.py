"""Runs on the machine of the tests: does one thing with its Nginx and prints what came of it.

``python3 -m tests.host.inside_nginx '{"do": "prepare"}'``. It needs the standard library alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from infrastructure.errors import Problem
from infrastructure.nginx import system
from infrastructure.nginx.master import accepting_workers
from infrastructure.routing import Host, Route

DATA = Path("/var/lib/bakery")
LOGS = DATA / "logs"


class Inside:
    def __init__(self) -> None:
        self.router = system.system_router(DATA, logs_dir=LOGS, http_port=80)

    def prepare(self, names: list[str]) -> list[str]:
        return system.prepare(data_dir=DATA, logs_dir=LOGS, panel=system.Panel(tuple(names), 4100))

    def remove(self) -> None:
        system.remove(data_dir=DATA)

    def remove_default_site(self) -> bool:
        return system.remove_default_site(data_dir=DATA)

    def apply(self, hostnames: list[str], https: bool = False) -> None:
        self.router.apply([self._route(hostnames, https)])

    def switch(self, slot: str, release: int) -> None:
        self.router.switch(1, slot, release)

    def confirm(self, hostnames: list[str], release: int, https: bool = False) -> bool:
        return self.router.confirm(self._route(hostnames, https), release, "/")

    def generation(self) -> int | None:
        return self.router.master.generation()

    def workers(self) -> list[int]:
        pid = self.router.master.pid()
        return sorted(accepting_workers(pid)) if pid else []

    @staticmethod
    def _route(hostnames: list[str], https: bool = False) -> Route:
        hosts = tuple(Host(name, https=https) for name in hostnames)
        certificate = "deployment-1" if https else ""
        return Route(1, "shop", hosts, "127.0.0.1:9001", "127.0.0.1:9002", certificate=certificate)


def main(request: str) -> None:
    asked: dict[str, Any] = json.loads(request)
    try:
        answer = {"answer": getattr(Inside(), asked.pop("do"))(**asked)}
    except Problem as problem:
        answer = {"problem": problem.id, "text": f"{problem.message} {problem.hint}"}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
