"""Builds that mean harm, on a real systemd: what they get at, what they break, and who notices."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from tests.host.docker_engine import BUN
from tests.host.test_systemd import PACKAGE, SERVER, Host, host
from tests.integration.waiting import until

__all__ = ["host"]

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("debootstrap") is None or shutil.which(BUN) is None,
    reason="it takes root, debootstrap and Bun",
)

NEIGHBOUR, NEIGHBOURS_PORT = 90, 8190
SECRET = "neighbours-secret-value"
# What is open to everybody on this host is so to show that a build does not even see it.
OPENED = """
mkdir -p /var/lib/bakery/backups && echo the-key > /var/lib/bakery/bakery.env && chmod 0644 /var/lib/bakery/bakery.env
cp /var/lib/bakery/bakery.env /run/bakery-copy
python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('/run/docker.sock')" ; chmod 0666 /run/docker.sock
"""
THEFT = r"""
look() { echo "== $1"; shift; "$@" 2>&1 | head -c 2000; echo; }
look env cat /var/lib/bakery/bakery.env
look install ls -A /opt/bakery
look data ls -A /var/lib/bakery
look builds ls -A /var/lib/bakery/builds
look neighbour cat /var/lib/bakery/builds/90/1/server.ts
look launch ls -A /var/lib/bakery/systemd/launch
look logs cat /var/lib/bakery/logs/processes/release-1.log
look socket python3 -c "import socket; socket.socket(socket.AF_UNIX).connect('/run/docker.sock')"
look environ sh -c 'cat /proc/[0-9]*/environ | tr "\0" "\n"'
look processes ls -d /proc/[0-9]*
look shadow cat /etc/shadow
look root ls -A /root
look write sh -c 'touch /etc/x /usr/x /var/x /run/x /dev/x'
look systemctl systemctl stop bakery-deployment-90-blue
look rights grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status
look mounted unshare --mount true
echo over
kill -9 -1
"""
MANY = "for i in $(seq 2000); do dd if=/dev/zero of=%s$i bs=1M count=1 2>/dev/null; done; sleep 60"
DEEP = f"mkdir {'d' * 40}; cd {'d' * 40}; "
FILLING = {
    "one file": "dd if=/dev/zero of=big bs=1M count=2000",
    "many files": MANY % "",
    "in the cache": MANY % "$HOME/",
    "deep down": DEEP * 150 + MANY % "",
}
DEPENDENT = {"dependencies": {"local": "file:./local"}}


def app(postinstall: str, **files: str) -> dict[str, str]:
    """A repository whose installation runs ``postinstall``."""
    package = {"scripts": {"start": "bun server.ts", "postinstall": "sh postinstall.sh"}, **DEPENDENT}
    return {
        "package.json": json.dumps(package),
        "local/package.json": '{"name": "local", "version": "1.0.0"}',
        "server.ts": SERVER,
        "postinstall.sh": postinstall,
        **files,
    }


@pytest.fixture(scope="module")
def neighbour(host: Host) -> Host:
    """Somebody else's application, which serves all the while."""
    host.serve(NEIGHBOUR, port=NEIGHBOURS_PORT, env={"SECRET": SECRET})
    host.do("sh", "-c", OPENED)
    return host


def build(host: Host, number: int, postinstall: str, **limits: int) -> dict[str, Any]:
    before = host.observe(NEIGHBOUR)
    said = host.attempt("build", number, 1, files=app(postinstall), **limits)
    assert host.ask(NEIGHBOURS_PORT)["SECRET"] == SECRET
    assert host.observe(NEIGHBOUR) == before, "the neighbour was started again"
    assert host.says("pgrep", "--uid", str(1880000000 + number)) == "", "something of the build was left"
    assert "build" not in host.says("systemctl", "list-units", "--all", "--no-legend", "bakery-*")
    return said


