"""The quickstart, from outside: what it starts, what it leaves, what it says."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.quickstart import control, layout, processes
from infrastructure.quickstart.options import Options
from infrastructure.quickstart.start import SUPERVISE
from tests.instance import Instance, clean_environment, run
from tests.integration.waiting import until
from tests.plan import free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def empty() -> Iterator[Instance]:
    """An instance that was never started, in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="bakery-own-") as folder:
        data = Path(folder).resolve() / "data"
        Path(folder).chmod(0o755)
        own = Instance(
            Options(
                port=free_port(), http_port=free_port(), https_port=free_port(), data_dir=data, demo=False, listed=False
            )
        )
        yield own
        own.stop()


def test_every_part_of_a_started_instance_is_healthy(instance: Instance) -> None:
    until(lambda: instance.health().status_code == 200)  # a test before this one may have killed something
    answer = instance.health()
    parts = answer.json()["parts"]
    assert {name: part["ok"] for name, part in parts.items()} == dict.fromkeys(
        ["database", "redis", "worker-deploys", "worker-housekeeping", "beat", "collector", "nginx"], True
    )


def test_health_says_nothing_secret(instance: Instance) -> None:
    text = instance.health().text
    for name in ("DATABASE_URL", "REDIS_URL", "SESSION_SECRET", "ENCRYPTION_KEY"):
        assert instance.env[name] not in text


def test_health_names_redis_when_it_is_down_and_turns_green_again(instance: Instance) -> None:
    supervisor = control.Supervisord(instance.place.supervisor_socket)
    supervisor.stop("redis")
    try:
        answer = instance.health()
        assert answer.status_code == 503
        assert answer.json()["parts"]["redis"] == {"ok": False, "detail": "Redis does not answer."}
        assert answer.json()["parts"]["database"]["ok"] is True
    finally:
        supervisor.start("redis")
    until(lambda: instance.health().status_code == 200)


def test_health_names_the_processes_that_are_gone_as_soon_as_they_are(instance: Instance) -> None:
    supervisor = control.Supervisord(instance.place.supervisor_socket)
    supervisor.stop("background")
    try:
        answer = (
            instance.health()
        )  # an update that looked at old signs of life would take a broken version for a good one
        assert answer.status_code == 503
        gone = {name for name, part in answer.json()["parts"].items() if not part["ok"]}
        assert gone == {"worker-deploys", "worker-housekeeping", "beat", "collector"}
    finally:
        supervisor.start("background")
    until(lambda: instance.health().status_code == 200)


def test_a_page_that_needs_sign_in_can_be_seen_by_the_signed_in_admin(instance: Instance) -> None:
    page = instance.client().get(f"{instance.base_url}/", timeout=60)
    assert page.status_code == 200
    assert "/auth/login" not in page.url


