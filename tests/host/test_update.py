"""Bakery updates itself on a server that install.sh made: forward, and back again from whatever goes wrong.

The tests share one server and go from version to version, in this order. Every one begins and ends with a Bakery that
is well, and a site that nothing of it disturbs.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from infrastructure.systemd.bakery_units import RENEWAL, RENEWAL_TIMER
from tests.host.machine import Outcome
from tests.host.server import Server
from tests.integration.apps import healthy
from tests.integration.visitors import Visitors
from tests.integration.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
SITE = "still-here"
UPDATER = "bakery-update.service"
MIGRATION = "bakery/migrations/{name}.py"
WELL = {"steps": ["fetch", "check", "install", "pause", "back up", "migrate", "activate", "start", "verify", "tidy"]}


@pytest.fixture(scope="module")
def site(server: Server) -> Iterator[str]:
    """A site that is served all the time; its host name."""
    if server.admin is None or not server.exists("/usr/local/bin/bakery"):
        server.install()
    server.wait_until_healthy()
    server.do("sh", "-c", "echo BAKERY_ALLOW_FILE_REPOSITORIES=true >>/opt/bakery/.env")
    server.do("systemctl", "restart", "bakery-worker.service", "bakery.service")
    server.wait_until_healthy()
    for name, text in healthy("1").items():
        server.put(f"/srv/site/{name}", text)
    own = ("-c", "user.name=Alice", "-c", "user.email=alice@bakery.localhost", "-C", "/srv/site")
    server.do("git", *own, "init", "--quiet", "--initial-branch=main")
    server.do("git", *own, "add", "--all")
    server.do("git", *own, "commit", "--quiet", "--allow-empty", "-m", "A site")
    server.bakery("create_deployment", SITE, "--repo", "file:///srv/site")
    server.bakery("deploy", SITE, timeout=300)
    host = f"{SITE}.{_setting(server, 'BAKERY_APPS_DOMAIN')}"
    until(lambda: server.answers(host=host)[0] == 200, 60)
    good = server.repository.head()
    yield host
    server.repository.commit({}, "Good again", base=good if server.repository.head() != good else "")
    server.bakery("delete_deployment", SITE, "--yes", check=False)


@pytest.fixture
def visited(server: Server, site: str) -> Iterator[Visitors]:
    """People who use the site for as long as the test goes on; none of them may notice anything."""
    server.wait_until_healthy()
    with Visitors(80, site, of_each=1, address=server.address) as visitors:
        until(lambda: visitors.seen("1") > 10)
        yield visitors
    assert visitors.lost == []
    assert visitors.seen("1") > 100


def running(server: Server) -> str:
    """The commit of the processes that answer."""
    found = server.request(path="/healthz", host=server.address).json()
    assert found["ok"], found
    return str(found["version"]["sha"])


def installed(server: Server) -> str:
    return server.read("/opt/bakery/current/VERSION").split()[0]


def newer(server: Server, files: dict[str, str | None], message: str) -> str:
    """A version more, made from the one that runs: what a test before this one pushed is not in it."""
    return server.repository.commit(files, message, base=installed(server))


def migration(before: str, *operations: str) -> str:
    """A migration of Bakery's own app, after ``before``."""
    text = f"""
    import time
    from django.db import migrations

    class Migration(migrations.Migration):
        dependencies = [("bakery", "{before}")]
        operations = [{", ".join(operations)}]
    """
    return textwrap.dedent(text)


def sql(text: str) -> str:
    return f'migrations.RunSQL("{text}", migrations.RunSQL.noop)'


def last_migration(server: Server) -> str:
    names = server.says("sh", "-c", "ls /opt/bakery/current/bakery/migrations").split()
    return max(name.removesuffix(".py") for name in names if name[:4].isdigit())


def tables(server: Server) -> str:
    url = _setting(server, "DATABASE_URL")
    return server.do("psql", url, "-Atc", "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")


def databases(server: Server) -> list[str]:
    """Bakery's own, and what is made beside it; those of applications have other owners."""
    owned = "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = 'bakery'"
    return server.do("psql", _setting(server, "DATABASE_URL"), "-Atc", owned).split()


def update(server: Server, *argv: str) -> Outcome:
    return server.bakery("update", *argv, check=False, timeout=900)


def task(server: Server) -> dict[str, Any]:
    """The newest task of the feed, as the API shows it."""
    session = server.signed_in()
    base = f"http://{server.address}/api"
    newest = session.get(f"{base}/tasks?limit=1", timeout=30).json()[0]
    found: dict[str, Any] = session.get(f"{base}/tasks/{newest['id']}", timeout=30).json()
    return found


def ended_task(server: Server) -> dict[str, Any]:
    until(lambda: task(server)["state"] not in ("queued", "running"), 60)
    return task(server)


