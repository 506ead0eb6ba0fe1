"""Reads the environment table (README, .env.example): every setting of Bakery comes in through here.

A missing or malformed setting stops the start with one message that lists all findings. A secret ``X`` may also
be given as ``X_FILE``, the path of a file that holds it. Values come from, first found wins: the process
environment, the file named by ``BAKERY_ENV_FILE``, ``.env`` in the checkout, the quickstart's instance.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parent.parent
INSTANCE_POINTER = ROOT / ".bakery-instance"  # written by the quickstart: the path of its environment file
KNOWN_SECRETS = frozenset({"changeme", "secret", "password", "django-insecure", "bakery", "please-change-me"})


@dataclass(frozen=True)
class Environment:
    """The environment table, parsed. Directories are absolute; ports are integers."""

    database_url: str
    redis_url: str
    postgres_admin_url: str  # of the server on which databases are made; "": that of DATABASE_URL, with its role
    postgres_admin_url_file: Path | None  # holds it, for the workers alone: read when it is needed
    session_secret: str
    encryption_keys: tuple[str, ...]  # urlsafe base64 of 32 bytes; the first one encrypts, all decrypt
    host: str
    port: int
    base_url: str
    api_url: str
    public_ip: str
    public_ipv6: str
    install_dir: Path | None  # of a server: releases, mirror, .env. None: a checkout, which does not update itself
    data_dir: Path
    logs_dir: Path
    builds_dir: Path
    backups_dir: Path
    dump_upload_mb: int  # the largest dump that may be uploaded
    new_databases_backups: str  # when a new database is backed up, until somebody says otherwise: "daily" or "never"
    github_client_id: str
    github_client_secret: str
    certbot: str  # the program, by name or path
    certbot_email: str
    certbot_server: str  # the ACME directory; "": Let's Encrypt's
    certbot_staging: bool  # Let's Encrypt's for trying, whose certificates no browser trusts
    certbot_authenticator: str  # "webroot" or "nginx"
    dns_resolvers: tuple[str, ...]  # "address" or "address:port" ("[address]:port")
    dns_port: int  # of the zones' own servers
    apps_domain: str
    http_port: int
    public_http_port: int  # at which the world reaches it
    https_port: int
    port_range: tuple[int, int]
    processes: str  # "supervisord" or "systemd": what runs the processes of bun releases
    supervisor_url: str
    web_server: str  # "private" (an Nginx of this instance's own) or "system" (the machine's, which serves Bakery too)
    nginx_binary: str
    nginx_libraries: str  # LD_LIBRARY_PATH of an Nginx that was unpacked privately
    bun_binary: str
    docker_subnet: str
    docker_publish: str  # "bridge" (fixed address per slot) or "loopback" (published port)
    build_cache_mb: int  # what image builds may leave behind in the Docker engine
    allow_file_repositories: bool
    lease_seconds: int
    debug: bool


def env_file() -> Path | None:
    """The file whose values fill what the process environment leaves out."""
    if named := os.environ.get("BAKERY_ENV_FILE"):
        return Path(named)
    if (ROOT / ".env").exists():
        return ROOT / ".env"
    if INSTANCE_POINTER.exists():
        target = Path(INSTANCE_POINTER.read_text().strip())
        return target if target.exists() else None
    return None


def read_environment() -> Environment:
    """Parse everything, or raise ``ImproperlyConfigured`` with all that is wrong."""
    file = env_file()
    if file:
        if not file.exists():
            raise ImproperlyConfigured(f"BAKERY_ENV_FILE names {file}, which does not exist.")
        environ.Env.read_env(file)
    reader = _Reader(environ.Env())
    data_dir = reader.directory("BAKERY_DATA_DIR", str(ROOT / ".bakery"))
    host = reader.text("BAKERY_HOST", "127.0.0.1")
    port = reader.port("BAKERY_PORT", 4100)
    base_url = reader.url("BAKERY_BASE_URL", f"http://localhost:{port}")
    web_server = reader.choice("BAKERY_WEB_SERVER", ("private", "system"))
    http_port = reader.port("BAKERY_HTTP_PORT", 8080)
    parsed = Environment(
        database_url=reader.required("DATABASE_URL", "postgres://user:password@host:5432/name"),
        redis_url=reader.required("REDIS_URL", "redis://:password@127.0.0.1:6379/0"),
        postgres_admin_url=reader.text("BAKERY_POSTGRES_ADMIN_URL", ""),
        postgres_admin_url_file=reader.optional_directory("BAKERY_POSTGRES_ADMIN_URL_FILE"),
        session_secret=reader.session_secret(),
        encryption_keys=reader.encryption_keys(),
        host=host,
        port=port,
        base_url=base_url,
        api_url=reader.url("BAKERY_API_URL", f"{base_url}/api"),
        public_ip=reader.address("BAKERY_PUBLIC_IP", 4),
        public_ipv6=reader.address("BAKERY_PUBLIC_IPV6", 6),
        install_dir=reader.optional_directory("BAKERY_INSTALL_DIR"),
        data_dir=data_dir,
        logs_dir=reader.directory("BAKERY_LOGS_DIR", str(data_dir / "logs")),
        builds_dir=reader.directory("BAKERY_BUILDS_DIR", str(data_dir / "builds")),
        backups_dir=reader.directory("BAKERY_BACKUPS_DIR", str(data_dir / "backups")),
        dump_upload_mb=reader.number("BAKERY_DUMP_UPLOAD_MB", 4096),
        new_databases_backups=reader.choice("BAKERY_NEW_DATABASES_BACKUPS", ("daily", "never")),
        github_client_id=reader.text("GITHUB_CLIENT_ID", ""),
        github_client_secret=reader.secret("GITHUB_CLIENT_SECRET") or "",
        certbot=reader.text("BAKERY_CERTBOT", "certbot"),
        certbot_email=reader.text("CERTBOT_EMAIL", ""),
        certbot_server=reader.text("CERTBOT_SERVER", ""),
        certbot_staging=reader.flag("CERTBOT_STAGING"),
        certbot_authenticator=reader.choice("CERTBOT_AUTHENTICATOR", ("webroot", "nginx")),
        dns_resolvers=reader.resolvers("BAKERY_DNS_RESOLVERS", "1.1.1.1,8.8.8.8,9.9.9.9"),
        dns_port=reader.port("BAKERY_DNS_PORT", 53),
        apps_domain=reader.text("BAKERY_APPS_DOMAIN", "localhost"),
        http_port=http_port,
        public_http_port=reader.port("BAKERY_PUBLIC_HTTP_PORT", http_port),
        https_port=reader.port("BAKERY_HTTPS_PORT", 443 if web_server == "system" else 8443),
        port_range=reader.port_range("BAKERY_PORT_RANGE", "20000-20999"),
        processes=reader.choice("BAKERY_PROCESSES", ("supervisord", "systemd")),
        supervisor_url=reader.text("BAKERY_SUPERVISOR_URL", f"unix://{data_dir / 'run' / 'supervisor.sock'}"),
        web_server=web_server,
        nginx_binary=reader.text("BAKERY_NGINX", "nginx"),
        nginx_libraries=reader.text("BAKERY_NGINX_LIBRARIES", ""),
        bun_binary=reader.text("BAKERY_BUN", "bun"),
        docker_subnet=reader.text("BAKERY_DOCKER_SUBNET", "10.207.0.0/16"),
        docker_publish=reader.choice("BAKERY_DOCKER_PUBLISH", ("bridge", "loopback")),
        build_cache_mb=reader.number("BAKERY_BUILD_CACHE_MB", 4096),
        allow_file_repositories=reader.flag("BAKERY_ALLOW_FILE_REPOSITORIES"),
        lease_seconds=reader.number("BAKERY_LEASE_SECONDS", 15),
        debug=reader.flag("BAKERY_DEBUG"),
    )
    reader.finish()
    return parsed


class _Reader:
    """Reads one value after the other and gathers what is wrong, so that all of it is said at once."""

    def __init__(self, env: environ.Env) -> None:
        self.env = env
        self.findings: list[str] = []

    def finish(self) -> None:
        if self.findings:
            lines = "\n".join(f"  - {finding}" for finding in self.findings)
            raise ImproperlyConfigured(
                f"Bakery cannot start with this environment:\n{lines}\n"
                "See .env.example; infrastructure/scripts/quickstart.sh makes a working one."
            )

    def text(self, name: str, default: str) -> str:
        value: str = self.env.str(name, default=default)
        return value

    def secret(self, name: str) -> str | None:
        plain: str | None = self.env.str(name, default=None)
        path: str | None = self.env.str(f"{name}_FILE", default=None)
        if plain and path:
            self.findings.append(f"{name} and {name}_FILE are both set: keep one.")
        if path:
            try:
                return Path(path).read_text().strip()
            except OSError as error:
                self.findings.append(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.")
                return None
        return plain or None

    def required(self, name: str, example: str) -> str:
        value = self.secret(name)
        if not value:
            self.findings.append(f"{name} is missing. It looks like {example}.")
            return ""
        try:
            parts = urlsplit(value)
            valid = bool(parts.scheme) and (bool(parts.netloc) or bool(parts.path))
        except ValueError:
            valid = False
        if not valid:
            self.findings.append(f"{name} is not a URL. It looks like {example}.")
        return value

    def session_secret(self) -> str:
        value = self.secret("SESSION_SECRET") or ""
        if len(value) < 32 or value.lower() in KNOWN_SECRETS or len(set(value)) < 8:
            self.findings.append("SESSION_SECRET is missing, known or too short: use 32 random characters or more.")
        return value

    def encryption_keys(self) -> tuple[str, ...]:
        keys = tuple(key.strip() for key in (self.secret("ENCRYPTION_KEY") or "").split(",") if key.strip())
        if not keys:
            self.findings.append(
                "ENCRYPTION_KEY is missing: 32 random bytes in urlsafe base64 (a comma before older keys)."
            )
        for key in keys:
            try:
                raw = base64.urlsafe_b64decode(key)
            except (binascii.Error, ValueError):
                raw = b""
            if len(raw) != 32 or len(set(raw)) < 8:
                self.findings.append("ENCRYPTION_KEY is not 32 random bytes in urlsafe base64.")
        return keys

    def address(self, name: str, version: int) -> str:
        """In the one form that DNS servers give it back in; empty where it is not set."""
        raw = self.text(name, "")
        try:
            found = ipaddress.ip_address(raw) if raw else None
        except ValueError:
            found = None
        if raw and (found is None or found.version != version):
            self.findings.append(f"{name} is “{raw}”, not an IPv{version} address.")
        return str(found or "")

    def resolvers(self, name: str, default: str) -> tuple[str, ...]:
        servers = tuple(part.strip() for part in self.text(name, default).split(",") if part.strip())
        for server in servers:
            address, _, port = server.removeprefix("[").partition("]" if server.startswith("[") else ":")
            if server.count(":") > 1 and not server.startswith("["):
                address, port = server, ""
            try:
                ipaddress.ip_address(address)
            except ValueError:
                address = ""
            if not address or not (port.removeprefix(":") or "53").isdigit():
                self.findings.append(f"{name}: “{server}” is not an address, address:port or [address]:port.")
        if not servers:
            self.findings.append(f"{name} is empty: name a DNS server that is to be asked, or leave the setting out.")
        return servers

    def directory(self, name: str, default: str) -> Path:
        return Path(self.text(name, default)).expanduser().resolve()

    def optional_directory(self, name: str) -> Path | None:
        return Path(found) if (found := self.text(name, "")) else None

    def number(self, name: str, default: int) -> int:
        raw = self.text(name, str(default))
        if not raw.isdigit() or int(raw) < 1:
            self.findings.append(f"{name} is “{raw}”, not a positive whole number.")
            return default
        return int(raw)

    def port(self, name: str, default: int) -> int:
        value = self.number(name, default)
        if value > 65535:
            self.findings.append(f"{name} is {value}, not a port (1 to 65535).")
        return value

    def port_range(self, name: str, default: str) -> tuple[int, int]:
        raw = self.text(name, default)
        first, _, last = raw.partition("-")
        if not (first.isdigit() and last.isdigit() and 1024 <= int(first) < int(last) <= 65535):
            self.findings.append(f"{name} is “{raw}”; it looks like 20000-20999, within 1024 to 65535.")
            return (20000, 20999)
        return int(first), int(last)

    def url(self, name: str, default: str) -> str:
        value = self.text(name, default).rstrip("/")
        if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).netloc:
            self.findings.append(f"{name} is “{value}”; it begins with http:// or https:// and has a host.")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name, choices[0])
        if value not in choices:
            self.findings.append(f"{name} is “{value}”; it is one of {', '.join(choices)}.")
        return value

    def flag(self, name: str) -> bool:
        value = self.text(name, "false").lower()
        if value not in ("true", "false", "1", "0", "yes", "no"):
            self.findings.append(f"{name} is “{value}”; it is true or false.")
        return value in ("true", "1", "yes")
