"""install.sh and uninstall.sh as they are, on a bare Debian with systemd: one server is followed through its life."""

from __future__ import annotations

import pytest
import requests

from infrastructure.systemd.bakery_units import RENEWAL_TIMER, SERVICES
from tests.host.server import EMAIL, REPOSITORY, Server
from tests.integration.waiting import until

ACTIVE = ("bakery.target", *SERVICES, RENEWAL_TIMER, "nginx.service", "redis-server@bakery.service", "docker.service")
SECRETS = ("DATABASE_URL", "REDIS_URL", "SESSION_SECRET", "ENCRYPTION_KEY")
MAKE_DATABASE = "from databases.services.provisioning import create_database; create_database('orders', by=None)"
SITE = "server { listen 80; server_name shop.example; location / { return 200 'shop'; } }\n"
ADMIN_URL = "/opt/bakery/postgres-admin-url"
PLACES = "/etc /opt /srv /usr /var/lib /var/log"


def everything(server: Server) -> str:
    """Every file of the host's, with its size and time."""
    return server.do("find", *PLACES.split(), "-xdev", "-not", "-path", "*/journal/*", "-printf", "%p %s %m %T@\n")


def secrets(server: Server) -> dict[str, str]:
    lines = (line.partition("=") for line in server.read("/opt/bakery/.env").splitlines())
    return {name: value for name, _, value in lines if name in SECRETS}


def as_postgres(server: Server, query: str) -> str:
    return server.do("runuser", "-u", "postgres", "--", "psql", "-qAtX", "-c", query).strip()


def test_the_preflight_says_all_that_is_wrong_at_once_and_changes_nothing(server: Server) -> None:
    server.do("systemd-run", "--unit=squatter", "python3", "-m", "http.server", "443")
    until(lambda: server.run("sh", "-c", "exec 3<>/dev/tcp/127.0.0.1/443").ok or "443" in server.says("ss", "-Hltn"))
    try:
        wrong = ("--repo", "not-a-repository", "--port", "80", "--data-dir", "relative", "--domain", "panel.invalid")
        wrong = (*wrong, "--install-dir", "/usr/local")
        server.run_installer("--check")  # what the copying of the script itself leaves is there now
        before = everything(server)
        done = server.run_installer("--check", "--frob", "--certbot-email", "nobody", *wrong)
        after = everything(server)
    finally:
        server.do("systemctl", "stop", "squatter")
    assert done.code == 1
    said = ["no option --frob", "nobody is no e-mail", "not-a-repository is no address", "--port 80", "relative is no"]
    said += ["--install-dir /usr/local has something else in it", "held by python3", "panel.invalid has no address"]
    said += ["7 to mend", "Nothing was changed."]
    assert [text for text in said if text not in done.output] == []
    assert after == before


def test_only_root_may_install(server: Server) -> None:
    done = server.run("runuser", "-u", "nobody", "--", "bash", "-s", "--", "--check", stdin=installer())
    assert done.code == 1
    assert "not root" in done.output


def test_nobody_is_asked_where_nobody_can_answer(server: Server) -> None:
    done = server.run_installer("--repo", f"file://{REPOSITORY}", "--certbot-email", EMAIL)
    assert done.code == 1
    assert "Add --yes" in done.output


def test_what_is_printed_at_the_end_signs_in(installed: Server) -> None:
    answer = installed.signed_in().get(f"http://{installed.address}/", timeout=30, allow_redirects=False)
    assert answer.status_code == 200
    assert EMAIL in answer.text
    assert installed.admin
    assert installed.admin.password not in installed.read("/var/lib/bakery/logs/install.log")


def test_everything_runs_and_nothing_but_nginx_listens_to_the_world(installed: Server) -> None:
    assert [unit for unit in ACTIVE if not installed.is_active(unit)] == []
    addresses = [line.split()[3] for line in installed.says("ss", "-Hltn").splitlines()]
    assert {address for address in addresses if not address.startswith(("127.", "[::1]"))} == {
        "10.207.0.1:5432",  # for containers: the kernel drops what comes from anywhere else
        *(f"{host}:{port}" for host in ("0.0.0.0", "[::]") for port in (80, 443)),
    }
    allowed = ("systemctl", "show", "--property=IPAddressAllow", "--value", "bakery-databases.socket")
    assert installed.says(*allowed) == "10.207.0.0/16"
    assert installed.says("stat", "-c", "%U:%G %a", "/opt/bakery/.env") == "root:bakery 640"
    assert installed.bakery("doctor", "--jobs").output.count("was done in") == 2


