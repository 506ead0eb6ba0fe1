"""Updates of Bakery itself, as far as they go without a host: versions, requests, and the feed that follows files."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from bakery import version
from bakery.models import AvailableVersion, Task, TaskKind, TaskState
from bakery.updates import looking, requests
from bakery.updates.adoption import Adopter
from bakery.updates.tending import tend
from deployments.models import LogChunk, LogStream
from deployments.services.requests import cancel
from infrastructure.errors import Problem
from infrastructure.lock import held_alone
from infrastructure.runner import Runner
from infrastructure.secret import Masker
from infrastructure.update import state as states
from infrastructure.update.journal import Journal
from infrastructure.update.mirror import Mirror
from infrastructure.update.running import prepare, run
from infrastructure.update.state import State
from infrastructure.version_file import Version
from tests.integration.bakerys_repository import Server, git
from tests.integration.people import alice

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server(tmp_path, settings)
    monkeypatch.setattr(version, "current", lambda: Version(made.first, "2026-11-01T00:00:00+00:00"))
    return made


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(alice())
    return client


def command(*argv: str) -> str:
    out = StringIO()
    call_command("update", *argv, stdout=out, stderr=out)
    return out.getvalue()


# --- A checkout does not update itself -------------------------------------------------------------------------------


def test_a_checkout_says_on_the_page_that_there_is_nothing_to_update_and_what_to_do(client: Client) -> None:
    page = client.get("/settings/update").content.decode()
    assert "runs out of a checkout" in page
    assert "git pull" in page
    assert 'id="do-update"' not in page
    refused = client.post("/settings/update/start", follow=True).content.decode()
    assert "git pull" in refused
    assert not Task.objects.exists()


def test_a_checkout_says_so_in_the_api(client: Client) -> None:
    found = client.get("/api/system/update").json()
    assert found["why_not"]["id"] == "update.not-a-server"
    answer = client.post("/api/system/update", content_type="application/json")
    assert answer.status_code == 409
    assert "git pull" in answer.json()["hint"]


def test_a_checkout_says_so_at_the_shell() -> None:
    for argv in ([], ["--check"]):
        with pytest.raises(CommandError, match="git pull"):
            command(*argv)


def test_the_version_of_a_checkout_is_its_commit(client: Client) -> None:
    found = version.current()
    assert len(found.sha) == 40
    assert client.get("/healthz").json()["version"]["sha"] == found.sha
    assert found.sha[:7] in client.get("/").content.decode()


# --- Looking ---------------------------------------------------------------------------------------------------------


def test_a_look_sees_what_is_newer_and_what_changed(server: Server, client: Client) -> None:
    server.commit("Mend the roof")
    newest = server.commit("Paint the door", CHANGELOG="# Changelog\n\n- The door is red.\n- The first.\n")
    looking.look()

    found = client.get("/api/system/update").json()
    assert found["current"]["sha"] == server.first
    assert found["available"]["sha"] == newest
    assert [change["subject"] for change in found["changes"]] == ["Paint the door", "Mend the roof"]
    assert found["changelog"] == "- The door is red."
    assert found["seen_at"]

    page = client.get("/settings/update").content.decode()
    for text in (newest[:12], "Paint the door", "The door is red.", "seen", 'id="do-update"'):
        assert text in page


def test_the_newest_version_has_nothing_to_update(server: Server, client: Client) -> None:
    looking.look()
    assert "This is the newest version" in client.get("/settings/update").content.decode()
    assert client.get("/api/system/update").json()["available"] is None
    assert "nothing to update" in command()
    assert not Task.objects.exists()


def test_after_an_update_what_was_seen_is_the_newest_version_until_the_next_look(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = server.commit("Paint the door")
    looking.look()
    monkeypatch.setattr(version, "current", lambda: Version(newest))
    page = client.get("/settings/update").content.decode()
    assert "This is the newest version" in page
    assert 'id="do-update"' not in page
    assert looking.is_due()


def test_what_runs_and_is_newer_than_the_branch_is_not_offered_an_older_one(server: Server, client: Client) -> None:
    newest = server.commit("Only here")
    looking.look()
    git(server.work, "reset", "--quiet", "--hard", server.first)
    server.runs(newest)
    looking.look()
    assert client.get("/api/system/update").json()["available"] is None


def test_a_look_that_fails_keeps_what_was_seen_and_says_why(server: Server, client: Client) -> None:
    newest = server.commit("Paint the door")
    looking.look()
    server.work.rename(server.work.with_name("gone"))
    looking.look()
    page = client.get("/settings/update").content.decode()
    assert "could not be fetched" in page
    assert newest[:12] in page
    with pytest.raises(CommandError, match="could not be fetched"):
        command("--check")


def test_it_is_looked_once_a_day_and_again_soon_after_a_failure(server: Server) -> None:
    assert looking.is_due()
    row = looking.look()
    assert not looking.is_due()
    AvailableVersion.objects.update(looked_at=timezone.now() - looking.EVERY)
    assert looking.is_due()
    AvailableVersion.objects.update(looked_at=timezone.now() - looking.AGAIN)
    assert not looking.is_due()
    AvailableVersion.objects.update(problem="The network is away.")
    assert looking.is_due()
    assert row.sha == server.first


def test_the_command_shows_versions_for_people_and_for_programs(server: Server) -> None:
    newest = server.commit("Paint the door")
    told = command("--check")
    assert "Available" in told
    assert "Paint the door" in told
    assert json.loads(command("--check", "--json"))["available"]["sha"] == newest


def test_a_password_in_the_repositorys_address_is_masked(server: Server, client: Client) -> None:
    git(server.mirror, "remote", "set-url", "origin", "https://alice:hunter2hunter2@localhost:1/bakery.git")
    looking.look()
    assert "hunter2hunter2" not in looking.last_look().problem
    assert "could not be fetched" in looking.last_look().problem


# --- Asking ----------------------------------------------------------------------------------------------------------


def test_an_update_is_a_task_and_a_second_one_is_refused(server: Server, client: Client) -> None:
    answer = client.post("/api/system/update", {"ref": "main"}, content_type="application/json")
    assert answer.status_code == 202
    task = Task.objects.get()
    assert (task.kind, task.subject, task.ref, task.state) == ("update", "Bakery", "main", "queued")
    assert task.requested_by == alice()

    again = client.post("/api/system/update", content_type="application/json")
    assert again.status_code == 409
    assert again.json()["id"] == "update.running"
    refused = client.post("/settings/update/start", follow=True).content.decode()
    assert "being updated already" in refused
    with pytest.raises(CommandError, match="being updated already"):
        command("--ref", "main")
    assert Task.objects.count() == 1


def test_after_one_has_ended_another_may_be_asked_for(server: Server) -> None:
    first = requests.update(by=None)
    Task.objects.filter(pk=first.pk).update(state=TaskState.FAILED)
    assert requests.update(by=None).pk != first.pk


def test_a_ref_that_git_could_not_have_is_refused(server: Server, client: Client) -> None:
    answer = client.post("/api/system/update", {"ref": "--upload-pack=x"}, content_type="application/json")
    assert answer.status_code == 422
    assert not Task.objects.exists()


def test_an_update_cannot_be_cancelled(server: Server, client: Client) -> None:
    task = requests.update(by=alice())
    assert not cancel(task, by=alice())
    assert f"cancel-{task.pk}" not in client.get(f"/activity/{task.pk}").content.decode()


# --- Going its way ---------------------------------------------------------------------------------------------------


def made_state(server: Server, task: Task) -> Journal:
    place = requests.place()
    prepare(place)
    state = State(task=task.pk, requested_by="alice@example.com", requested_at=task.created_at.isoformat())
    return Journal(place.state_file(task.pk), state, place.log_file(task.pk), Masker())


def test_the_feed_follows_the_files_of_a_running_update(server: Server, client: Client) -> None:
    task = requests.update(by=alice())
    journal = made_state(server, task)
    adopter = Adopter(requests.place())
    with journal.phase("fetch"):
        journal.ended(journal.started(["git", "fetch"]), 0, "")
        assert adopter.adopt_all()
        task.refresh_from_db()
        assert task.state == TaskState.RUNNING
        assert [(step.phase, step.state) for step in task.steps.all()] == [("fetch", "running"), ("fetch", "succeeded")]
    journal.state.outcome, journal.state.ended_at = "succeeded", states.now()
    journal.say("Bakery runs.")
    journal.save()
    assert not adopter.adopt_all()
    task.refresh_from_db()
    assert task.state == TaskState.SUCCEEDED
    stream = LogStream.objects.get(task=task)
    assert stream.ended_at
    told = "".join(LogChunk.objects.filter(stream=stream).values_list("data", flat=True))
    assert told == "── fetch\n$ git fetch\nBakery runs.\n"
    page = client.get(f"/activity/{task.pk}").content.decode()
    assert f'data-log-viewer="/streams/{stream.pk}/"' in page
    assert client.get(f"/streams/{stream.pk}/").status_code == 200
    assert client.get(f"/streams/{stream.pk}/raw")["Content-Disposition"].endswith('"bakery-update.log"')


def test_what_a_restored_database_does_not_know_any_more_is_brought_in_again(server: Server) -> None:
    task = requests.update(by=alice())
    journal = made_state(server, task)
    with journal.phase("migrate"):
        pass
    journal.state.fail(Problem("update.new-version-fails", "The database could not be migrated.", "See the log."))
    journal.state.outcome, journal.state.ended_at = "failed", states.now()
    journal.save()
    number = task.pk
    Adopter(requests.place()).adopt_all()
    Task.objects.all().delete()  # with its steps and its log: the database is as it was before

    Adopter(requests.place()).adopt_all()
    again = Task.objects.get(pk=number)
    assert (again.kind, again.state, again.error_id) == ("update", "failed", "update.new-version-fails")
    assert again.requested_by == alice()
    assert again.created_at == task.created_at
    assert [step.phase for step in again.steps.all()] == ["migrate"]
    assert LogStream.objects.get(task=again).line_count == 1
    assert Task.objects.create(kind=TaskKind.STOP, subject="shop").pk > number


def test_adopting_again_changes_nothing(server: Server) -> None:
    task = requests.update(by=alice())
    journal = made_state(server, task)
    with journal.phase("fetch"):
        adopter = Adopter(requests.place())
        adopter.adopt_all()
        before = list(Task.objects.get().steps.values())
        adopter.adopt_all()
        assert list(Task.objects.get().steps.values()) == before
    assert LogStream.objects.get().line_count == 1


def test_a_host_without_systemd_says_why_the_update_did_not_start(server: Server, monkeypatch: Any) -> None:
    """As in this test's own container; a wake-up that was lost is made up for by the same turn."""
    monkeypatch.setattr("infrastructure.runner.SAFE_PATH", "/nonexistent")
    task = requests.update(by=None)
    tend(0)
    task.refresh_from_db()
    assert task.state == TaskState.FAILED
    assert task.error_message
    tend(0)
    assert requests.update(by=None).pk != task.pk


