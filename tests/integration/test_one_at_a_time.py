"""Deployments of which two releases must not, or need not, run at once; and what outlives a release."""

from __future__ import annotations

import pytest

from tests.integration import apps
from tests.integration.conftest import MakeApp
from tests.integration.gates import Gates
from tests.integration.writers import Writers

pytestmark = pytest.mark.slow


def test_with_one_writer_the_old_release_ends_before_the_new_one_starts(make_app: MakeApp) -> None:
    app = make_app(apps.healthy("first"), "--one-writer", "--persistent", "data", watch_seconds=0)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    app.get("/note")
    with Writers(app) as writers:
        app.repository.commit(apps.healthy("second"))
        assert app.deploy()["state"] == "succeeded", app.build_log()
        assert app.version() == "second"
        app.get("/note")
        assert app.ask("rollback")["state"] == "succeeded"
        assert app.version() == "first"
        assert app.ask("restart")["state"] == "succeeded"
    assert writers.most == 1
    assert app.get("/notes").text == "first\nsecond\n"


def test_with_one_writer_a_release_that_fails_brings_the_old_one_back(make_app: MakeApp) -> None:
    app = make_app(apps.healthy("good"), "--one-writer", watch_seconds=0, probe_timeout=8)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    with Writers(app) as writers:
        app.repository.commit(apps.never_listens())
        task = app.deploy()
        assert (task["state"], task["error_id"]) == ("failed", "app.never-listened")
        assert app.version() == "good"
        app.repository.commit(apps.build_fails())
        assert app.deploy()["error_id"] == "build.failed"
        assert app.version() == "good"
    assert writers.most == 1
    assert app.states == ["failed", "failed", "live"]


def test_with_one_writer_a_cancel_brings_the_old_release_back(make_app: MakeApp, gates: Gates) -> None:
    app = make_app(apps.healthy("good"), "--one-writer", watch_seconds=0)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    app.repository.commit(apps.start_waits(gates.url("start")))
    with Writers(app) as writers:
        task = app.deploy(wait=False)["id"]
        gates.wait_for("start")
        assert app.get().status_code == 503
        app.cancel()
        assert app.ended(task)["state"] == "cancelled"
        assert app.version() == "good"
    assert writers.most == 1


def test_without_blue_green_a_build_that_fails_stops_nothing(make_app: MakeApp) -> None:
    app = make_app(apps.healthy("good"), "--no-blue-green", watch_seconds=0)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    pid = app.get("/pid").text
    app.repository.commit(apps.build_fails())
    assert app.deploy()["error_id"] == "build.failed"
    assert app.get("/pid").text == pid
    app.repository.commit(apps.healthy("better"))
    assert app.deploy()["state"] == "succeeded", app.build_log()
    assert app.version() == "better"


def test_a_persistent_directory_outlives_releases(make_app: MakeApp) -> None:
    app = make_app(apps.healthy("first") | {"data/notes": "from the repository\n"}, "--persistent", "data")
    assert app.deploy()["state"] == "succeeded", app.build_log()
    app.get("/note")
    app.repository.commit(apps.healthy("second"))
    assert app.deploy()["state"] == "succeeded", app.build_log()
    app.get("/note")
    assert app.get("/notes").text == "from the repository\nfirst\nsecond\n"


def test_a_log_of_a_hundred_thousand_lines_does_not_hold_a_release_up(make_app: MakeApp) -> None:
    app = make_app(apps.says(100_000))
    assert app.deploy()["state"] == "succeeded", app.build_log()
    assert app.version() == "1"