def test_a_second_run_mends_what_is_broken_and_keeps_secrets_and_data(installed: Server) -> None:
    before = secrets(installed)
    assert len(before) == len(SECRETS)
    installed.bakery("create_admin", "bob@bakery.localhost")
    installed.put("/opt/bakery/.env", installed.read("/opt/bakery/.env") + "# a note\nBAKERY_LEASE_SECONDS=20\n", "644")
    installed.do("systemctl", "stop", "bakery.service")
    release = installed.do("readlink", "-f", "/opt/bakery/current").strip()
    lost = ["/etc/systemd/system/bakery.service", "/etc/redis/redis-bakery.conf", "/etc/nginx/conf.d/bakery.conf"]
    installed.do("rm", "-r", *lost, "/usr/local/bin/bakery", f"{release}/manage.py", f"{release}/.venv/bin/python3")
    address = installed.read(ADMIN_URL)
    as_postgres(installed, "ALTER ROLE bakery PASSWORD 'another'")
    as_postgres(installed, "ALTER ROLE bakery_admin NOCREATEROLE PASSWORD 'another'")
    as_postgres(installed, "GRANT CONNECT ON DATABASE bakery TO PUBLIC")
    installed.do("chmod", "644", ADMIN_URL)
    installed.install("--domain", "panel.example.com")
    assert [path for path in lost if not installed.exists(path)] == []
    assert [unit for unit in ACTIVE if not installed.is_active(unit)] == []
    assert secrets(installed) == before
    assert installed.read(ADMIN_URL) == address
    assert installed.says("stat", "-c", "%U:%G %a", ADMIN_URL) == "root:root 600"
    assert "are made as bakery_admin" in installed.bakery("doctor").output
    assert as_postgres(installed, "SELECT has_database_privilege('public', 'bakery', 'CONNECT')") == "f"
    kept = installed.read("/opt/bakery/.env")
    assert "# a note\nBAKERY_LEASE_SECONDS=20\n" in kept
    assert installed.says("stat", "-c", "%a", "/opt/bakery/.env") == "640"
    assert "bob@bakery.localhost" in installed.bakery("list_users").output
    assert installed.signed_in()
    # The domain waits for its DNS; by the machine's address the panel answers all the while.
    assert "panel.example.com" in installed.bakery("domain", "list", "--panel").output
    until(lambda: installed.answers("/auth/login", host="panel.example.com")[0] == 200)
    assert f"BAKERY_BASE_URL=http://{installed.address}\n" in kept
    installed.bakery("domain", "remove", "panel.example.com")


def test_without_its_key_the_data_are_not_made_unreadable(installed: Server) -> None:
    installed.do("mv", "/opt/bakery/.env", "/root/env")
    try:
        done = installed.install(check=False)
    finally:
        installed.do("mv", "/root/env", "/opt/bakery/.env")
    assert done.code == 1
    assert "Put /opt/bakery/.env back" in done.output


def test_after_a_reboot_everything_is_there(installed: Server) -> None:
    installed.reboot()
    installed.wait_until_healthy()
    assert [unit for unit in ACTIVE if not installed.is_active(unit)] == []
    assert not installed.is_active("redis-server.service")
    assert installed.signed_in()


def test_uninstalled_and_installed_again_it_goes_on_with_its_data_beside_another_site(installed: Server) -> None:
    before = secrets(installed)
    said = installed.uninstall()
    assert "environment.kept" in said
    gone = ["/opt/bakery", "/usr/local/bin/bakery", "/etc/nginx/conf.d/bakery.conf", "/etc/redis/redis-bakery.conf"]
    assert [path for path in gone if installed.exists(path)] == []
    assert installed.says("find", "/etc/systemd/system", "-name", "*bakery*") == ""
    assert not installed.run("id", "bakery").ok
    assert installed.is_active("nginx.service")
    installed.put("/etc/nginx/conf.d/shop.conf", SITE)
    installed.do("systemctl", "reload", "nginx")
    until(lambda: installed.answers(host="shop.example") == (200, "shop"))

    installed.install()
    assert installed.answers(host="shop.example") == (200, "shop")
    assert secrets(installed) == before
    assert installed.signed_in()  # with the password of the first installation
    installed.do("rm", "/etc/nginx/conf.d/shop.conf")
    installed.do("systemctl", "reload", "nginx")


def test_uninstalled_with_its_data_nothing_of_it_is_left(installed: Server) -> None:
    installed.bakery("shell", "-c", MAKE_DATABASE)
    until(lambda: "bakery_db_" in as_postgres(installed, "SELECT string_agg(datname, ' ') FROM pg_database"))
    as_postgres(installed, "CREATE DATABASE of_somebody_else")
    said = installed.uninstall("--delete-data")
    assert "postgresql" in said
    left = installed.says("find", *PLACES.split(), "-xdev", "-iname", "*bakery*", "-not", "-path", "/srv/*")
    assert [
        path for path in left.splitlines() if "/etc/systemd/system/multi-user" in path or "journal" not in path
    ] == []
    databases, roles = "SELECT datname FROM pg_database", "SELECT rolname FROM pg_roles"
    assert "of_somebody_else" in as_postgres(installed, databases)
    assert "bakery" not in as_postgres(installed, f"{databases} UNION ALL {roles}")
    as_postgres(installed, "DROP DATABASE of_somebody_else")
    assert installed.answers()[0] in (200, 404)  # Nginx's own page again
    with pytest.raises(requests.RequestException):
        installed.request(port=4100)


def installer() -> str:
    from tests.host.server import CHECKOUT

    return (CHECKOUT / "infrastructure/scripts/install.sh").read_text()