def as_before_certificates(server: Server) -> None:
    """A server that was installed by a version which had none."""
    server.do("systemctl", "disable", "--now", RENEWAL_TIMER)
    server.do("sed", "-i", f"s/ {RENEWAL_TIMER}//", "/etc/systemd/system/bakery.target")
    server.do("rm", *(f"/etc/systemd/system/{name}" for name in (RENEWAL, RENEWAL_TIMER)))
    server.do("rm", "-rf", "/var/lib/bakery/letsencrypt", "/var/lib/bakery/nginx/acme")
    server.do("systemctl", "daemon-reload")


def state(server: Server) -> dict[str, Any]:
    """Of the newest update, from its file."""
    found = server.says("sh", "-c", "cat $(ls -t /var/lib/bakery/updates/*.json | head -1)")
    return dict(json.loads(found)) if found else {}


def assert_put_back(server: Server, old: str, tables_before: str) -> None:
    server.wait_until_healthy()
    assert running(server) == installed(server) == old
    assert tables(server) == tables_before
    assert databases(server) == ["bakery"], "nothing is left of the restore"
    assert not server.exists("/opt/bakery/updating")
    found = ended_task(server)
    assert found["state"] == "failed"
    assert "put back" in found["error"]["hint"]


def _setting(server: Server, name: str) -> str:
    line = next(line for line in server.read("/opt/bakery/.env").splitlines() if line.startswith(f"{name}="))
    return line.partition("=")[2]


def test_an_update_over_several_versions_is_shown_then_made_and_no_visitor_notices(
    server: Server, visited: Visitors
) -> None:
    old, last = installed(server), last_migration(server)
    changelog = server.read("/opt/bakery/current/CHANGELOG.md") + "\n- A red door.\n"
    door = {MIGRATION.format(name="8001_door"): migration(last, sql("CREATE TABLE door (id int)"))}
    first = newer(server, {**door, "CHANGELOG.md": changelog}, "A door")
    files = {MIGRATION.format(name="8002_window"): migration("8001_door", sql("CREATE TABLE window_ (id int)"))}
    newest = server.repository.commit(files, "A window", base=first)

    seen = json.loads(server.bakery("update", "--check", "--json").output)
    assert (seen["current"]["sha"], seen["available"]["sha"]) == (old, newest)
    assert [change["subject"] for change in seen["changes"]] == ["A window", "A door"]
    assert "A red door." in seen["changelog"]

    session = server.signed_in()
    base = f"http://{server.address}"
    page = session.get(f"{base}/settings/update", timeout=30).text
    assert newest[:12] in page
    assert "A red door." in page
    headers = {"X-CSRFToken": session.get(f"{base}/api/session", timeout=30).json()["csrf_token"]}
    asked = session.post(f"{base}/api/system/update", headers=headers, json={}, timeout=30)
    assert asked.status_code == 202, asked.text
    again = session.post(f"{base}/api/system/update", headers=headers, json={}, timeout=30)
    assert (again.status_code, again.json()["id"]) == (409, "update.running")

    until(lambda: state(server).get("outcome"), 600)
    server.wait_until_healthy()
    assert state(server)["outcome"] == "succeeded", state(server)
    assert running(server) == installed(server) == newest
    assert {"door", "window_"} <= set(tables(server).split())

    found = ended_task(server)
    assert (found["id"], found["kind"], found["state"]) == (asked.json()["id"], "update", "succeeded")
    assert found["requested_by"] == server.admin.email if server.admin else False
    assert [step["phase"] for step in found["steps"] if step["argv"] is None] == WELL["steps"]
    shown = session.get(f"{base}/activity/{found['id']}", timeout=30)
    assert shown.status_code == 200, "the session outlives the update"
    stream = shown.text.split('data-log-viewer="/streams/')[1].split("/")[0]
    log = session.get(f"{base}/streams/{stream}/raw", timeout=30).text
    assert "A window" in log
    assert f"Bakery runs {newest[:12]}." in log
    for secret in ("SESSION_SECRET", "ENCRYPTION_KEY"):
        assert _setting(server, secret) not in log
    releases = server.says("ls", "/opt/bakery/releases").split()
    assert {old[:12], newest[:12]} <= set(releases)
    assert server.says("sh", "-c", "ls /var/lib/bakery/backups/updates/*/database.dump")


def test_a_migration_that_fails_puts_the_old_code_and_the_old_database_back(server: Server, visited: Visitors) -> None:
    old, before, last = installed(server), tables(server), last_migration(server)
    files = {
        MIGRATION.format(name="9001_half"): migration(last, sql("CREATE TABLE half (id int)"), sql("DROP TABLE door")),
        MIGRATION.format(name="9002_broken"): migration("9001_half", sql("SELECT 1/0")),
    }
    newer(server, files, "A migration that fails")
    done = update(server)
    assert not done.ok
    assert "could not be migrated" in done.output
    assert "put back" in done.output
    assert_put_back(server, old, before)
    log = server.says("sh", "-c", "cat $(ls -t /var/lib/bakery/logs/updates/*.log | head -1)")
    assert "division by zero" in log


