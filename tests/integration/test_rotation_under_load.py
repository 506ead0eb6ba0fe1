"""The password of a database changes while visitors come, and none of them notices."""

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg
import pytest

from tests.integration.apps import MIGRATES, counts_visits
from tests.integration.conftest import MakeApp
from tests.integration.visitors import Visitors
from tests.integration.waiting import until

pytestmark = pytest.mark.slow


def test_the_password_rotates_while_visitors_come_and_no_request_fails(make_app: MakeApp) -> None:
    app = make_app(counts_visits(), "--database", "--pre-deploy-command", MIGRATES)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    instance = app.instance
    for _ in range(2):
        before = app.get("/env").json()["DATABASE_URL"]
        with Visitors(instance.http_port, f"{app.name}.localhost") as visitors:
            until(lambda seen=visitors: seen.seen("1") > 20)
            instance.manage("database", "rotate-password", app.name)
            answered = visitors.seen("1")
            until(lambda seen=visitors, least=answered: seen.seen("1") > least + 20)
        assert visitors.lost == []
        after = app.get("/env").json()["DATABASE_URL"]
        assert urlsplit(after).username != urlsplit(before).username
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(before)
        with psycopg.connect(after) as session:
            row = session.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", (urlsplit(before).username,))
            assert row.fetchone() == (0,)