def test_an_install_script_sees_nothing_of_bakery_nor_of_other_applications(neighbour: Host) -> None:
    said = build(neighbour, 91, THEFT)
    assert said["problem"] == "build.failed"  # it killed whatever it could
    log: str = said["heard"]
    found = {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in log.split("== ")[1:]}
    assert "over" in log
    assert "the-key" not in log
    assert SECRET not in log
    assert "Bun.serve" not in log
    assert found["install"] == ""
    assert set(found["data"].split()) <= {"builds", "systemd"}
    assert found["builds"] == "91"
    for name in ("env", "neighbour", "launch", "logs"):
        assert "No such file" in found[name], found[name]
    assert "PermissionError" in found["socket"]
    assert "Permission denied" in found["shadow"]
    assert found["write"].count("Read-only") + found["write"].count("Permission denied") == 5
    assert "CapEff:\t0000000000000000" in found["rights"]
    assert "NoNewPrivs:\t1" in found["rights"]
    assert "Operation not permitted" in found["mounted"]


@pytest.mark.parametrize("how", FILLING)
def test_a_build_that_fills_the_disk_is_ended_in_words(neighbour: Host, how: str) -> None:
    said = build(neighbour, 92, FILLING[how], disk_mb=80)
    assert said["problem"] == "build.disk-limit", said
    assert "more than the 80 MiB" in said["text"]
    neighbour.order("remove_deployment", 92)


def test_what_it_puts_into_temporary_directories_counts_as_its_memory(neighbour: Host) -> None:
    fill = "for d in /tmp /var/tmp /dev/shm; do dd if=/dev/zero of=$d/x bs=1M count=400 || exit 1; done"
    said = build(neighbour, 93, fill, memory_mb=300)
    assert said["problem"] == "build.out-of-memory", said


def test_a_build_that_eats_memory_is_ended_in_words(neighbour: Host) -> None:
    eat = "bun -e 'const all = []; for (;;) all.push(new Uint8Array(16 << 20).fill(1))'"
    said = build(neighbour, 94, eat, memory_mb=300)
    assert said["problem"] == "build.out-of-memory", said
    assert "300 MiB" in said["text"]


def test_a_fork_bomb_ends_with_the_builds_time(neighbour: Host) -> None:
    said = build(neighbour, 95, "b() { b | b & }; b; sleep 1000", timeout=5)
    assert said["problem"] in ("build.timed-out", "build.failed"), said


def test_at_the_time_limit_everything_goes_that_it_started(neighbour: Host) -> None:
    said = build(neighbour, 96, "setsid sleep 1000 & (trap '' TERM; sleep 1000) & sleep 1000", timeout=3)
    assert said["problem"] == "build.timed-out"


def test_what_a_killed_worker_left_building_ends_when_it_is_built_again(neighbour: Host) -> None:
    request = {"do": "build", "deployment": 97, "release": 1, "files": app("echo begun > $HOME/begun; sleep 1000")}
    argv = ["docker", "exec", "-w", "/opt/bakery", neighbour.name, "python3", "-m", "tests.host.inside_systemd"]
    with subprocess.Popen([*argv, json.dumps(request)], stdout=subprocess.DEVNULL) as worker:
        until(lambda: neighbour.says("cat", "/var/lib/bakery/builds/97/cache/begun"))
        neighbour.do("sh", "-c", "kill -KILL $(pgrep --full inside_system[d])")
        worker.wait(30)
    assert neighbour.says("pgrep", "--uid", "1880000097", "sleep")
    assert "answer" in build(neighbour, 97, "true")


def test_a_command_before_the_switch_is_kept_apart_as_well(neighbour: Host) -> None:
    neighbour.order("build", 98, 1, files={"package.json": PACKAGE, "server.ts": SERVER})
    command = "ls /var/lib/bakery/builds /run/docker.sock; touch data/kept; echo done"
    said = neighbour.order("run_once", 98, 1, command=command, persistent=["data"])
    assert "98" in said.split()
    assert "90" not in said.split()
    assert "done" in said
    assert neighbour.says("ls", "/var/lib/bakery/persistent/98/data") == "kept"
