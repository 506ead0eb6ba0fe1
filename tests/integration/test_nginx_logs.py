"""Nginx's logs have a largest size, and no request is missing in them."""

from __future__ import annotations

import json
from pathlib import Path

from infrastructure.nginx.rotation import KEPT, rotate
from tests.integration.nginx_host import running_edge
from tests.integration.waiting import until


def uris(*logs: Path) -> list[str]:
    written = [log.read_text() for log in logs]
    whole = [text[: text.rfind("\n") + 1] for text in written]  # the last line may be half written
    return sorted(json.loads(line)["uri"] for text in whole for line in text.splitlines())


def test_requests_go_on_in_a_new_file_and_none_is_missing() -> None:
    with running_edge() as edge:
        old, asked = Path(f"{edge.access_log}.1"), 0

        def one_more_is_in_the_new_file() -> bool:
            nonlocal asked
            asked += 1  # the workers open the new file some time after the signal
            edge.ask(f"/after/{asked}")
            return edge.access_log.stat().st_size > 0

        edge.ask("/before")
        until(lambda: bool(edge.log_lines(uri="/before")))
        assert rotate([edge.access_log], edge.router.master, most_bytes=1) == [edge.access_log]
        until(one_more_is_in_the_new_file)
        expected = sorted(["/before", *(f"/after/{number}" for number in range(1, asked + 1))])
        until(lambda: uris(old, edge.access_log) == expected)
        assert {oct(log.stat().st_mode & 0o7777) for log in (old, edge.access_log)} == {"0o640"}, (
            "addresses carry tokens"
        )
        assert not edge.log_lines(uri="/before")


def test_a_small_log_is_left_alone_and_old_ones_are_let_go() -> None:
    with running_edge() as edge:
        edge.ask("/")
        until(lambda: bool(edge.log_lines()))
        assert edge.router.rotate_logs() == []

        def one_more_is_in_the_log() -> bool:
            edge.ask("/")  # again: a worker that has not heard the signal yet writes to the file let go
            return edge.access_log.stat().st_size > 0

        for _ in range(KEPT + 2):
            until(one_more_is_in_the_log)
            rotate([edge.access_log], edge.router.master, most_bytes=1)
            until(edge.access_log.exists)
        assert len(list(edge.access_log.parent.glob("access.json.*"))) == KEPT
