"""Bun releases, built and run for real: this host's Bun, git, control groups, and a supervisord of the tests' own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infrastructure import cgroups
from infrastructure.bun import BunRuntime
from infrastructure.confinement import uid_for
from infrastructure.errors import Cancelled, Problem
from infrastructure.process_groups import group_is_alive
from infrastructure.runner import CommandFailed, Runner
from infrastructure.runtime import App, Build, Limits, Observation, ProcessState
from infrastructure.secret import Secret
from infrastructure.supervisor.processes import SupervisorProcesses
from infrastructure.trees import make_owned, make_private
from tests.integration.waiting import until
from tests.plan import free_port

BUN = os.environ.get("BAKERY_BUN") or shutil.which("bun") or "/opt/bun/node_modules/.bin/bun"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(BUN) is None, reason="Bun is not on this host: name it in BAKERY_BUN"),
]

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


def test_it_is_built_started_answers_and_stops(house: House) -> None:
    artifact = house.serving(7)
    seen = house.start(artifact)
    assert seen["PORT"] == str(house.port)
    assert seen["NODE_ENV"] == "production"
    observation = until(lambda: (o := house.observe()).state == ProcessState.RUNNING and o)
    assert (observation.release_id, observation.restarts, observation.out_of_memory) == (7, 0, False)
    until(lambda: f"listening on {house.port}" in house.runtime.last_output(NUMBER, "blue"))  # by way of supervisord
    log = house.data / "logs" / "processes" / "release-7.log"
    assert "listening" in log.read_text()
    house.runtime.stop(NUMBER, "blue", 5)
    house.runtime.stop(NUMBER, "blue", 5)
    assert house.observe().state == ProcessState.MISSING
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", house.port)) != 0
    assert list((house.data / "supervisor" / "launch").iterdir()) == []


def test_every_value_arrives_as_it_was_typed_and_none_of_bakerys(house: House) -> None:
    values = {
        "LINES": "one\ntwo\r\n", "QUOTES": "a 'b' \"c\" `d`", "DOLLAR": "$HOME ${PATH} $(id)",
        "PERCENT": "100%(x)s %% %s",
        "BRACES": "{x} {{y}}", "UNICODE": "crème brûlée 🍮", "BACK": "\\n \\", "LONG": "x" * 100_000,
        "EMPTY": "", "HASH": "a;#b",
    }  # fmt: skip
    seen = house.start(house.serving(), env={name: Secret(value) for name, value in values.items()})
    assert {name: seen[name] for name in values} == values
    assert "BAKERYS_OWN" not in seen
    ini = next(house.supervisord.conf_d.glob("*.ini"))
    assert "crème" not in ini.read_text()
    spec = house.data / "supervisor" / "launch" / f"{ini.stem}.json"
    assert spec.stat().st_mode & 0o777 == 0o600


def test_a_build_has_its_variables_runs_its_script_and_leaves_nothing_running(house: House) -> None:
    script = "require('fs').writeFileSync('built.txt', process.env.COLOUR + process.env.NODE_ENV)"
    files = {
        "package.json": package(start="bun server.ts", build="bun build.js"),
        "server.ts": SERVER,
        "build.js": script,
    }
    artifact = house.build(house.source(1, **files), env={"COLOUR": Secret("green")})
    assert (Path(artifact) / "built.txt").read_text() == "greenproduction"
    assert b"$ bun run build" in house.log


def test_a_build_command_of_its_own_runs_in_buns_shell(house: House) -> None:
    source = house.source(1, **{"package.json": package(start="bun server.ts"), "server.ts": SERVER})
    artifact = house.build(source, build_command="echo one > out.txt && echo $0 two >> out.txt; printenv HOME")
    assert (Path(artifact) / "out.txt").read_text().startswith("one\n")
    assert f"{house.data}/builds/{NUMBER}/cache".encode() in house.log


def test_a_start_command_needs_no_package_json(house: House) -> None:
    artifact = house.build(house.source(1, **{"server.ts": SERVER}), start_command="bun server.ts")
    assert house.start(artifact, start_command="bun server.ts", env={"A": Secret("b")})["A"] == "b"


def test_a_base_directory_is_where_it_is_built_and_started(house: House) -> None:
    files = {"apps/web/package.json": package(start="bun server.ts"), "apps/web/server.ts": SERVER}
    artifact = house.build(house.source(1, **files), base_directory="apps/web")
    assert house.start(artifact, base_directory="apps/web")["PWD"].endswith("/1/apps/web")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"readme": "x"}, "build.no-package-json"),
        ({"package.json": package(build="true")}, "build.no-start-script"),
        ({"package.json": "{"}, "build.package-json"),
        ({"package.json": "[]"}, "build.package-json"),
        ({"package.json": package(start="x", build="exit 3")}, "build.failed"),
        ({"package.json": package({"left": "file:./no-such"}, start="x")}, "build.failed"),
        ({"package.json": package({"is-odd": "file:./a"}, start="x"), "bun.lock": "{}"}, "build.lock-file"),
    ],
)
def test_what_cannot_be_built_is_explained(house: House, files: dict[str, str], problem: str) -> None:
    with pytest.raises(Problem) as caught:
        house.build(house.source(1, **files))
    assert caught.value.id == problem
    assert caught.value.hint


def test_a_build_that_takes_too_long_is_ended(house: House) -> None:
    source = house.source(1, **{"package.json": package(start="x", build="sleep 600")})
    with pytest.raises(Problem) as caught:
        house.build(source, limits=Limits(512, 100, 128, timeout=1))
    assert caught.value.id == "build.timed-out"


@pytest.mark.parametrize("where", ["", "$HOME/"])
def test_a_build_that_fills_the_disk_is_ended_in_words(house: House, where: str) -> None:
    fill = f"for i in $(seq 400); do head -c 1000000 /dev/zero > {where}$i; done; sleep 600"
    source = house.source(1, **{"package.json": package(start="x", build="sh fill.sh"), "fill.sh": fill})
    with pytest.raises(Problem) as caught:
        house.build(source, limits=Limits(512, 100, 128, timeout=60, disk_mb=60))
    assert caught.value.id == "build.disk-limit"
    assert "60 MiB" in caught.value.message


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is made with a tmpfs, which takes root")
def test_a_build_is_ended_before_the_disk_is_full(house: House) -> None:
    builds = house.data / "builds"
    builds.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m,mode=711", "tmpfs", str(builds)], check=True)
    try:
        fill = "for i in $(seq 400); do head -c 1000000 /dev/zero > $i; done; sleep 600"
        source = house.source(1, **{"package.json": package(start="x", build="sh fill.sh"), "fill.sh": fill})
        with pytest.raises(Problem) as caught:
            house.build(source, limits=Limits(512, 100, 128, timeout=60))
        assert caught.value.id == "build.disk-limit"
        assert "running full" in caught.value.message
        assert shutil.disk_usage(builds).free > 0
    finally:
        subprocess.run(["umount", "--lazy", str(builds)], check=True)


def test_one_file_does_not_grow_over_the_disk_limit(house: House) -> None:
    source = house.source(1, **{"package.json": package(start="x", build="sh fill.sh"), "fill.sh": "cat /dev/zero > x"})
    with pytest.raises(Problem) as caught:
        house.build(source, limits=Limits(512, 100, 128, timeout=60, disk_mb=60))
    assert caught.value.id == "build.disk-limit"
    assert (source / "x").stat().st_size <= 60 * 1024 * 1024


def test_a_build_is_cancelled(house: House) -> None:
    source = house.source(1, **{"package.json": package(start="x", build="sleep 600")})
    began = time.monotonic()
    with pytest.raises(Cancelled):
        house.build(source, Runner(cancelled=lambda: time.monotonic() - began > 1))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a build an own uid")
def test_an_install_script_cannot_read_bakerys_secrets_nor_another_deployment(house: House) -> None:
    secret = house.data / "bakery.env"
    secret.write_text("ENCRYPTION_KEY=do-not-tell")
    secret.chmod(0o600)
    beside = make_owned(make_private(house.data / "builds" / "77", uid_for(77)) / "1", uid_for(77))
    (beside / "source.ts").write_text("private")
    script = f"""
      const fs = require("fs");
      const say = (what) => console.log(what);
      const attempt = (what) => {{ try {{ say("DONE " + what()); }} catch (e) {{ say("refused " + e.code); }} }};
      for (const path of ["{secret}", "{beside}/source.ts", "/proc/{os.getpid()}/environ"])
        attempt(() => fs.readFileSync(path, "utf8"));
      attempt(() => fs.writeFileSync("{beside}/evil", "x"));
      console.log("environment " + Object.keys(process.env).sort());
    """
    files = {"package.json": package({"self": "file:./lib"}, start="x", postinstall="bun steal.js"), "steal.js": script}
    house.build(house.source(1, **files, **{"lib/package.json": '{"name": "self", "version": "1.0.0"}'}))
    heard = house.log.decode()
    assert heard.count("refused") == 4
    assert "DONE" not in heard
    assert "ENCRYPTION_KEY" not in heard


def test_one_that_fills_its_memory_is_seen_to_have_run_out_of_it(house: House) -> None:
    if not cgroups.create("bakery-test-probe", 64 << 20, 100, 16):
        pytest.skip("this host lets us make no control group")
    cgroups.remove("bakery-test-probe")
    hog = "const kept = []; setInterval(() => kept.push(new Uint8Array(16 << 20).fill(1)), 10);"
    artifact = house.serving(server=hog, **{"server.ts": SERVER + hog})
    house.runtime.start(house.app(artifact, limits=Limits(200, 100, 64)), Runner())
    assert until(lambda: house.observe().out_of_memory)
    assert until(lambda: house.observe().restarts > 0)


def test_one_that_ignores_sigterm_is_killed_after_its_grace(house: House) -> None:
    stubborn = SERVER + 'process.on("SIGTERM", () => console.log("no"));'
    house.start(house.serving(**{"server.ts": stubborn}), grace_seconds=3)
    pid = house.runtime.processes._info(f"bakery-deployment-{NUMBER}-blue")["pid"]  # type: ignore[attr-defined]
    house.runtime.stop(NUMBER, "blue", 3)
    assert "no" in (house.data / "logs" / "processes" / "release-1.log").read_text()
    assert not group_is_alive(pid)


def test_one_that_finishes_its_work_on_sigterm_has_its_grace(house: House) -> None:
    polite = (
        SERVER + 'process.on("SIGTERM", () => setTimeout(() => { console.log("finished"); process.exit(0); }, 700));'
    )
    house.start(house.serving(**{"server.ts": polite}))
    house.runtime.stop(NUMBER, "blue", 10)
    assert "finished" in (house.data / "logs" / "processes" / "release-1.log").read_text()


def test_one_that_ends_at_once_is_seen_to_have_ended(house: House) -> None:
    artifact = house.serving(**{"server.ts": "console.log('broken'); process.exit(3);"})
    house.runtime.start(house.app(artifact), Runner())
    seen = until(lambda: (o := house.observe()).restarts > 0 and o)
    assert seen.exit_code == 3
    assert "broken" in house.runtime.last_output(NUMBER, "blue")
    assert until(lambda: house.observe().state == ProcessState.EXITED)


def test_a_crash_later_on_is_followed_by_a_restart(house: House) -> None:
    house.start(house.serving())
    first = house.observe()
    os.kill(house.runtime.processes._info(f"bakery-deployment-{NUMBER}-blue")["pid"], 9)  # type: ignore[attr-defined]
    again = until(lambda: (o := house.observe()).restarts == 1 and o)
    assert again.started_at != first.started_at
    assert ask(house.port)


def test_a_new_release_takes_the_slot_of_the_old_one(house: House) -> None:
    house.start(house.serving(1), env={"V": Secret("1")})
    assert house.start(house.serving(2), env={"V": Secret("2")})["V"] == "2"
    assert house.observe().release_id == 2


def test_what_runs_comes_back_with_supervisord_and_what_was_stopped_does_not(house: House) -> None:
    artifact = house.serving()
    house.start(artifact)
    other = free_port()
    house.runtime.start(house.app(artifact, slot="green", port=other), Runner())
    ask(other)
    house.runtime.stop(NUMBER, "green", 5)
    house.supervisord.stop()
    house.supervisord.start()
    assert ask(house.port)
    assert house.runtime.observe(NUMBER, "green").state == ProcessState.MISSING
    orphan = house.runtime.processes._info(f"bakery-deployment-{NUMBER}-blue")["pid"]  # type: ignore[attr-defined]
    house.supervisord.kill()  # its programs live on, and hold their ports
    house.supervisord.start()
    assert until(lambda: not group_is_alive(orphan))
    assert until(lambda: house.observe().state == ProcessState.RUNNING)
    assert ask(house.port)


def test_a_persistent_directory_outlives_the_release(house: House) -> None:
    counting = SERVER.replace("Response.json(process.env)", "Response.json({ n: String(count()) })") + (
        'const fs = require("fs");\n'
        'const count = () => (fs.appendFileSync("data/visits", "x"), fs.readFileSync("data/visits", "utf8").length);'
    )
    persistent = {"data": house.data / "persistent" / str(NUMBER) / "data"}
    files = {"server.ts": counting, "data/visits": "xxx"}
    assert house.start(house.serving(1, **files), persistent=persistent)["n"] == "4"
    assert house.start(house.serving(2, **files), persistent=persistent)["n"] == "5"
    assert (persistent["data"] / "visits").read_text() == "xxxxx"


def test_a_command_before_the_switch_runs_with_the_releases_files_and_variables(house: House) -> None:
    artifact = house.serving()
    app = house.app(artifact, env={"DATABASE": Secret("db")})
    house.runtime.run_once(app, "echo $DATABASE $PORT > migrated && cat migrated", Runner(), house.hear)
    assert f"db {house.port}".encode() in house.log
    with pytest.raises(CommandFailed):
        house.runtime.run_once(app, "exit 4", Runner(), house.hear)


def test_an_artifact_is_removed_and_nothing_outside_the_builds(house: House, tmp_path: Path) -> None:
    artifact = house.serving()
    assert house.runtime.has_artifact(artifact)
    house.runtime.remove_artifact(artifact)
    assert not house.runtime.has_artifact(artifact)
    precious = tmp_path / "precious"
    precious.mkdir()
    for wrong in (precious, house.data / "builds", house.data / "builds" / ".." / ".."):
        house.runtime.remove_artifact(str(wrong))
    assert precious.is_dir()
    assert (house.data / "builds").is_dir()
