"""What the installer would write, as values."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode
from pathlib import Path

import pytest

from infrastructure import dotenv
from infrastructure.secret import Secret
from infrastructure.server import environment, postgres, postgres_admin, redis_instance
from infrastructure.server.server import Server, parse

ASKED = (
    "--install-dir /opt/bakery --data-dir /var/lib/bakery --release /opt/bakery/releases/0123456789ab --log /dev/null"
)
LISTING = """\
13 main    5432 online postgres /var/lib/postgresql/13/main    /var/log/postgresql/postgresql-13-main.log
15 archive 5434 online postgres /var/lib/postgresql/15/archive /var/log/postgresql/postgresql-15-archive.log
15 main    5433 online postgres /var/lib/postgresql/15/main    /var/log/postgresql/postgresql-15-main.log
17 main    5435 down   postgres /var/lib/postgresql/17/main    /var/log/postgresql/postgresql-17-main.log
"""


def server(*more: str) -> Server:
    return parse([*ASKED.split(), "--certbot-email", "alice@bakery.localhost", "--public-ip", "203.0.113.7", *more])


def plan(old: dict[str, str], *more: str) -> dict[str, str]:
    return environment.plan(server(*more), old, host_name="host", postgres_port=5432, redis_port=6380)


def test_the_first_environment_has_a_secret_of_its_own_for_everything() -> None:
    one, other = plan({}), plan({})
    for name in ("DATABASE_URL", "REDIS_URL", "SESSION_SECRET", "ENCRYPTION_KEY"):
        assert one[name] != other[name]
    assert one["DATABASE_URL"].endswith("@127.0.0.1:5432/bakery")
    assert one["BAKERY_APPS_DOMAIN"] == "203.0.113.7.sslip.io"
    assert (one["BAKERY_BASE_URL"], one["BAKERY_PROCESSES"]) == ("http://203.0.113.7", "systemd")


def test_a_later_run_changes_no_secret_nor_what_a_person_has_set() -> None:
    before = {**plan({}), "BAKERY_APPS_DOMAIN": "apps.example.com", "BAKERY_LEASE_SECONDS": "20"}
    assert {**before, **plan(before)} == before


@pytest.mark.parametrize("name", ["SESSION_SECRET", "ENCRYPTION_KEY", "DATABASE_URL"])
def test_a_secret_in_a_file_of_its_own_stays_there(name: str) -> None:
    assert name not in plan({f"{name}_FILE": "/etc/secret"})


def test_the_environment_has_the_machines_address_and_not_the_panels_domain_which_may_change() -> None:
    assert plan({}, "--domain", "panel.example.com")["BAKERY_BASE_URL"] == "http://203.0.113.7"
    assert plan({}, "--public-ipv6", "2001:db8::7")["BAKERY_PUBLIC_IPV6"] == "2001:db8::7"


def test_an_address_that_somebody_has_set_stays() -> None:
    set_before = {"BAKERY_BASE_URL": "https://panel.example.com"}
    assert plan(set_before, "--domain", "panel.example.com")["BAKERY_BASE_URL"] == "https://panel.example.com"
    assert plan(set_before, "--domain", "bakery.example.org")["BAKERY_BASE_URL"] == "http://203.0.113.7"


def test_databases_are_made_with_a_role_of_its_own_unless_somebody_has_named_another(tmp_path: Path) -> None:
    assert plan({})["BAKERY_POSTGRES_ADMIN_URL_FILE"] == "/opt/bakery/postgres-admin-url"
    named = tmp_path / "address"
    named.write_text("postgres://…")
    for old in ({"BAKERY_POSTGRES_ADMIN_URL": "postgres://x"}, {"BAKERY_POSTGRES_ADMIN_URL_FILE": str(named)}):
        assert "BAKERY_POSTGRES_ADMIN_URL_FILE" not in plan(old)
    gone = plan({"BAKERY_POSTGRES_ADMIN_URL_FILE": str(tmp_path / "gone")})
    assert gone["BAKERY_POSTGRES_ADMIN_URL_FILE"] == "/opt/bakery/postgres-admin-url"
    elsewhere = environment.plan(server(), {}, host_name="host", postgres_port=0, redis_port=0)
    assert "BAKERY_POSTGRES_ADMIN_URL_FILE" not in elsewhere


def test_the_role_that_makes_databases_is_no_superuser() -> None:
    assert "CREATEROLE CREATEDB NOSUPERUSER" in postgres_admin.rights_sql()
    with pytest.raises(ValueError, match="SCRAM"):
        postgres_admin.password_sql("x'; DROP ROLE postgres; --")


def test_a_file_of_settings_is_edited_in_its_lines() -> None:
    text = "# a note\nA=1\n#B=2\nC=3=4\n\n"
    assert dotenv.edited(text, {"B": "5", "A": "6"}) == "# a note\nA=6\n#B=2\nC=3=4\n\nB=5\n"
    assert dotenv.edited("", {"A": "1"}) == "A=1\n"


def test_the_cluster_that_runs_and_is_new_enough_is_used() -> None:
    assert [(one.major, one.port) for one in postgres.clusters(LISTING)] == [(15, 5433), (15, 5434), (17, 5435)]
    assert postgres.clusters(LISTING)[0].unit == "postgresql@15-main.service"
    assert postgres.clusters("") == []


def test_the_password_is_in_no_statement() -> None:
    verifier = postgres.scram("hunter2hunter2", bytes(range(16)))
    assert "hunter2" not in postgres.role_sql(verifier)
    salt, _, keys = verifier.removeprefix("SCRAM-SHA-256$4096:").partition("$")
    salted = hashlib.pbkdf2_hmac("sha256", b"hunter2hunter2", b64decode(salt), 4096)
    assert b64decode(keys.partition(":")[2]) == hmac.digest(salted, b"Server Key", "sha256")


@pytest.mark.parametrize("text", ["", "x'; DROP ROLE postgres; --", "SCRAM-SHA-256$1:a$b:c'"])
def test_nothing_but_a_verifier_gets_into_a_statement(text: str) -> None:
    with pytest.raises(ValueError, match="SCRAM"):
        postgres.role_sql(text)


def test_redis_listens_on_loopback_with_a_password_and_keeps_nothing() -> None:
    lines = redis_instance.configuration(6380, Secret("word")).splitlines()
    assert {"bind 127.0.0.1", "port 6380", "requirepass word", "appendonly no", 'save ""'} <= set(lines)


def test_what_the_installer_has_brought_is_remembered(tmp_path: Path) -> None:
    one = parse([*ASKED.replace("/var/lib/bakery", str(tmp_path)).split()])
    assert not one.was_installed("nginx")
    (tmp_path / "packages").write_text("git\nnginx\n")
    assert one.was_installed("nginx")
    assert not one.was_installed("ngin")
