"""Bakery itself, moved from one host to another: two whole instances."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from infrastructure import dotenv
from infrastructure.certificates.pem import read_pair
from infrastructure.certificates.store import CertificateStore
from infrastructure.quickstart import layout
from tests.certificates import Authority
from tests.instance import EMAIL, PASSWORD, Instance, clean_environment
from tests.integration.another_instance import another_instance
from tests.integration.apps import MIGRATES, AppRepository, counts_visits, healthy
from tests.integration.driving import Driven, rows
from tests.integration.waiting import until

pytestmark = pytest.mark.slow
PASSPHRASE = "a passphrase for the tests"
API_KEY = "swordfish-4711-swordfish"


@pytest.fixture(scope="module")
def fresh() -> Iterator[Instance]:
    """A Bakery on which nothing was deployed."""
    with another_instance() as made:
        yield made


@pytest.fixture(scope="module")
def leaving() -> Iterator[Instance]:
    with another_instance() as made:
        made.manage("create_admin", EMAIL, "-", "--reset", stdin=f"{PASSWORD}\n")
        yield made


@dataclass
class Old:
    """The host that is left: two applications are live, one of them at an older commit than its branch, one is
    stopped."""

    instance: Instance
    shop: Driven
    blog: Driven
    idle: Driven
    file: Path
    told: dict[str, Any]
    fingerprint: str  # of shop's certificate, of which no row speaks: the old host may tidy it away meanwhile


@pytest.fixture(scope="module")
def passphrase_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("passphrase") / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    return file


@pytest.fixture(scope="module")
def old(leaving: Instance, tmp_path_factory: pytest.TempPathFactory, passphrase_file: Path) -> Old:
    directory = tmp_path_factory.mktemp("old")
    made = [Driven(leaving, name, AppRepository(directory / name, healthy(name))) for name in ("shop", "blog", "idle")]
    shop, blog, idle = made
    shop.create("--env", f"API_KEY={API_KEY}", "--persistent", "data")
    blog.create("--env", "GREETING=good day")
    idle.create("--database")
    for app in made:
        assert app.deploy()["state"] == "succeeded", app.build_log()
    idle.ask("stop")
    blog.repository.commit(healthy("a newer blog, never deployed"))
    leaving.manage("env", "blog", "set", "GREETING=not live yet")
    issued = Authority().issue(f"{shop.name}.example.com")
    pair = read_pair(issued.chain_pem, issued.key_pem)
    store_of(leaving).install(f"deployment-{shop.id}", pair)
    file = directory / "panel.backup"
    told = leaving.manage_json("backup_panel", str(file), "--passphrase-file", str(passphrase_file))
    assert isinstance(told, dict)
    return Old(leaving, shop, blog, idle, file, told, pair.fingerprint)


def store_of(instance: Instance) -> CertificateStore:
    return CertificateStore(instance.data_dir / "nginx" / "certificates", None)


def restore(instance: Instance, file: Path, passphrase_file: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return instance.manage(
        "restore_panel", str(file), "--passphrase-file", str(passphrase_file), *argv, check=False, timeout=600
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout + done.stderr
    found: str = json.loads(done.stderr.splitlines()[-1])["id"]
    return found


def databases(instance: Instance) -> set[str]:
    return {row["datname"] for row in rows(instance, "SELECT datname FROM pg_database")}


def test_a_backup_shows_nothing_to_whoever_lacks_the_passphrase(old: Old) -> None:
    assert stat.S_IMODE(old.file.stat().st_mode) == 0o600
    content = old.file.read_bytes()
    keys = old.instance.env["ENCRYPTION_KEY"]
    for hidden in (API_KEY, keys, PASSPHRASE, "shop", EMAIL, "CREATE TABLE", "PRIVATE KEY"):
        assert hidden.encode() not in content
    assert set(old.told["deployments"]) >= {"shop", "blog", "idle"}
    assert "shop: data" in old.told["persistent"]
    assert old.told["databases_left_out"] == ["idle"]
    assert "ENCRYPTION_KEY" in old.told["settings"]
    assert list((old.instance.data_dir / "backups").iterdir()) == []


def test_a_backup_is_not_overwritten_unasked_nor_made_with_a_short_passphrase(
    old: Old, tmp_path: Path, passphrase_file: Path
) -> None:
    again = ("backup_panel", str(old.file), "--passphrase-file", str(passphrase_file), "--json")
    assert refusal(old.instance.manage(*again, check=False)) == "backup.exists"
    short = tmp_path / "short"
    short.write_text("too short")
    done = old.instance.manage(
        "backup_panel", str(tmp_path / "x"), "--passphrase-file", str(short), "--json", check=False
    )
    assert refusal(done) == "input.passphrase"
    assert old.instance.manage("backup_panel", str(tmp_path / "x"), check=False).returncode == 2  # nobody can type
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("damage", "id"),
    [
        ("passphrase", "backup.passphrase"),
        ("cut", "backup.cut-off"),
        ("changed", "backup.damaged"),
        ("other", "backup.not-one"),
        ("missing", "backup.file"),
    ],
)
def test_what_cannot_be_trusted_changes_nothing(
    old: Old, fresh: Instance, passphrase_file: Path, tmp_path: Path, damage: str, id: str
) -> None:
    file, content = tmp_path / "backup", old.file.read_bytes()
    if damage == "passphrase":
        passphrase_file = tmp_path / "wrong"
        passphrase_file.write_text("another passphrase")
    middle = len(content) // 2
    damaged = {
        "cut": content[:-1000],
        "changed": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "other": b"x" * 1000,
    }
    if damage != "missing":
        file.write_bytes(damaged.get(damage, content))
    before = (databases(fresh), fresh.place.environment_file.read_bytes())
    found = refusal(restore(fresh, file, passphrase_file, "--json"))
    assert found == id or (damage == "changed" and found == "backup.cut-off")
    assert (databases(fresh), fresh.place.environment_file.read_bytes()) == before
    until(lambda: fresh.health().status_code == 200)


def test_a_backup_of_a_newer_version_is_refused(
    old: Old, fresh: Instance, passphrase_file: Path, tmp_path: Path
) -> None:
    with psycopg.connect(old.instance.env["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('deployments', '9999_future', now())"
        )
        try:
            file = tmp_path / "newer"
            old.instance.manage("backup_panel", str(file), "--passphrase-file", str(passphrase_file))
        finally:
            connection.execute("DELETE FROM django_migrations WHERE name = '9999_future'")
    done = restore(fresh, file, passphrase_file, "--json")
    assert refusal(done) == "backup.newer-schema"
    assert "deployments.9999_future" in done.stderr


def test_everything_serves_on_another_host(old: Old, fresh: Instance, passphrase_file: Path) -> None:
    before = {**fresh.env}
    done = restore(fresh, old.file, passphrase_file, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {(deploy["name"], deploy["state"]) for deploy in told["deploys"]} >= {
        ("shop", "succeeded"),
        ("blog", "succeeded"),
    }
    assert any("idle" in note for note in told["notes"])
    assert any("shop: data" in note for note in told["notes"])
    assert any("Databases are in no backup of the panel: idle." in note for note in told["notes"])

    assert fresh.app("shop").json() == {"version": "shop"}
    assert fresh.app("shop", "/env").json()["API_KEY"] == API_KEY
    assert fresh.app("blog").json() == {"version": "blog"}  # the commit that was live, not the branch's newest
    assert fresh.app("blog", "/env").json()["GREETING"] == "good day"  # with what it ran with
    assert "not live yet" in fresh.manage("env", "blog", "list", "--reveal").stdout
    assert fresh.app("idle").status_code == 503
    assert old.shop.version() == "shop"  # the old host goes on
    served = store_of(fresh).current(f"deployment-{old.shop.id}")
    assert served and served.fingerprint == old.fingerprint

    environment = dotenv.read(fresh.place.environment_file)
    changed = {name for name in environment if environment[name] != before.get(name)}
    assert changed == {"ENCRYPTION_KEY"}
    assert environment["ENCRYPTION_KEY"] == old.instance.env["ENCRYPTION_KEY"]
    until(lambda: fresh.health().status_code == 200, 60)
    fresh.client(EMAIL, PASSWORD)  # an account of the old host
    assert databases(fresh) == {"bakery", "postgres", "template0", "template1"}

    first, last = map(int, fresh.env["BAKERY_PORT_RANGE"].split("-"))
    shop = Driven(fresh, "shop", old.shop.repository)
    assert all(first <= slot["port"] <= last for slot in shop.slots)
    assert shop.states[:2] == ["live", "pruned"]
    shop.repository.commit(healthy("shop two"))
    assert shop.deploy()["state"] == "succeeded", shop.build_log()
    assert shop.version() == "shop two"
    assert fresh.manage("start", "idle", check=False).returncode == 1
    idle = Driven(fresh, "idle", old.idle.repository)
    failed = idle.deploy()
    assert (failed["state"], failed["error_id"]) == ("failed", "database.failed")
    assert "v2 of idle wants the database idle in DATABASE_URL" in failed["error_message"]
    assert "manage.py database create idle" in failed["error_message"]


def test_where_the_database_is_still_there_its_application_goes_on(
    old: Old, passphrase_file: Path, tmp_path: Path
) -> None:
    """The panel alone was lost, and is restored in its place."""
    instance, file = old.instance, tmp_path / "same"
    counting = Driven(instance, "counting", AppRepository(tmp_path / "counting", counts_visits()))
    counting.create("--database", "--pre-deploy-command", MIGRATES)
    assert counting.deploy()["state"] == "succeeded", counting.build_log()
    assert counting.get("/visit").json()["visits"] == 1
    instance.manage("backup_panel", str(file), "--passphrase-file", str(passphrase_file))
    name = rows(instance, "SELECT id FROM databases_database WHERE name = 'counting'")[0]["id"]
    with psycopg.connect(instance.env["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f"ALTER ROLE bakery_db_{name}_a PASSWORD 'changed since the backup'")  # type: ignore[arg-type]
    done = restore(instance, file, passphrase_file, "--replace", "--json")
    assert done.returncode == 0, done.stderr
    assert not any("Databases are in no backup" in note for note in json.loads(done.stdout)["notes"])
    with psycopg.connect(instance.env["DATABASE_URL"]) as connection:
        may = connection.execute("SELECT has_database_privilege('public', current_database(), 'CONNECT')").fetchone()
    assert may == (False,)
    assert counting.get("/visit").json()["visits"] == 2


def test_a_panel_in_use_is_replaced_only_when_that_is_said(
    old: Old, fresh: Instance, passphrase_file: Path, tmp_path: Path
) -> None:
    """After the test before: the other host has the same deployments, and one of its own."""
    own = Driven(fresh, "own", AppRepository(tmp_path / "own", healthy("own"))).create("--persistent", "data")
    assert own.deploy()["state"] == "succeeded", own.build_log()
    assert fresh.app("own", "/note").status_code == 200
    number = own.id
    assert refusal(restore(fresh, old.file, passphrase_file, "--json")) == "restore.not-empty"
    assert own.version() == "own"

    done = restore(fresh, old.file, passphrase_file, "--replace", "--as", EMAIL, "--json")
    assert done.returncode == 0, done.stderr
    assert fresh.app("own").status_code == 404
    assert fresh.app("shop").json() == {"version": "shop"}
    (aside,) = (fresh.data_dir / "backups").iterdir()
    assert aside.name.startswith("persistent-own-")
    assert (aside / "data" / "notes").read_text() == "own\n"
    assert not (fresh.data_dir / "persistent" / str(number)).exists()
    asked = rows(fresh, "SELECT u.email FROM bakery_task t JOIN accounts_user u ON u.id = t.requested_by_id"
                        " ORDER BY t.id DESC LIMIT 1")  # fmt: skip
    assert asked[0]["email"] == EMAIL


def test_an_older_schema_is_migrated_and_what_was_unfinished_is_said(
    old: Old, fresh: Instance, passphrase_file: Path, tmp_path: Path
) -> None:
    """A panel as an older version left it, in the middle of a deploy: made in a database of its own."""
    url = old.instance.env["DATABASE_URL"]
    name, file = "older", tmp_path / "older.backup"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            older = url.rsplit("/", 1)[0] + f"/{name}"
            manage(old.instance, older, "migrate", "--verbosity", "0")
            manage(old.instance, older, "create_deployment", "half", "--repo", old.blog.repository.url)
            manage(old.instance, older, "deploy", "half", "--no-wait")
            with psycopg.connect(older) as connection:
                connection.execute("UPDATE bakery_task SET state = 'running'")
                connection.execute("UPDATE deployments_release SET state = 'building'")
            manage(old.instance, older, "migrate", "axes", "0008", "--verbosity", "0")
            options = ("--passphrase-file", str(passphrase_file), "--without-logs")
            manage(old.instance, older, "backup_panel", str(file), *options)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    done = restore(fresh, file, passphrase_file, "--replace", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["deploys"] == []
    assert "unapplied" not in fresh.manage("migrate", "--check", check=False).stdout
    assert rows(fresh, "SELECT 1 FROM django_migrations WHERE app = 'axes' AND name = '0010_accessattemptexpiration'")
    half = Driven(fresh, "half", old.blog.repository)
    (task,) = rows(fresh, "SELECT * FROM bakery_task")
    assert (task["state"], task["error_id"]) == ("failed", "panel.restored")
    assert half.states == ["failed"]
    assert fresh.app("shop").status_code == 404
    assert half.deploy()["state"] == "succeeded", half.build_log()


def manage(instance: Instance, database_url: str, *argv: str) -> None:
    """``manage.py`` of the instance on another database, which no worker looks at."""
    env = {**clean_environment(), "BAKERY_ENV_FILE": str(instance.place.environment_file)}
    done = subprocess.run(
        [sys.executable, "manage.py", *argv],
        cwd=layout.CHECKOUT,
        env={**env, "DATABASE_URL": database_url, "REDIS_URL": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