def test_check_changes_nothing(empty: Instance) -> None:
    before = run(["git", "status", "--short"], 60).stdout
    own = empty.own_options()
    done = run(["infrastructure/scripts/quickstart.sh", "--check", *own], 60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing was changed." in done.stdout
    assert not empty.data_dir.exists()
    assert run(["git", "status", "--short"], 60).stdout == before


def test_every_obstacle_is_named_at_once(empty: Instance) -> None:
    with socket.create_server(("127.0.0.1", empty.options.port)), socket.create_server(("", empty.http_port)):
        done = empty.quickstart("--detach")
    assert done.returncode == 1
    assert f"port {empty.options.port} is in use" in done.stderr
    assert f"port {empty.http_port} is in use" in done.stderr
    assert "--http-port" in done.stderr
    assert processes.of_instance(empty.place) == []


def test_a_second_start_keeps_all_data_and_a_stop_leaves_no_process(empty: Instance) -> None:
    empty.start()
    first = dict(empty.env)
    empty.manage("create_admin", "bob@bakery.localhost", "-", stdin="correct-horse-battery-staple\n")
    again = empty.quickstart("--detach")
    assert again.returncode == 0
    assert "already running" in again.stdout
    empty.stop()
    assert processes.of_instance(empty.place) == []
    empty.start()
    assert empty.env == first
    assert empty.client("bob@bakery.localhost").get(f"{empty.base_url}/", timeout=60).status_code == 200


def test_what_a_killed_supervisord_leaves_behind_is_ended_by_the_next_start(empty: Instance) -> None:
    empty.start()
    leader = processes.running_supervisord(empty.place)
    assert leader
    orphans = [process for process in processes.of_instance(empty.place) if process.pid != leader.pid]
    stranger = subprocess.Popen(["sleep", "120"], cwd=empty.data_dir)
    try:
        processes.end([leader], grace=0)
        empty.place.supervisord_pid.unlink()  # as supervisord does itself when it dies of an error
        assert any(processes.still_runs(process) for process in orphans)
        empty.start()
        assert not any(processes.still_runs(process) for process in orphans)
        assert empty.health().status_code == 200
        assert stranger.poll() is None, "a process of somebody else was ended"
    finally:
        stranger.kill()
        stranger.wait()


def test_an_app_that_outlived_its_supervisord_is_ended_by_a_stop(empty: Instance) -> None:
    """Its directory is out of sight, as it is in a mount namespace: only what launch.py noted leads to it."""
    app, stranger = (subprocess.Popen(["sleep", "120"], cwd="/", start_new_session=True) for _ in range(2))
    try:
        seen = processes.read_process(app.pid)
        assert seen
        launches = empty.place.launches
        launches.mkdir(parents=True)
        (launches / "bakery-deployment-1-blue.starts").write_text(f"1.000/{app.pid}/{seen.started}\n")
        (launches / "bakery-deployment-2-blue.starts").write_text(f"1.000/{stranger.pid}/{seen.started - 100}\n")
        empty.stop()
        assert app.wait(60) == -signal.SIGTERM
        assert stranger.poll() is None, "its number was given out anew"
    finally:
        for process in (app, stranger):
            process.kill()
            process.wait()


def test_supervisord_outlives_a_disk_without_room_for_its_complaints(tmp_path: Path) -> None:
    """/dev/full answers every write with ENOSPC: it is both the program's log and supervisord's standard error."""
    listening = f"/tmp/bakery-full-{os.getpid()}.sock"
    conf = tmp_path / "supervisord.conf"
    said, talker = tmp_path / "said", tmp_path / "talker.py"
    talker.write_text(
        f"import pathlib, time\nfor n in range(10000):\n"
        f" print(n); pathlib.Path({str(said)!r}).write_text(str(n)); time.sleep(0.05)\n"
    )
    conf.write_text(
        f"[unix_http_server]\nfile={listening}\n[supervisord]\nnodaemon=true\nlogfile=/dev/full\nlogfile_maxbytes=0\n"
        f"pidfile={tmp_path}/pid\n[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
        f"[program:talks]\ncommand={sys.executable} -u {talker}\n"
        "stdout_logfile=/dev/full\nstdout_logfile_maxbytes=0\nredirect_stderr=true\n"
    )
    with Path("/dev/full").open("w") as full:
        supervisord = subprocess.Popen(
            [sys.executable, "-I", str(SUPERVISE), "-n", "-c", str(conf)], stdout=full, stderr=full, cwd=tmp_path
        )
    try:
        until(lambda: said.exists() and int(said.read_text() or 0) > 20)  # empty while it is being written
        assert supervisord.poll() is None
        assert control.Supervisord(Path(listening)).states() == {"talks": "RUNNING"}
    finally:
        supervisord.terminate()
        supervisord.wait(60)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_everything_that_was_started(empty: Instance, sent: signal.Signals) -> None:
    own = empty.own_options()
    command = [sys.executable, "-m", "infrastructure.quickstart", "--no-demo", "--unlisted", *own]
    with subprocess.Popen(
        command,
        cwd=layout.CHECKOUT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as quickstart:
        assert quickstart.stdout
        said = []
        for line in quickstart.stdout:
            said.append(line)
            if "Ctrl-C stops everything" in line:
                break
        text = "".join(said)
        assert empty.health().status_code == 200, text
        assert "Password   " in text
        started = processes.of_instance(empty.place)
        assert started
        quickstart.send_signal(sent)
        quickstart.stdout.read()
        assert quickstart.wait(60) == 0
    assert [process for process in started if processes.still_runs(process)] == []


def test_the_doctor_finds_nothing_wrong_with_a_fresh_instance(instance: Instance) -> None:
    report = instance.manage_json("doctor")
    assert isinstance(report, dict)
    assert [finding for finding in report["findings"] if finding["verdict"] == "wrong"] == []
    versions = {finding["subject"]: finding["version"] for finding in report["findings"]}
    assert versions["git"]
    assert versions["Nginx"]
    assert versions["PostgreSQL"]
    assert versions["Redis"]


def test_the_doctor_says_what_is_wrong_and_how_to_mend_it(instance: Instance) -> None:
    instance.place.environment_file.chmod(0o644)
    try:
        done = instance.manage("doctor", check=False)
    finally:
        instance.place.environment_file.chmod(0o600)
    assert done.returncode == 1
    assert f"chmod 600 {instance.place.environment_file}" in done.stdout
