"""A deploy, the next one under load, and the way back, seen by those who visit the application."""

from __future__ import annotations

import threading

import pytest
import requests

from tests.instance import Instance
from tests.integration.apps import AppRepository, exits, healthy
from tests.integration.conftest import MakeApp
from tests.integration.driving import Driven
from tests.integration.visitors import Visitors, listens
from tests.integration.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Driven:
    """One deployment that these tests hand on, so that each begins with a release that serves."""
    driven = Driven(instance, "steady", AppRepository(tmp_path_factory.mktemp("steady") / "app", healthy("first")))
    driven.create(drain_seconds=60)  # what keeps it waiting is closed before that
    task = driven.deploy()
    assert task["state"] == "succeeded", driven.build_log()
    return driven


def next_version(app: Driven, version: str) -> None:
    app.repository.commit(healthy(version))
    task = app.deploy()
    assert task["state"] == "succeeded", app.build_log()


def test_a_deploy_serves(app: Driven) -> None:
    assert app.version() == "first"
    assert app.states == ["live"]


@pytest.mark.slow
def test_the_environment_reaches_the_app_and_nothing_of_bakery_does(app: Driven) -> None:
    values = {"GREETING": 'it\'s "quoted" $HOME %s %(here)s `x` \\ ü', "LINES": "one\ntwo\n\nfour", "EMPTY": ""}
    app.instance.manage("env", app.name, "set", *(f"{name}={value}" for name, value in values.items()))
    assert app.deploy()["state"] == "succeeded"
    seen = app.get("/env").json()
    assert {name: seen[name] for name in values} == values
    assert not [name for name in seen if name.startswith("BAKERY") or name in ("DATABASE_URL", "ENCRYPTION_KEY")]


def test_no_request_is_lost_while_releases_replace_each_other(app: Driven) -> None:
    with Visitors(app.instance.http_port, f"{app.name}.localhost") as visitors:
        for version in ("second", "third"):
            app.repository.commit(healthy(version))
            task = app.deploy(wait=False)
            until(lambda version=version: visitors.seen(version) > 20, 60)
            assert app.ended(task["id"])["state"] == "succeeded"
        back = app.ask("rollback", wait=False)
        before = visitors.seen("second")
        until(lambda: visitors.seen("second") > before + 20, 60)
        assert app.ended(back["id"])["state"] == "succeeded"
    assert visitors.lost == []
    assert app.version() == "second"


@pytest.mark.slow
def test_a_restart_replaces_the_process_and_loses_no_request(app: Driven) -> None:
    before = app.get("/pid").text
    with Visitors(app.instance.http_port, f"{app.name}.localhost") as visitors:
        assert app.ask("restart")["state"] == "succeeded"
        until(lambda: sum(visitors.answers.values()) > 50)
    assert visitors.lost == []
    assert app.get("/pid").text != before


@pytest.mark.slow
def test_what_began_on_the_old_release_finishes_there(app: Driven) -> None:
    next_version(app, "old")
    answers: list[requests.Response] = []
    slow = threading.Thread(target=lambda: answers.append(app.get("/slow?seconds=6")))

    with app.open_socket() as talk:
        talk.send("before")
        assert talk.recv() == "old before"
        slow.start()
        app.repository.commit(healthy("new"))
        task = app.deploy(wait=False)
        app.serves("new")
        talk.send("after")
        assert talk.recv() == "old after"
    slow.join(60)
    assert app.ended(task["id"])["state"] == "succeeded"
    assert [answer.json() for answer in answers] == [{"version": "old"}]
    assert app.version() == "new"


def test_a_rollback_brings_code_and_configuration_back_without_git_or_build(app: Driven) -> None:
    app.instance.manage("env", app.name, "set", "COLOUR=blue")
    next_version(app, "blue")
    app.instance.manage("env", app.name, "set", "COLOUR=red")
    next_version(app, "red")
    hidden = app.repository.directory.rename(app.repository.directory.with_name("hidden"))
    try:
        task = app.ask("rollback")
        assert task["state"] == "succeeded", task
    finally:
        hidden.rename(app.repository.directory)
    assert app.version() == "blue"
    assert app.get("/env").json()["COLOUR"] == "blue"
    assert not {"fetch", "build"} & set(app.phases(task["id"]))


@pytest.mark.slow
def test_a_rollback_to_a_release_that_is_still_warm_starts_nothing(app: Driven) -> None:
    next_version(app, "calm")
    calm = app.get("/pid").text
    with app.open_socket():  # so that the old release is not idle
        app.repository.commit(healthy("hasty"))
        task = app.deploy(wait=False)
        app.in_phase(task["id"], "drain")
        back = app.ask("rollback", wait=False)
        assert app.ended(task["id"])["state"] == "succeeded"
    assert app.ended(back["id"])["state"] == "succeeded"
    assert app.version() == "calm"
    assert app.get("/pid").text == calm
    assert "start" not in app.phases(back["id"])


@pytest.mark.slow
def test_a_release_that_dies_after_the_switch_is_reverted_by_itself(make_app: MakeApp) -> None:
    app = make_app(healthy("good"), watch_seconds=20)
    app.instance.manage("env", app.name, "set", "A=1")
    first = app.deploy(wait=False)
    app.serves("good", 60)
    app.repository.commit(healthy("mortal"))
    second = app.deploy(wait=False)
    assert app.ended(first["id"])["state"] == "succeeded"
    app.serves("mortal", 60)
    app.get("/die")
    task = app.ended(second["id"])
    assert (task["state"], task["error_id"]) == ("failed", "app.died-after-switch")
    assert "v1 was put back" in task["error_message"]
    assert app.version() == "good"
    assert app.states == ["failed", "live"]


@pytest.mark.slow
def test_stop_shows_a_page_of_bakerys_own_and_start_brings_it_back(app: Driven) -> None:
    version = app.version()
    assert app.ask("stop")["state"] == "succeeded"
    answer = app.get()
    assert answer.status_code == 503
    assert "Stopped" in answer.text and app.repository.url not in answer.text
    assert app.ask("start")["state"] == "succeeded"
    assert app.version() == version


@pytest.mark.slow
def test_a_deploy_of_a_stopped_application_starts_it_and_a_failed_one_does_not(app: Driven) -> None:
    assert app.ask("stop")["state"] == "succeeded"
    app.repository.commit(exits())
    assert app.deploy()["error_id"] == "app.exited"
    assert app.get().status_code == 503
    next_version(app, "awake")
    assert app.version() == "awake"


@pytest.mark.slow
def test_deleting_leaves_nothing(app: Driven) -> None:
    pk, releases = app.id, [release["id"] for release in app.releases]
    ports = [slot["port"] for slot in app.slots]
    assert app.ask("delete_deployment", "--yes")["state"] == "succeeded"
    assert app.get().status_code == 404
    assert not [port for port in ports if listens(port)]
    data = app.instance.data_dir
    left = [path for pattern in left_over(pk, releases) for path in data.glob(pattern)]
    assert left == []
    assert app.releases == []


def left_over(pk: int, releases: list[int]) -> list[str]:
    """Patterns of everything that is made for a deployment below the data directory."""
    own = [f"builds/{pk}", f"persistent/{pk}", f"repositories/{pk}.git", f"nginx/sites/{pk}.conf", f"nginx/run/{pk}"]
    own += [f"supervisor/**/bakery-deployment-{pk}-*"]
    return own + [f"logs/processes/release-{release}.log*" for release in releases]
