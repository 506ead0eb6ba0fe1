"""What an update keeps in files, and what it looks at before it begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infrastructure import version_file
from infrastructure.errors import HostProblem, Problem
from infrastructure.runner import Runner
from infrastructure.secret import Masker
from infrastructure.update import backup, preflight, releases, starting
from infrastructure.update import state as states
from infrastructure.update.journal import Journal
from infrastructure.update.place import Place, place_of
from infrastructure.update.state import State
from infrastructure.version_file import Version

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A server's directories, without a server."""
    install, data, units = tmp_path / "opt", tmp_path / "data", tmp_path / "units"
    for directory in (install / "releases" / OLD[:12], data / "updates", data / "static", units):
        directory.mkdir(parents=True)
    version_file.write(install / "releases" / OLD[:12], Version(OLD, "2026-11-01T00:00:00+00:00"))
    (install / "current").symlink_to(f"releases/{OLD[:12]}")
    (install / ".env").write_text(
        f"# secrets\nBAKERY_DATA_DIR={data}\nDATABASE_URL=postgres://bakery:hunter2hunter2@127.0.0.1/bakery\n"
    )
    found = place_of(install)
    return Place(found.install, found.data, found.logs, units)


def test_a_place_is_read_from_the_servers_own_environment(place: Place) -> None:
    assert place.data == place.install.parent / "data"
    assert place.logs == place.data / "logs"
    assert place.running().sha == OLD
    assert "hunter2hunter2" in place.secrets()


def test_a_state_is_read_back_as_it_was_written(place: Place) -> None:
    file = place.state_file(7)
    written = State(task=7, ref="main", did=["paused"], steps=[states.Step("fetch", state="succeeded")])
    states.write(file, written)
    assert states.read(file) == written
    assert [state.task for state in states.all_states(place.states)] == [7]


def test_a_state_of_another_version_is_read_without_what_is_not_known_here(place: Place) -> None:
    place.state_file(7).write_text(json.dumps({"task": 7, "colour": "red", "steps": [{"phase": "fetch", "depth": 3}]}))
    found = states.read(place.state_file(7))
    assert found is not None
    assert [step.phase for step in found.steps] == ["fetch"]


def test_what_is_no_state_is_none(place: Place) -> None:
    place.state_file(7).write_text('{"task": ')
    assert states.read(place.state_file(7)) is None
    assert states.read(place.state_file(8)) is None


def test_no_secret_gets_into_the_state_or_the_log_even_when_output_is_torn(place: Place) -> None:
    state = State(task=7)
    journal = Journal(place.state_file(7), state, place.log_file(7), Masker(["hunter2hunter2"]))

    def migrate() -> None:
        with journal.phase("migrate"):
            journal.hear(b"connecting with hunter2")
            journal.hear(b"hunter2 to the server\n")
            raise ValueError("password hunter2hunter2 is wrong")

    with pytest.raises(ValueError, match="hunter2"):
        migrate()
    journal.close()
    told = place.log_file(7).read_text() + place.state_file(7).read_text()
    assert "connecting with [secret] to the server" in told
    assert "hunter2hunter2" not in told
    assert [(step.phase, step.state) for step in state.steps] == [("migrate", "failed")]


def test_what_will_be_changed_is_on_disk_before_it_is_changed(place: Place) -> None:
    journal = Journal(place.state_file(7), State(task=7), place.log_file(7), Masker())
    journal.about_to("database")
    journal.close()
    found = states.read(place.state_file(7))
    assert found is not None
    assert found.did == ["database"]


def test_only_the_first_failure_is_kept() -> None:
    state = State(task=7)
    state.fail(Problem("a.first", "The first."))
    state.fail(HostProblem("a.second", "The second."))
    assert (state.error_id, state.error_message) == ("a.first", "The first.")