def test_a_version_whose_web_process_does_not_start_is_reverted(server: Server, visited: Visitors) -> None:
    old, before, last = installed(server), tables(server), last_migration(server)
    files = {
        "bakery/asgi.py": 'raise RuntimeError("no pages today")\n',
        MIGRATION.format(name="9001_garden"): migration(last, sql("CREATE TABLE garden (id int)")),
    }
    newer(server, files, "Pages that do not start")
    done = update(server)
    assert not done.ok
    assert "does not get well" in done.output
    assert "no pages today" in done.output
    assert_put_back(server, old, before)


def test_a_version_that_does_not_even_load_is_found_out_before_anything_is_stopped(
    server: Server, visited: Visitors
) -> None:
    old = installed(server)
    newer(server, {"bakery/settings.py": "raise RuntimeError('no settings')\n"}, "Settings that do not load")
    since = server.says("systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "bakery.service")
    done = update(server)
    assert not done.ok
    assert "does not even load" in done.output
    assert running(server) == old
    assert since == server.says("systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "bakery.service")


def slow_migration(server: Server, name: str) -> str:
    """A version that takes a while to migrate, with a change before that."""
    last = last_migration(server)
    wait = "migrations.RunPython(lambda *_: time.sleep(120), migrations.RunPython.noop)"
    files = {
        MIGRATION.format(name=f"9001_{name}"): migration(last, sql(f"CREATE TABLE {name} (id int)")),
        MIGRATION.format(name="9002_slow"): migration(f"9001_{name}", wait),
    }
    return newer(server, files, "A migration that takes long")


def in_the_middle(server: Server, table: str) -> None:
    """The update is in its migration, and has changed the database."""
    assert update(server, "--no-wait").ok
    until(lambda: table in tables(server).split(), 600)


def test_an_update_that_is_killed_is_put_back(server: Server, visited: Visitors) -> None:
    old, before = installed(server), tables(server)
    slow_migration(server, "killed")
    in_the_middle(server, "killed")
    server.do("systemctl", "kill", "--kill-whom=all", "--signal=KILL", UPDATER)
    until(lambda: state(server).get("outcome"), 300)
    assert state(server)["error_id"] == "update.interrupted"
    assert_put_back(server, old, before)


def test_a_reboot_in_the_middle_of_an_update_is_put_back(server: Server, site: str) -> None:
    old, before = installed(server), tables(server)
    slow_migration(server, "rebooted")
    in_the_middle(server, "rebooted")
    server.do("systemctl", "kill", "--kill-whom=all", "--signal=KILL", UPDATER)  # as a power cut does
    server.reboot()
    until(lambda: state(server).get("outcome"), 300)
    assert_put_back(server, old, before)
    until(lambda: server.answers(host=site)[0] == 200, 60)


def test_a_network_that_is_lost_leaves_the_old_version_running(server: Server, visited: Visitors) -> None:
    old = installed(server)
    newer(server, {"NEWS.md": "News\n"}, "News")
    assert json.loads(server.bakery("update", "--check", "--json").output)["available"]
    head = server.repository.bare / "HEAD"
    head.rename(head.with_name("gone"))
    try:
        refused = update(server)
        assert not refused.ok
        assert "could not be fetched" in refused.output
        session = server.signed_in()  # the page knows what was seen before, and asks all the same
        base = f"http://{server.address}"
        headers = {"X-CSRFToken": session.get(f"{base}/api/session", timeout=30).json()["csrf_token"]}
        assert session.post(f"{base}/api/system/update", headers=headers, json={}, timeout=30).status_code == 202
        found = ended_task(server)
    finally:
        head.with_name("gone").rename(head)
    assert (found["state"], found["error"]["id"]) == ("failed", "update.cannot-fetch")
    assert "not touched" in found["error"]["hint"]
    assert running(server) == old


def test_after_all_of_that_an_update_succeeds_and_an_older_version_is_refused(
    server: Server, visited: Visitors
) -> None:
    old = installed(server)
    newest = newer(server, {"NEWS.md": "Good news\n"}, "Good news")
    as_before_certificates(server)
    done = update(server)
    assert done.ok, done.output
    assert running(server) == newest
    assert server.is_active(RENEWAL_TIMER)
    assert server.says("stat", "-c", "%a", "/var/lib/bakery/letsencrypt", "/var/lib/bakery/nginx/acme") == "700\n755"
    assert len(server.says("ls", "/opt/bakery/releases").split()) <= 3

    back = update(server, "--ref", old)
    assert not back.ok
    assert "older" in back.output
    assert running(server) == newest
    assert "nothing to update" in update(server).output
