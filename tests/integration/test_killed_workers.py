"""kill -9 of the worker in every phase of a deploy: the old release serves all the time, the deploy is resumed to its
end by another worker, and the next deploy works."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

from tests.instance import Instance
from tests.integration import apps, programs
from tests.integration.apps import AppRepository
from tests.integration.conftest import MakeApp
from tests.integration.driving import ENDED, Driven, rows
from tests.integration.gates import Gates
from tests.integration.visitors import Visitors
from tests.integration.waiting import until
from tests.integration.writers import Writers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Driven:
    repository = AppRepository(tmp_path_factory.mktemp("sturdy") / "app", apps.healthy("first"))
    driven = Driven(instance, "sturdy", repository).create(
        "--pre-deploy-command", "bun pre-deploy.ts", watch_seconds=1, drain_seconds=60, probe_timeout=60
    )
    repository.commit(version("first"))
    assert driven.deploy()["state"] == "succeeded", driven.build_log()
    return driven


def version(name: str, **scripts: str) -> apps.Files:
    """A release that goes through every phase; ``scripts`` are what it runs in them, by file."""
    before = scripts.pop("start", "")
    nothing = {"build.ts": "", "pre-deploy.ts": ""}
    own = {f"{name.replace('_', '-')}.ts": text for name, text in scripts.items()}
    return apps.healthy(name, before=before) | apps.package(build="bun build.ts") | nothing | own


@contextmanager
def held_in_fetch(app: Driven, gates: Gates) -> Iterator[int]:
    """git waits for the other end of a pipe that lies in the place of the packed refs."""
    app.repository.commit(version("fetch"))
    pipe = app.repository.directory / ".git" / "packed-refs"
    os.mkfifo(pipe)
    try:
        task = app.deploy(wait=False)["id"]
        until(lambda: any(app.repository.url in (step["argv"] or []) for step in app.steps(task)))
        yield task
    finally:
        pipe.unlink()


@contextmanager
def held_in_build(app: Driven, gates: Gates) -> Iterator[int]:
    app.repository.commit(version("build", build=apps.passing(gates.url("build"))))
    task = app.deploy(wait=False)["id"]
    gates.wait_for("build")
    yield task
    gates.open("build")


@contextmanager
def held_in_pre_deploy(app: Driven, gates: Gates) -> Iterator[int]:
    app.repository.commit(version("pre-deploy", pre_deploy=apps.passing(gates.url("pre-deploy"))))
    task = app.deploy(wait=False)["id"]
    gates.wait_for("pre-deploy")
    yield task
    gates.open("pre-deploy")


@contextmanager
def held_in_start(app: Driven, gates: Gates) -> Iterator[int]:
    """The process manager, which is to start the release, is frozen."""
    app.repository.commit(version("start", build=apps.passing(gates.url("build"))))
    task = app.deploy(wait=False)["id"]
    gates.wait_for("build")
    supervisord = int(app.instance.place.supervisord_pid.read_text())
    worker = programs.pid_of(app.instance, "worker-deploys")
    with programs.frozen([supervisord]):
        gates.open("build")
        until(lambda: app.releases[0]["state"] == "starting")
        os.kill(worker, 9)
    yield task


@contextmanager
def held_in_probe(app: Driven, gates: Gates) -> Iterator[int]:
    app.repository.commit(version("probe", start=apps.passing(gates.url("start"))))
    task = app.deploy(wait=False)["id"]
    gates.wait_for("start")
    app.in_phase(task, "probe")
    yield task
    gates.open("start")


@contextmanager
def held_in_switch(app: Driven, gates: Gates) -> Iterator[int]:
    """Nginx, which is to confirm the switch, is frozen for a moment."""
    app.repository.commit(version("switch", start=apps.passing(gates.url("start"))))
    task = app.deploy(wait=False)["id"]
    gates.wait_for("start")
    app.in_phase(task, "probe")
    with programs.frozen(programs.nginx_workers(app.instance)):
        gates.open("start")
        app.in_phase(task, "switch")
        programs.kill(app.instance, "worker-deploys")
    yield task


@contextmanager
def held_in_drain(app: Driven, gates: Gates) -> Iterator[int]:
    with app.open_socket() as talk:
        app.repository.commit(version("drain"))
        task = app.deploy(wait=False)["id"]
        app.serves("drain", 60)
        app.in_phase(task, "drain")
        yield task
        until(lambda: app.task(task)["attempts"] == 2, 60)
        talk.send("still there")
        assert str(talk.recv()).endswith("still there")


Hold = Callable[[Driven, Gates], AbstractContextManager[int]]
PHASES: dict[str, Hold] = {
    "fetch": held_in_fetch,
    "build": held_in_build,
    "pre-deploy": held_in_pre_deploy,
    "start": held_in_start,
    "probe": held_in_probe,
    "switch": held_in_switch,
    "drain": held_in_drain,
}
KILLED_ALREADY = ("start", "switch")


@pytest.mark.parametrize("phase", PHASES)
def test_a_worker_that_is_killed_is_followed_by_one_that_goes_on(app: Driven, gates: Gates, phase: str) -> None:
    with Visitors(app.instance.http_port, f"{app.name}.localhost", of_each=1) as visitors, ExitStack() as held:
        task = held.enter_context(PHASES[phase](app, gates))
        if phase not in KILLED_ALREADY:
            programs.kill(app.instance, "worker-deploys")
        held.close()
        ended = app.ended(task, 120)
        assert ended["state"] == "succeeded", f"{ended}\n{app.build_log()}"
        assert ended["attempts"] == 2
        app.serves(phase)
        app.repository.commit(version(f"after-{phase}"))
        assert app.deploy()["state"] == "succeeded", app.build_log()
    assert visitors.lost == []
    assert app.version() == f"after-{phase}"
    assert app.states.count("live") == 1


def test_a_worker_that_is_killed_while_it_puts_a_failed_release_back_is_followed_as_well(
    app: Driven, gates: Gates
) -> None:
    """The failed one ignores SIGTERM, so that putting back takes its time."""
    serves = app.version()
    stays = 'process.on("SIGTERM", () => {});' + apps.passing(gates.url("gone"))
    app.repository.commit(version("bad", start=stays))
    with Visitors(app.instance.http_port, f"{app.name}.localhost", of_each=1) as visitors:
        task = app.deploy(wait=False)["id"]
        gates.wait_for("gone")
        app.cancel()
        until(lambda: app.task(task)["error_id"] != "")
        programs.kill(app.instance, "worker-deploys")
        assert app.ended(task, 60)["state"] == "cancelled"
    assert visitors.lost == []
    assert app.version() == serves


def test_a_worker_that_was_frozen_for_longer_than_its_lease_leaves_the_host_alone(app: Driven, gates: Gates) -> None:
    with held_in_build(app, gates) as task:
        with programs.frozen([programs.pid_of(app.instance, "worker-deploys")]):
            expired = "SELECT id FROM deployments_deployment WHERE name = %s AND lease_expires_at < now()"
            until(lambda: bool(rows(app.instance, expired, app.name)))
        gates.wait_for("build", 2, 60)  # the build was begun anew: the first one is not trusted any more
    assert app.ended(task)["state"] == "succeeded", app.build_log()
    assert app.task(task)["attempts"] == 2
    assert app.version() == "build"


def test_a_deploy_that_kills_its_worker_every_time_is_given_up(app: Driven, gates: Gates) -> None:
    serves = app.version()
    app.repository.commit(version("deadly", build=apps.passing(gates.url("deadly"))))
    task = app.deploy(wait=False)["id"]
    for times in (1, 2, 3):
        gates.wait_for("deadly", times, 60)
        programs.kill(app.instance, "worker-deploys")
    ended = app.ended(task, 60)
    assert (ended["state"], ended["error_id"]) == ("failed", "task.abandoned")
    assert app.version() == serves
    app.repository.commit(version("alive"))
    assert app.deploy()["state"] == "succeeded"


def test_a_restart_whose_worker_is_killed_is_done_by_the_next_one(app: Driven, gates: Gates) -> None:
    gates.open("start")
    app.repository.commit(version("gated", start=apps.passing(gates.url("start"))))
    assert app.deploy()["state"] == "succeeded", app.build_log()
    before = app.get("/pid").text
    gates.shut("start")
    with Visitors(app.instance.http_port, f"{app.name}.localhost", of_each=1) as visitors:
        task = app.ask("restart", wait=False)["id"]
        gates.wait_for("start", 2)
        programs.kill(app.instance, "worker-deploys")
        gates.open("start")
        assert app.ended(task)["state"] == "succeeded", app.build_log()
    assert visitors.lost == []
    assert app.get("/pid").text != before


def test_with_one_writer_a_killed_worker_leaves_neither_two_writers_nor_none(make_app: MakeApp, gates: Gates) -> None:
    app = make_app(apps.healthy("old"), "--one-writer")
    assert app.deploy()["state"] == "succeeded", app.build_log()
    app.repository.commit(apps.start_waits(gates.url("start"), "new"))
    with Writers(app) as writers:
        task = app.deploy(wait=False)["id"]
        gates.wait_for("start")
        programs.kill(app.instance, "worker-deploys")
        gates.open("start")
        assert app.ended(task)["state"] == "succeeded", app.build_log()
    assert writers.most == 1
    assert app.version() == "new"


def test_a_deletion_whose_worker_is_killed_is_finished(make_app: MakeApp) -> None:
    app = make_app(apps.ignores_sigterm(), grace_seconds=15)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    pk = app.id
    task = app.ask("delete_deployment", "--yes", wait=False)["id"]

    def is_killed_in_time() -> bool:  # or over, on a machine that let nobody look for so long
        at = {step["phase"] for step in app.steps(task) if step["state"] == "running"}
        return "remove processes, containers and images" in at or app.task(task)["state"] in ENDED

    until(is_killed_in_time)
    programs.kill(app.instance, "worker-deploys")
    assert app.ended(task)["state"] == "succeeded"
    assert rows(app.instance, "SELECT id FROM deployments_deployment WHERE id = %s", pk) == []
    assert not list(app.instance.data_dir.glob(f"supervisor/**/bakery-deployment-{pk}-*"))
    assert not (app.instance.data_dir / "builds" / str(pk)).exists()
