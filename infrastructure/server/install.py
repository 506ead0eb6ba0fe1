"""The story of an installation, after install.sh has brought packages and code. Every step may be repeated."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from infrastructure import dotenv
from infrastructure.bun_install import install_bun
from infrastructure.errors import HostProblem, Problem
from infrastructure.files import make_directory, point_symlink
from infrastructure.nginx import system as nginx
from infrastructure.runner import Command, CommandFailed
from infrastructure.secret import Secret
from infrastructure.server import environment, postgres, postgres_admin, proof, redis_instance, units
from infrastructure.server.account import make_account
from infrastructure.server.django import Django
from infrastructure.server.server import HTTP_PORT, Server
from infrastructure.server.work import Work
from infrastructure.systemd.directories import make_directories


@dataclass(frozen=True)
class Installed:
    values: dict[str, str]  # of .env
    password: str  # of the first admin; "": somebody has an account already
    notes: list[str]  # what a person should know


def install(server: Server, work: Work) -> Installed:
    report = work.report
    host_name = socket.gethostname()
    with report.step("Making the user bakery, and directories"):
        make_account(server, work)
        where = units.place(server, work)
        make_directories(where)
        make_directory(server.tools)
    with report.step("Installing Bun") as step:
        step.note = bring_bun(server, work)
    with report.step("PostgreSQL: role and database") as step:
        values, step.note, postgres_notes = database(server, work, host_name)
        where = units.place(server, work)  # as .env says, which may just have come back
        make_directories(where)
    with report.step("Redis: an instance of Bakery's own"):
        redis = urlsplit(secret(values, "REDIS_URL"))
        redis_instance.prepare(server, work, redis.port or 6379, Secret(redis.password or ""))
    if server.docker:
        with report.step("Docker") as step:
            step.note = start_docker(work)
    django = Django(server, work)
    with report.step("Bringing the database's tables up to date"):
        django.manage("migrate", "--no-input", "-v", "1")
    with report.step("Collecting style sheets and scripts"):
        django.manage("collectstatic", "--no-input", "-v", "0")
    with report.step("Making an admin account") as step:
        password = django.first_admin()
        step.note = server.admin_email if password else "there is one already"
    with report.step("Switching to this version"):
        point_symlink(server.current, str(server.release.relative_to(server.install_dir)))
        units.write_wrapper(server)
    with report.step("Nginx: sites and the panel"):
        notes = [*postgres_notes, *serve(server, work, values, host_name)]
        notes += name_the_panel(server, django)
    with report.step("Starting Bakery's units"):
        where = units.place(server, work)  # Docker may be here now
        units.start(where, work, units.write(where, work))
    with report.step("Asking /healthz, through Nginx") as step:
        # By its address, where it has one: a domain may lead on to https.
        address = f"http://{server.public_ip}" if server.public_ip else values["BAKERY_BASE_URL"]
        step.note = proof.wait_until_green(address, work)
    with report.step("manage.py doctor, with a job for each worker"):
        django.manage("doctor", "--jobs", timeout=180)
    return Installed(values, password, notes)


def bring_bun(server: Server, work: Work) -> str:
    """Into the install directory, where every deployment's account can run it. One that works stays."""
    asked = Command((str(server.bun), "--version"))
    try:
        return work.runner.run(asked).output.strip()
    except (Problem, OSError):
        shutil.rmtree(server.tools / "bun", ignore_errors=True)
    install_bun(server.tools, work.runner)
    return work.runner.run(asked).output.strip()


def database(server: Server, work: Work, host_name: str) -> tuple[dict[str, str], str, list[str]]:
    """``.env``, the roles and the database that it names; what to say of it, and what a person should know."""
    if not server.env_file.exists() and server.kept_env_file.exists():
        shutil.copyfile(server.kept_env_file, server.env_file, follow_symlinks=False)
        os.chmod(server.env_file, 0o600)  # noqa: PTH101 - until environment.write gives it to Bakery's group
    old = dotenv.read(server.env_file)
    url = urlsplit(secret(old, "DATABASE_URL"))
    if url.hostname not in (None, "127.0.0.1", "localhost"):
        values = {**old, **environment.plan(server, old, host_name=host_name, postgres_port=0, redis_port=0)}
        environment.write(server, values)
        return values, f"{url.hostname}, which .env names, is left as it is", []
    cluster = postgres.find_cluster(work, url.port)
    if not old.get("ENCRYPTION_KEY") and not old.get("ENCRYPTION_KEY_FILE"):
        refuse_data_without_key(server, postgres.Administrator(work, cluster))
    redis_port = environment.free_port(environment.FIRST_REDIS_PORT)
    planned = environment.plan(server, old, host_name=host_name, postgres_port=cluster.port, redis_port=redis_port)
    values = {**old, **planned}
    environment.write(server, planned)
    address = secret(values, "DATABASE_URL")
    postgres.prepare(work, cluster, address, urlsplit(address).password or "")
    notes = postgres_admin.prepare(server, postgres.Administrator(work, cluster), values)
    return values, f"version {cluster.major}, port {cluster.port}", notes


def refuse_data_without_key(server: Server, administrator: postgres.Administrator) -> None:
    """A new key would make what is stored unreadable for ever."""
    if administrator.has_data():
        raise HostProblem(
            "install.key-is-gone",
            f"The database bakery has data, and {server.env_file} with the key that opens it is not there.",
            f"Put {server.env_file} back from a backup. To begin anew, move the database out of the way: "
            "runuser -u postgres -- psql -c 'ALTER DATABASE bakery RENAME TO bakery_before'",
        )


def secret(values: dict[str, str], name: str) -> str:
    """A value, or what is in the file that ``NAME_FILE`` names."""
    from pathlib import Path

    file = values.get(f"{name}_FILE")
    return Path(file).read_text().strip() if file else values.get(name, "")


def start_docker(work: Work) -> str:
    """An engine that somebody runs in another way is left to them."""
    if work.run("systemctl", "cat", "docker.service", check=False).exit_code == 0:
        work.systemctl("enable", "--quiet", "--now", "docker.service", timeout=180)
    found = work.run("docker", "version", "--format", "{{.Server.Version}}", check=False)
    if found.exit_code != 0:
        return "no engine answers: repositories with a Dockerfile cannot be deployed yet"
    return found.output.strip()


def name_the_panel(server: Server, django: Django) -> list[str]:
    """The panel's domains stand in the database. One that cannot be had is said: by its address the panel answers."""
    wanted = ("--domain", server.new_domain) if server.new_domain else ()
    try:
        django.manage("apply_panel", *wanted)
    except CommandFailed as failure:
        said = failure.result.output.strip().splitlines()[-1:]
        return [f"The panel has not got {server.new_domain or 'its domains'}: {' '.join(said)}"]
    if not wanted:
        return []
    return [f"{server.new_domain} gets a certificate as soon as its DNS is right: bakery domain list says how it is."]


def serve(server: Server, work: Work, values: dict[str, str], host_name: str) -> list[str]:
    if server.was_installed("nginx"):
        nginx.remove_default_site(data_dir=server.data_dir)
    names = nginx.panel_names(values["BAKERY_BASE_URL"], server.public_ip, host_name)
    panel = nginx.Panel(names=names, port=server.port)
    return nginx.prepare(
        data_dir=server.data_dir, logs_dir=server.logs_dir, panel=panel, http_port=HTTP_PORT, runner=work.runner
    )
