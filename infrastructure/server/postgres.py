"""Bakery's role and database in the machine's own PostgreSQL."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import psycopg

from infrastructure.errors import HostProblem
from infrastructure.postgres.scram import VERIFIER, scram
from infrastructure.postgres.server import first_line
from infrastructure.runner import Command
from infrastructure.secret import Secret
from infrastructure.server.work import Work

LOWEST = 14
DATABASE = ROLE = "bakery"


@dataclass(frozen=True)
class Cluster:
    """One of Debian's (pg_lsclusters(1))."""

    major: int
    name: str
    port: int
    is_online: bool

    @property
    def unit(self) -> str:
        return f"postgresql@{self.major}-{self.name}.service"


def clusters(listing: str) -> list[Cluster]:
    """Those of ``pg_lsclusters -h`` that Bakery can use, the one that runs and is called main first."""
    rows = [line.split() for line in listing.splitlines()]
    found = [
        Cluster(int(row[0]), row[1], int(row[2]), row[3].startswith("online"))
        for row in rows
        if len(row) >= 4 and row[0].isdecimal() and row[2].isdecimal() and int(row[0]) >= LOWEST
    ]
    return sorted(found, key=lambda one: (not one.is_online, one.name != "main", -one.major))


def find_cluster(work: Work, port: int | None) -> Cluster:
    """The one on ``port``, which Bakery has used before, else the best; made and started when there is none."""
    found = clusters(work.run("pg_lsclusters", "-h").output)
    if not found:
        newest = work.run("ls", "/usr/lib/postgresql").output.split()
        major = max((int(name) for name in newest if name.isdecimal()), default=0)
        if major < LOWEST:
            raise HostProblem(
                "install.no-postgres", f"PostgreSQL {LOWEST} or newer is not installed.", "apt-get install postgresql"
            )
        work.run("pg_createcluster", "--start", str(major), "main")
        found = clusters(work.run("pg_lsclusters", "-h").output)
    chosen = next((one for one in found if one.port == port), found[0])
    if not chosen.is_online:
        work.systemctl("enable", "--quiet", "--now", "postgresql.service", chosen.unit)
    return chosen


def role_sql(verifier: str) -> str:
    """Make the role, or give it this password; CREATEDB, as an update and a restore make a second database."""
    if not VERIFIER.fullmatch(verifier):
        raise ValueError("That is no SCRAM verifier.")
    return (
        f"DO $$ BEGIN CREATE ROLE {ROLE}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;\n"
        f"ALTER ROLE {ROLE} LOGIN CREATEDB PASSWORD '{verifier}';\n"
    )


class Administrator:
    """The account ``postgres``, by the cluster's socket."""

    def __init__(self, work: Work, cluster: Cluster) -> None:
        self.work, self.cluster = work, cluster

    def sql(self, text: str, database: str = "postgres") -> str:
        psql = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
        argv = ("runuser", "-u", "postgres", "--", *psql, f"--port={self.cluster.port}", f"--dbname={database}")
        return self.work.runner.run(Command(argv, stdin=Secret(text), timeout=60)).output.strip()

    def has_database(self) -> bool:
        return self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'") == "1"  # noqa: S608 - a constant

    def has_data(self) -> bool:
        counted = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        return self.has_database() and self.sql(counted, DATABASE) != "0"


def prepare(work: Work, cluster: Cluster, url: str, password: str) -> None:
    """Role and database as ``url`` says. A password that does not fit is set anew: the environment is what counts."""
    administrator = Administrator(work, cluster)
    if not answers(url):
        administrator.sql(role_sql(scram(password, secrets.token_bytes(16))))
    if not administrator.has_database():
        administrator.sql(f"CREATE DATABASE {DATABASE} OWNER {ROLE} ENCODING 'UTF8' TEMPLATE template0;")
    if why_not := refusal(url):
        raise HostProblem(
            "install.postgres-refuses",
            f"PostgreSQL on port {cluster.port} does not let Bakery in: {why_not}",
            "pg_hba.conf has to have: host all bakery 127.0.0.1/32 scram-sha-256, and listen_addresses localhost.",
        )


def answers(url: str) -> bool:
    return not refusal(url)


def refusal(url: str) -> str:
    """Why nobody can sign in with this address; "": somebody can."""
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        return first_line(error)
    return ""