# --- The updater, as far as it goes before it changes anything -------------------------------------------------------


def ended(server: Server, ref: str = "") -> State:
    task = requests.update(by=None, ref=ref)
    journal = made_state(server, task)
    journal.state.ref = ref
    journal.save()
    assert run(requests.place(), task.pk) == 0
    Adopter(requests.place()).adopt_all()
    found = states.read(requests.place().state_file(task.pk))
    assert found is not None
    assert found.outcome == "failed"
    assert found.did == []
    return found


def test_a_lost_network_leaves_the_old_version_running(server: Server) -> None:
    server.work.rename(server.work.with_name("gone"))
    found = ended(server)
    assert found.error_id == "update.cannot-fetch"
    assert "not touched" in found.error_hint
    assert Task.objects.get().error_message == found.error_message


def test_a_downgrade_is_refused_in_words(server: Server) -> None:
    newest = server.commit("Newer")
    server.runs(newest)
    found = ended(server, ref=server.first)
    assert found.error_id == "update.downgrade"
    assert "older" in found.error_message


def test_what_runs_already_is_no_update(server: Server) -> None:
    assert ended(server).error_id == "update.current"


def test_a_version_without_what_runs_is_refused(server: Server) -> None:
    git(server.work, "checkout", "--quiet", "--orphan", "other")
    server.commit("Another beginning")
    assert ended(server, ref="other").error_id == "update.not-a-successor"