def test_files_of_the_old_version_are_put_back_and_those_of_the_new_one_alone_go(place: Place) -> None:
    (place.units / "bakery.service").write_text("old")
    (place.units / "bakery-deployment-1-blue.service").write_text("a site")
    place.static_manifest.write_text("old")
    saved = backup.new_directory(place, OLD)
    backup.save_files(place, saved)

    before = place.env_file.read_text()
    (place.units / "bakery.service").write_text("new")
    (place.units / "bakery-new.service").write_text("new")
    place.env_file.write_text("new")
    place.static_manifest.write_text("new")
    (place.units / "bakery-deployment-1-blue.service").write_text("deployed since")

    for _ in range(2):  # a second time changes nothing
        backup.put_back_files(place, saved)
    assert (place.units / "bakery.service").read_text() == "old"
    assert not (place.units / "bakery-new.service").exists()
    assert place.env_file.read_text() == before
    assert place.static_manifest.read_text() == "old"
    assert (place.units / "bakery-deployment-1-blue.service").read_text() == "deployed since"
    assert saved.stat().st_mode & 0o077 == 0


def test_the_link_is_put_back(place: Place) -> None:
    saved = backup.new_directory(place, OLD)
    backup.save_files(place, saved)
    place.current.unlink()
    place.current.symlink_to("releases/elsewhere")
    backup.put_back_link(place, saved)
    assert place.running().sha == OLD


def test_the_newest_releases_and_backups_are_kept_and_what_runs_whatever_its_age(place: Place) -> None:
    for number in range(1, 5):
        directory = place.releases / f"{number:012d}"
        directory.mkdir()
        version_file.write(directory, Version(f"{number:040d}"))
    removed = releases.prune(place, {OLD})
    assert OLD[:12] not in removed
    assert len(list(place.releases.iterdir())) == releases.KEPT
    place.backups.mkdir(parents=True)
    for number in range(7):
        (place.backups / f"2026110{number}-000000-aaa").mkdir()
    assert sorted(backup.prune(place)) == ["20261100-000000-aaa", "20261101-000000-aaa"]


@pytest.mark.parametrize(
    ("line", "wanted"), [('requires-python = ">=3.10"', (3, 10)), ("requires-python='>= 3.12'", (3, 12)), ("", (3, 10))]
)
def test_which_python_a_version_needs_is_read_from_its_project_file(line: str, wanted: tuple[int, int]) -> None:
    assert preflight.needed_python(f"[project]\n{line}\n") == wanted


def test_a_python_that_is_not_there_is_said_before_anything_is_touched() -> None:
    with pytest.raises(HostProblem, match=r"needs Python 3\.99"):
        preflight.python_for('requires-python = ">=3.99"', Runner())


def test_a_full_disk_is_said_before_anything_is_touched(place: Place) -> None:
    with pytest.raises(HostProblem) as caught:
        preflight.check_room(place, 10**15)
    assert caught.value.id == "update.disk-full"
    assert "MB free" in preflight.check_room(place, 0)


def test_the_updater_is_a_unit_of_its_own_out_of_the_release_that_runs() -> None:
    argv = starting.command(Place(Path("/opt/bakery"), Path("/d"), Path("/l")), OLD[:12], 7).argv
    assert argv[:2] == ("systemd-run", "--unit=bakery-update")
    assert "--property=Restart=on-failure" in argv
    assert argv[-4:] == ("--", f"/opt/bakery/releases/{OLD[:12]}/infrastructure/scripts/update.sh", "run", "7")


@pytest.mark.parametrize("same", [True, False])
def test_packages_are_taken_from_the_version_that_runs_when_both_need_the_same(tmp_path: Path, same: bool) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for directory in (old, new):
        (directory / ".venv" / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
        (directory / ".venv" / "bin").mkdir()
        (directory / "requirements.txt").write_text("django==5\n")
    (old / ".venv" / "lib" / "python3.11" / "site-packages" / "django.py").write_text("x")
    (old / ".venv" / "bin" / "daphne").write_text(f"#!{old}/.venv/bin/python\n")
    if not same:
        (new / "requirements.txt").write_text("django==6\n")
    assert releases.share_packages(old, new) == same
    assert (new / ".venv" / "lib" / "python3.11" / "site-packages" / "django.py").exists() == same
    if same:
        assert (new / ".venv" / "bin" / "daphne").read_text() == f"#!{new}/.venv/bin/python\n"
