from __future__ import annotations

from tests.instance import Instance


def test_every_part_of_a_started_instance_is_healthy(instance: Instance) -> None:
    answer = instance.health()
    assert answer.status_code == 200, answer.text
    assert answer.json()["ok"] is True
