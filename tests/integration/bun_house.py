"""A Bakery data directory in which Bun releases are built and run for real, by a supervisord of the tests' own.

from tests.integration.bun_house import NEEDS_BUN, House, house, supervisord
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infrastructure.bun import BunRuntime
from infrastructure.confinement import uid_for
from infrastructure.runner import Runner
from infrastructure.runtime import App, Build, Limits, Observation
from infrastructure.supervisor.processes import SupervisorProcesses
from infrastructure.trees import make_owned, make_private
from tests.integration.waiting import until
from tests.plan import free_port

BUN = os.environ.get("BAKERY_BUN") or shutil.which("bun") or "/opt/bun/node_modules/.bin/bun"
NEEDS_BUN = pytest.mark.skipif(shutil.which(BUN) is None, reason="Bun is not on this host: name it in BAKERY_BUN")
NUMBER = 920_000 + os.getpid() % 1000
SERVER = """
const port = Number(process.env.PORT);
Bun.serve({ port, hostname: process.env.HOST, fetch: () => Response.json(process.env) });
console.log("listening on " + port);
"""
LIMITS = Limits(memory_mb=512, cpu_percent=200, max_processes=128, timeout=60)


class Supervisord:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.conf_d = directory / "supervisor" / "conf.d"
        self.conf_d.mkdir(parents=True)
        self.socket = directory / "s.sock"
        self.configuration = directory / "supervisord.conf"
        self.configuration.write_text(
            f"[unix_http_server]\nfile={self.socket}\n[supervisord]\nnodaemon=true\nlogfile={directory}/supervisord.log\n"
            f"pidfile={directory}/supervisord.pid\n[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[include]\nfiles={self.conf_d}/*.ini\n"
        )
        self.start()

    def start(self) -> None:
        argv = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.configuration)]
        environment = {**os.environ, "BAKERYS_OWN": "must not reach an app"}
        log = (self.directory / "out").open("ab")
        self.process = subprocess.Popen(argv, stdout=log, stderr=log, env=environment)
        until(self.socket.exists)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)
        self.socket.unlink(missing_ok=True)


def ask(port: int) -> dict[str, str]:
    def answer() -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as response:
                return json.load(response)
        except OSError:
            return None

    found: dict[str, str] = until(answer)
    return found


class House:
    """A Bakery data directory with one deployment in it."""

    def __init__(self, data: Path, supervisord: Supervisord) -> None:
        self.data = data
        self.supervisord = supervisord
        self.log = b""
        self.port = free_port()
        processes = SupervisorProcesses(
            f"unix://{supervisord.socket}", supervisord.conf_d, data / "supervisor" / "launch"
        )
        self.runtime = BunRuntime(
            binary=BUN, data_dir=data, logs_dir=data / "logs", builds_dir=data / "builds", processes=processes
        )

    def hear(self, data: bytes) -> None:
        self.log += data
        print(data.decode("utf-8", "replace"), end="")  # shown when a test fails

    def source(self, release: int, **files: str) -> Path:
        """A checkout, as git.py leaves it."""
        uid = uid_for(NUMBER)
        directory = make_owned(make_private(self.data / "builds" / str(NUMBER), uid) / str(release), uid)
        for name, text in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if uid is not None:
            for path in directory.rglob("*"):
                os.chown(path, uid, uid)
        return directory

    def build(self, source: Path, runner: Runner | None = None, **changes: Any) -> str:
        settings: dict[str, Any] = {
            "base_directory": "", "build_command": "", "start_command": "", "env": {}, "limits": LIMITS, **changes,
        }  # fmt: skip
        plan = Build(deployment_id=NUMBER, release_id=int(source.name), source=source, **settings)
        return self.runtime.build(plan, runner or Runner(), self.hear).artifact

    def app(self, artifact: str, **changes: Any) -> App:
        settings: dict[str, Any] = {
            "slot": "blue", "port": self.port, "address": "10.0.0.2", "base_directory": "", "start_command": "",
            "env": {}, "limits": LIMITS, "grace_seconds": 5, **changes,
        }  # fmt: skip
        return App(deployment_id=NUMBER, release_id=int(Path(artifact).name), artifact=artifact, **settings)

    def start(self, artifact: str, **changes: Any) -> dict[str, str]:
        self.runtime.start(self.app(artifact, **changes), Runner())
        return ask(self.port)

    def serving(self, release: int = 1, **files: str) -> str:
        return self.build(
            self.source(release, **{"package.json": package(start="bun server.ts"), "server.ts": SERVER, **files})
        )

    def observe(self) -> Observation:
        return self.runtime.observe(NUMBER, "blue")


def package(dependencies: dict[str, str] | None = None, **scripts: str) -> str:
    return json.dumps({"name": "app", "scripts": scripts, "dependencies": dependencies or {}})


@pytest.fixture(scope="module")
def supervisord(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisord]:
    one = Supervisord(tmp_path_factory.mktemp("supervisord"))
    yield one
    one.stop()


@pytest.fixture
def house(tmp_path: Path, supervisord: Supervisord) -> Iterator[House]:
    one = House(tmp_path / "data", supervisord)
    one.data.mkdir()
    yield one
    one.runtime.remove_deployment(NUMBER)
