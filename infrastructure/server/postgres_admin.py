"""The role with which the workers make applications' databases: not Bakery's own, and no superuser.

Its address stands in a file of root's alone, so that the web process cannot act as it.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import urlsplit

from infrastructure.errors import HostProblem
from infrastructure.files import read_if_there, write_atomically
from infrastructure.postgres.scram import VERIFIER, scram
from infrastructure.postgres.server import Place
from infrastructure.postgres.trust import lets_anyone_in
from infrastructure.server.postgres import DATABASE, Administrator, answers, refusal
from infrastructure.server.server import Server

ROLE = "bakery_admin"
SETTING = "BAKERY_POSTGRES_ADMIN_URL"
TRUSTING = (
    "PostgreSQL lets everybody on this machine in without a password, applications too: pg_hba.conf has “trust” for "
    "127.0.0.1. Make it scram-sha-256, then systemctl reload postgresql."
)


def address(password: str, port: int) -> str:
    return f"postgres://{ROLE}:{password}@127.0.0.1:{port}/postgres"


def rights_sql() -> str:
    """Made where it is not there, with the rights that making and measuring databases takes. Databases of
    applications are closed to each other's roles; Bakery's own is closed to all of them."""
    return (
        f"DO $$ BEGIN CREATE ROLE {ROLE}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;\n"
        f"ALTER ROLE {ROLE} LOGIN CREATEROLE CREATEDB NOSUPERUSER NOREPLICATION NOBYPASSRLS;\n"
        f"GRANT pg_signal_backend, pg_monitor TO {ROLE};\n"
        f"REVOKE CONNECT ON DATABASE {DATABASE} FROM PUBLIC;\n"
    )


def password_sql(verifier: str) -> str:
    if not VERIFIER.fullmatch(verifier):
        raise ValueError("That is no SCRAM verifier.")
    return f"ALTER ROLE {ROLE} PASSWORD '{verifier}';\n"


def prepare(server: Server, administrator: Administrator, values: dict[str, str]) -> list[str]:
    """The role and the file, as ``values`` (of .env) say; returns what a person should know. A password that is there
    stays: the file is what counts."""
    file, port = Path(values.get(f"{SETTING}_FILE", "")), administrator.cluster.port
    if values.get(SETTING) or file != server.admin_url_file:
        administrator.sql(f"REVOKE CONNECT ON DATABASE {DATABASE} FROM PUBLIC;")
        return [f"Databases are made as .env says ({SETTING}); that role is left as it is."]
    before = (read_if_there(file) or "").strip()
    url = address(urlsplit(before).password or secrets.token_urlsafe(24), port)
    if url != before:
        write_atomically(file, url + "\n", 0o600)
    file.chmod(0o600)
    administrator.sql(rights_sql())
    if not answers(url):
        administrator.sql(password_sql(scram(urlsplit(url).password or "", secrets.token_bytes(16))))
    if why_not := refusal(url):
        raise HostProblem(
            "install.postgres-refuses",
            f"PostgreSQL on port {port} does not let the role {ROLE} in: {why_not}",
            "pg_hba.conf has to have: host all all 127.0.0.1/32 scram-sha-256, and listen_addresses localhost. "
            "Applications' roles come in by the same line.",
        )
    if lets_anyone_in(Place.of(url)):
        return [TRUSTING]
    return []
