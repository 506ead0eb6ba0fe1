"""The story of a start, from an empty directory to a green ``/healthz``."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.quickstart import (
    acquire,
    check,
    control,
    environment_file,
    layout,
    nginx,
    postgres,
    redis_server,
    supervisord,
)
from infrastructure.quickstart.django import Django, first_admin
from infrastructure.quickstart.green import wait_until_green
from infrastructure.quickstart.options import Options
from infrastructure.report import Report
from infrastructure.runner import Command, Runner

PYTHON = Path(sys.executable)
DOCKER_SUBNET = "10.207.0.0/16"
LAUNCHER = Path(__file__).with_name("daemon.py")
SUPERVISE = Path(__file__).with_name("supervise.py")


@contextmanager
def only_one_start(place: layout.Layout) -> Iterator[None]:
    """Two quickstarts at once would overwrite each other's files."""
    place.run.mkdir(parents=True, exist_ok=True)
    with (place.run / "quickstart.lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), False)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HostProblem(
                "quickstart.busy", "Another quickstart is starting this instance just now.", "Wait for it to finish."
            ) from None
        yield


def start(options: Options, place: layout.Layout, report: Report, runner: Runner) -> str | None:
    """Everything up and green. Returns the admin's new password at the very first start."""
    account = layout.service_account()
    layout.make_directories(place, account)
    tools = acquire.acquire(place, report, runner)
    values = environment_file.plan(place, options, tools, environment_file.read(place.environment_file))
    environment_file.write(place.environment_file, values)
    if options.listed:
        place.pointer.write_text(f"{place.environment_file}\n")
    reached = environment_file.services(values)
    if (place.postgres / "PG_VERSION").exists():
        postgres.prepare(place, tools.postgres, reached, account, runner)
    else:
        with report.step("Making a PostgreSQL cluster"):
            postgres.prepare(place, tools.postgres, reached, account, runner)
    redis_server.prepare(place, reached, account)
    nginx.prepare(place, tools.nginx, values, account)
    listen = (values["BAKERY_HOST"], options.port)
    has_docker = check.docker_answers(values.get("DOCKER_HOST", ""))
    containers = (values.get("BAKERY_DOCKER_SUBNET") or DOCKER_SUBNET) if has_docker else ""
    all_programs = supervisord.programs(place, tools, reached, account, PYTHON, listen, containers=containers)
    files = supervisord.file_limit()
    place.supervisord_conf.write_text(
        supervisord.configuration(place, all_programs, is_root=account is not None, files=files)
    )
    with report.step("Starting supervisord, PostgreSQL and Redis"):
        supervisor = start_supervisord(place, runner)
        postgres.wait_and_create_database(reached)
    django = Django(place, runner, PYTHON)
    with report.step("Bringing the database's tables up to date"):
        django.manage("migrate", "--no-input", "-v", "0")
    if django.static_files_changed():
        with report.step("Collecting style sheets and scripts"):
            django.collect_static()
    password = first_admin(django, values, report)
    start_containers(place, report)
    with report.step("Starting Nginx, the web process, the workers and the collector") as step:
        for name in supervisord.BAKERY:
            supervisor.start(name)
        step.note = wait_until_green(options.port, place, supervisor)
    return password


def start_containers(place: layout.Layout, report: Report) -> None:
    """Those that were running at the last stop. One that cannot start has a page that says so."""
    from infrastructure.docker.instance import start_again

    if (place.run / "containers.json").exists():
        try:
            with report.step("Starting the containers that ran before") as step:
                step.note = ", ".join(start_again(place.data))
        except HostProblem as problem:
            report.say(f"  {problem.message}")


def start_supervisord(place: layout.Layout, runner: Runner) -> control.Supervisord:
    """As a daemon, whose session is what its programs are found by; it outlives this process when detached."""
    place.supervisor_socket.unlink(missing_ok=True)
    printed = place.logs / "supervisord.start.log"
    supervisord_argv = (str(PYTHON), "-I", str(SUPERVISE), "-n", "-s", "-c", str(place.supervisord_conf))
    argv = (str(PYTHON), "-I", str(LAUNCHER), str(printed), str(place.session), *supervisord_argv)
    runner.run(Command(argv, cwd=place.data, timeout=30))
    return control.wait_until_listening(place.supervisor_socket, printed)
