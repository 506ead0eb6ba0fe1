"""Bun releases as units of a real systemd: it is the first process of a Debian of the tests' own, in a container."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.host.docker_engine import BUN, DockerEngine
from tests.host.machine import Machine, docker
from tests.integration.waiting import until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("debootstrap") is None or shutil.which(BUN) is None,
    reason="it takes root, debootstrap and Bun",
)

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = '{"scripts": {"start": "bun server.ts"}}'
PORT = 8100
SERVER = """
const port = Number(process.env.PORT);
Bun.serve({ port, hostname: process.env.HOST, fetch: () => Response.json(globalThis.found ?? process.env) });
console.log("listening on " + port);
"""
ASK = "import sys, urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[1], timeout=2).read())"


class Host(Machine):
    """A machine with Bun, on which nothing of Bakery runs but its code for units."""

    def options(self) -> list[str]:
        bun = Path(shutil.which(BUN) or BUN).resolve()
        return ["--network", "none", "-v", f"{bun}:/usr/local/bin/bun:ro", "-v", f"{CHECKOUT}:/opt/bakery:ro"]

    def order(self, what: str, deployment: int, *arguments: int, data: str = "/var/lib/bakery", **named: Any) -> Any:
        said = self.attempt(what, deployment, *arguments, data=data, **named)
        assert "problem" not in said, said
        return said["answer"]

    def attempt(
        self,
        what: str,
        deployment: int,
        *arguments: int,
        data: str = "/var/lib/bakery",
        user: str = "root",
        **named: Any,
    ) -> dict[str, Any]:
        """Something of the runtime, there, and how it ended: see ``inside_systemd.py``."""
        names = ("release",) if what in ("build", "start", "run_once") else ()
        request = {"do": what, "deployment": deployment, **dict(zip(names, arguments, strict=True)), **named}
        options = ["-u", user, "-w", "/opt/bakery", "-e", "PYTHONDONTWRITEBYTECODE=1", "-e", f"DATA={data}"]
        argv = ["python3", "-m", "tests.host.inside_systemd", json.dumps(request)]
        said: dict[str, Any] = json.loads(docker("exec", *options, self.name, *argv))
        return said

    def serve(self, deployment: int, program: str = "", **named: Any) -> dict[str, str]:
        """Build release 1, start it and return what it answers."""
        place = {"data": named.pop("data")} if "data" in named else {}
        self.order("build", deployment, 1, files={"package.json": PACKAGE, "server.ts": program + SERVER}, **place)
        self.order("start", deployment, 1, **named, **place)
        return self.ask(named.get("port", PORT))

    def ask(self, port: int = PORT) -> dict[str, str]:
        answer: dict[str, str] = json.loads(until(lambda: self.says("python3", "-c", ASK, f"http://127.0.0.1:{port}/")))
        return answer

    def observe(self, deployment: int, slot: str = "blue") -> dict[str, Any]:
        seen: dict[str, Any] = self.order("observe", deployment, slot=slot)
        return seen

    def log(self, release: int = 1) -> str:
        return self.says("cat", f"/var/lib/bakery/logs/processes/release-{release}.log")

    def units(self, deployment: int) -> str:
        return self.says("systemctl", "list-units", "--all", "--no-legend", f"bakery-deployment-{deployment}-*")


@pytest.fixture(scope="module")
def host(docker_engine: DockerEngine) -> Iterator[Host]:
    one = Host(f"bakery-test-systemd-{os.getpid()}")
    try:
        one.start()
        yield one
    finally:
        one.remove()


def test_a_release_is_a_unit_that_answers_and_writes_its_log(host: Host) -> None:
    values = {"LINES": "one\ntwo", "DOLLAR": "$HOME ${PATH} $(id)", "PERCENT": "100% %h %%", "QUOTES": "'a' \"b\" \\n"}
    seen = host.serve(1, env=values)
    assert {name: seen[name] for name in values} == values
    assert "INVOCATION_ID" not in seen
    observation = host.observe(1)
    assert (observation["state"], observation["release_id"], observation["restarts"]) == ("running", 1, 0)
    assert f"listening on {PORT}" in host.log()
    assert f"listening on {PORT}" in host.order("last_output", 1)
    host.order("stop", 1)
    host.order("stop", 1)
    assert host.observe(1)["state"] == "missing"
    assert host.units(1) == ""


def test_an_app_has_its_own_uid_and_gets_at_nothing_of_bakerys_nor_of_others(host: Host) -> None:
    host.order("build", 77, 1, files={"package.json": PACKAGE, "server.ts": "private"})
    attempts = {
        "bakery": 'fs.readdirSync("/var/lib/bakery/systemd/launch")',
        "logs": 'fs.readdirSync("/var/lib/bakery/logs/processes")',
        "other": 'fs.readFileSync("/var/lib/bakery/builds/77/1/server.ts")',
        "etc": 'fs.writeFileSync("/etc/evil", "x")',
        "usr": 'fs.writeFileSync("/usr/evil", "x")',
        "home": 'fs.readdirSync("/root")',
        "init": 'fs.readFileSync("/proc/1/environ")',
        "own": 'fs.writeFileSync("own", "x") ?? "done"',
        "persistent": 'fs.writeFileSync("data/own", "x") ?? "done"',
        "tmp": 'fs.writeFileSync("/tmp/own", "x") ?? "done"',
        "uid": "String(process.getuid())",
        "rights": 'fs.readFileSync("/proc/self/status", "utf8").match(/CapEff.*|NoNewPrivs.*/g).join(" ")',
    }
    program = 'const fs = require("fs"); const found = globalThis.found = {};\n' + "".join(
        f'try {{ found["{name}"] = {what} }} catch (e) {{ found["{name}"] = e.code }}\n'
        for name, what in attempts.items()
    )
    found = host.serve(2, program, persistent=["data"])
    host.order("stop", 2)
    assert found.pop("uid") == "1880000002"
    assert found.pop("rights").split() == ["CapEff:", "0000000000000000", "NoNewPrivs:", "1"]
    assert [name for name, what in found.items() if what == "done"] == ["own", "persistent", "tmp"]
    assert set(found.values()) == {"done", "EACCES", "EROFS", "ENOENT"}
    assert host.says("cat", "/var/lib/bakery/persistent/2/data/own") == "x"


def test_a_data_directory_that_is_closed_to_others_serves_as_well(host: Host) -> None:
    found = host.serve(3, data="/root/a b $x 5%/data")
    assert found["PWD"] == "/root/a b $x 5%/data/builds/3/1"
    host.order("stop", 3, data="/root/a b $x 5%/data")


def test_a_unit_needs_nothing_of_the_checkout_that_made_it(host: Host) -> None:
    host.serve(10)
    text = host.says("systemctl", "cat", "bakery-deployment-10-blue.service")
    assert [line for line in text.splitlines() if "/opt/bakery" in line] == ["TemporaryFileSystem=/opt/bakery:ro"]
    host.do("systemctl", "restart", "bakery-deployment-10-blue.service")
    assert host.ask()["PORT"] == str(PORT)
    host.order("stop", 10)


def test_who_is_not_root_sees_whether_it_runs(host: Host) -> None:
    host.serve(11)
    assert host.attempt("observe", 11, user="nobody")["answer"] == host.observe(11)
    host.order("stop", 11)
    assert host.attempt("observe", 11, user="nobody")["answer"]["state"] == "missing"


def test_one_that_fills_its_memory_is_seen_to_have_run_out_of_it(host: Host) -> None:
    host.serve(4, "const kept = []; setInterval(() => kept.push(new Uint8Array(16 << 20).fill(1)), 50);", memory_mb=150)
    until(lambda: host.observe(4)["restarts"] > 0)
    until(lambda: host.observe(4)["out_of_memory"])
    host.order("stop", 4)


def test_one_that_ends_at_once_is_tried_again_and_then_given_up(host: Host) -> None:
    host.order("build", 5, 1, files={"package.json": PACKAGE, "server.ts": "console.log('broken'); process.exit(3);"})
    host.order("start", 5, 1)
    until(lambda: host.observe(5)["state"] == "exited")
    seen = host.observe(5)
    assert (seen["exit_code"], seen["out_of_memory"]) == (3, False)
    assert seen["restarts"] > 2
    assert "broken" in host.order("last_output", 5)
    host.order("start", 5, 1)  # systemd forgot that it gave up
    assert host.observe(5)["state"] != "exited"
    host.order("stop", 5)


def test_one_that_ignores_sigterm_is_killed_with_all_that_it_started(host: Host) -> None:
    stubborn = 'process.on("SIGTERM", () => console.log("no")); '
    stubborn += 'require("child_process").spawn("setsid", ["sleep", "1000"], { detached: true, stdio: "ignore" });'
    host.serve(6, stubborn, grace_seconds=3)
    assert host.says("pgrep", "--uid", "1880000006", "sleep")
    host.order("stop", 6, grace_seconds=3)
    assert "no" in host.log().splitlines()
    assert host.says("pgrep", "--uid", "1880000006") == ""


def test_one_that_finishes_its_work_on_sigterm_has_its_grace(host: Host) -> None:
    host.serve(7, 'process.on("SIGTERM", () => setTimeout(() => { console.log("finished"); process.exit(); }, 700));')
    host.order("stop", 7, grace_seconds=15)
    assert "finished" in host.log().splitlines()


def test_a_command_before_the_switch_has_the_releases_variables(host: Host) -> None:
    host.order("build", 8, 1, files={"package.json": PACKAGE, "server.ts": SERVER})
    assert host.order("run_once", 8, 1, command="echo $DATABASE $PORT", env={"DATABASE": "db"}) == f"db {PORT}\n"


def test_a_reboot_brings_back_what_ran_and_nothing_that_was_stopped(host: Host) -> None:
    host.serve(9)
    host.order("start", 9, 1, slot="green", port=PORT + 1)
    host.ask(PORT + 1)
    host.order("stop", 9, slot="green")
    host.reboot()
    assert host.ask()["PORT"] == str(PORT)
    assert host.observe(9)["state"] == "running"
    assert host.observe(9, "green")["state"] == "missing"
    host.order("remove_deployment", 9)
    assert host.units(9) == ""
    assert host.says("find", "/etc/systemd", "/var/lib/bakery", "-name", "*deployment-9-*") == ""
    assert host.says("ls", "/var/lib/bakery/builds/9") == ""
