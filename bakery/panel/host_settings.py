"""Which settings of the environment file belong to a host, and which move with the panel to another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings

from bakery.environment import env_file
from infrastructure import dotenv
from infrastructure.errors import HostProblem
from infrastructure.files import sync_directory

KEY = "ENCRYPTION_KEY"
# What moves with the panel. Everything else says where this host's own servers, ports, places and programs are, and
# what it allows. The key replaces this host's; the others fill in what this host has not set.
MOVING = (KEY, "GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET", "CERTBOT_EMAIL")


def moving_settings() -> dict[str, str]:
    """As they are in force: a secret that is in a file of its own is read from there."""
    bakery = settings.BAKERY
    values = (
        ",".join(bakery.encryption_keys),
        bakery.github_client_id,
        bakery.github_client_secret,
        bakery.certbot_email,
    )
    return {name: value for name, value in zip(MOVING, values, strict=True) if value}


def to_be_brought(offered: Mapping[str, str]) -> dict[str, str]:
    here = moving_settings()
    return {name: offered[name] for name in MOVING if name in offered and (name == KEY or name not in here)}


class SettingsFile:
    """The environment file, changed line by line: comments, order, owner and mode stay."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()  # a release's .env is a link to the one that all share
        self.text = self.path.read_text()

    def has(self, name: str) -> bool:
        return bool(dotenv.read(self.path).get(name))

    def write(self, values: Mapping[str, str]) -> None:
        self._replace(dotenv.edited(self.text, dict(values)))

    def put_back(self) -> None:
        self._replace(self.text)

    def _replace(self, text: str) -> None:
        before = self.path.stat()
        beside = self.path.with_name(f".{self.path.name}.new")
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fchown(handle, before.st_uid, before.st_gid)  # whose group reads it may not own it
            os.fchmod(handle, before.st_mode & 0o7777)
            os.fsync(handle)
        beside.replace(self.path)
        sync_directory(self.path.parent)


def settings_file() -> SettingsFile:
    """The file that this Bakery is configured by, seen to be the one from which the keys come."""
    path = env_file()
    if path is None or not path.is_file():
        raise HostProblem(
            "restore.no-settings-file",
            "Bakery has no environment file on this host, so its encryption keys cannot be changed.",
            "Install it with install.sh or quickstart.sh first, or write an .env file (see .env.example).",
        )
    if not os.access(path, os.W_OK):
        raise HostProblem("restore.not-allowed", f"{path} cannot be written by this user.", "Run this as root.")
    found = SettingsFile(path)
    if not found.has(KEY):
        raise HostProblem(
            "restore.key-elsewhere",
            f"{KEY} is not set in {path} but in the process environment or as {KEY}_FILE, out of reach from here.",
            f"Move it into {path} as {KEY}=…, then run this again.",
        )
    return found