def test_a_version_that_there_is_not_is_said(server: Server) -> None:
    assert ended(server, ref="nowhere").error_id == "update.no-such-version"


def test_an_update_that_was_cut_off_before_it_changed_anything_is_over(server: Server) -> None:
    task = requests.update(by=None)
    journal = made_state(server, task)
    journal.state.attempts = 1
    journal.state.steps.append(states.Step("install", started_at=states.now()))
    journal.save()
    assert run(requests.place(), task.pk) == 0
    found = states.read(requests.place().state_file(task.pk))
    assert found is not None
    assert (found.outcome, found.error_id) == ("failed", "update.interrupted")
    assert [step.state for step in found.steps] == ["failed"]


def test_a_second_updater_does_nothing(server: Server) -> None:
    task = requests.update(by=None)
    made_state(server, task).save()
    with held_alone(requests.place().lock) as alone:
        assert alone
        assert run(requests.place(), task.pk) == 0
    found = states.read(requests.place().state_file(task.pk))
    assert found is not None
    assert (found.attempts, found.outcome) == (0, "")


def test_a_tag_and_a_short_commit_name_a_version(server: Server, tmp_path: Path) -> None:
    newest = server.commit("Newer")
    git(server.work, "tag", "v2")
    mirror = Mirror(server.mirror, Runner())
    mirror.fetch()
    assert {mirror.resolve(name).sha for name in ("v2", newest[:9], newest, "main", "")} == {newest}
    (tmp_path / "out").mkdir()
    mirror.check_out(newest, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["CHANGELOG.md"]
