from __future__ import annotations

import pytest

from bakery.encryption import StoredSecret, encrypt
from deployments.models import ACTIVE_STATES, TRANSITIONS, Release, ReleaseState
from deployments.services.snapshot import SNAPSHOT_FIELDS, Snapshot
from infrastructure.secret import Secret

S = ReleaseState
DEFAULTS = dict.fromkeys(SNAPSHOT_FIELDS, "x")


def snapshot(build: dict[str, str] | None = None, run: dict[str, str] | None = None, **settings: object) -> Snapshot:
    return Snapshot(
        settings={**DEFAULTS, **settings},
        build_env={k: Secret(v) for k, v in (build or {}).items()},
        run_env={k: Secret(v) for k, v in (run or {}).items()},
        persistent=(),
    )


def test_every_state_has_its_row_in_the_table() -> None:
    assert set(TRANSITIONS) == set(ReleaseState)


def test_a_release_that_was_never_live_reaches_live_only_through_every_step() -> None:
    path = [S.QUEUED, S.FETCHING, S.BUILDING, S.STARTING, S.PROBING, S.SWITCHING, S.DRAINING, S.LIVE]
    for source, target in zip(path, path[1:], strict=False):
        assert target in TRANSITIONS[source]
    assert [state for state in TRANSITIONS if S.LIVE in TRANSITIONS[state]] == [S.DRAINING, S.RETAINED]


def test_nobody_cancels_or_supersedes_a_release_that_may_serve() -> None:
    for state in (S.SWITCHING, S.DRAINING, S.LIVE):
        assert not TRANSITIONS[state] & {S.CANCELLED, S.SUPERSEDED}


def test_every_active_state_can_fail() -> None:
    assert all(S.FAILED in TRANSITIONS[state] for state in ACTIVE_STATES)


def test_a_move_that_the_table_does_not_have_is_a_bug() -> None:
    with pytest.raises(ValueError, match="No release goes from"):
        Release.objects.move(1, S.QUEUED, S.LIVE)


def test_the_artifact_key_changes_with_what_a_build_depends_on_and_with_nothing_else() -> None:
    key = snapshot(build={"A": "1"}).artifact_key("c", "bun")
    assert key == snapshot(build={"A": "1"}, run={"B": "2"}, health_path="/up").artifact_key("c", "bun")
    assert key != snapshot(build={"A": "2"}).artifact_key("c", "bun")
    assert key != snapshot(build={"A": "1"}, build_command="y").artifact_key("c", "bun")
    assert key != snapshot(build={"A": "1"}).artifact_key("d", "bun")
    assert key != snapshot(build={"A": "1"}).artifact_key("c", "docker")


def test_differences_name_settings_and_variables_but_no_values() -> None:
    names = snapshot(run={"A": "old-value", "B": "x"}).differences(snapshot(run={"A": "new-value"}, health_path="/up"))
    assert names == ["health path", "env A", "env B"]


def test_a_secret_from_the_database_equals_the_same_one_from_a_snapshot() -> None:
    stored = StoredSecret(encrypt(Secret("same")))
    assert stored == Secret("same")
    assert Snapshot(DEFAULTS, {}, {"A": stored}, ()).differences(snapshot(run={"A": "same"})) == []
