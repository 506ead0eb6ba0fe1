"""The certificates that Nginx serves: ``<root>/<name>/<fingerprint>/{chain,key}.pem``, and ``<root>/<name>/current``, a
symlink to the one in use. Nginx follows it at each handshake, so a new one is served without a reload.

Nginx's workers read the keys: the directories are theirs by group. See docs/threat-model.md.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

from infrastructure.certificates.names import DIRECTORY_MODE, NAME, store_name
from infrastructure.certificates.pem import Facts, Pair, read_pair
from infrastructure.errors import Refused
from infrastructure.files import make_directory, point_symlink, write_atomically

FINGERPRINT = re.compile(r"[0-9a-f]{64}")
KEPT_SECONDS = 60.0  # a handshake may be reading one that was current a moment ago


class CertificateStore:
    """``group``: of Nginx's workers, where they are not we."""

    def __init__(self, root: Path, group: int | None) -> None:
        self.root = root
        self.group = group

    def install(self, name: str, pair: Pair) -> str:
        """Have Nginx serve this pair from its next handshake on; returns the fingerprint. May be repeated. When the
        disk is full, what was there goes on being served."""
        folder = self._of(name)
        self._make(self.root)
        self._make(folder)
        target = folder / pair.fingerprint
        self._make(target)
        self._write(target / "key.pem", pair.key_pem)
        self._write(target / "chain.pem", pair.chain_pem)
        os.utime(target)
        point_symlink(folder / "current", pair.fingerprint)
        self._forget_older(folder, pair.fingerprint)
        return pair.fingerprint

    def current(self, name: str) -> Facts | None:
        """What the certificate in use says, expired or not. None: there is none that Nginx could serve."""
        folder = self._of(name) / "current"
        try:
            return read_pair((folder / "chain.pem").read_bytes(), (folder / "key.pem").read_bytes(), allow_expired=True)
        except (OSError, Refused):
            return None

    def names(self) -> list[str]:
        """Of which there is a certificate, whole or not."""
        try:
            return sorted(entry.name for entry in self.root.iterdir() if NAME.fullmatch(entry.name))
        except OSError:
            return []

    def remove(self, name: str) -> None:
        """May be repeated."""
        folder = self._of(name)
        (folder / "current").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def _of(self, name: str) -> Path:
        return self.root / store_name(name)

    def _make(self, folder: Path) -> None:
        make_directory(folder, DIRECTORY_MODE, self.group)

    def _write(self, path: Path, pem: bytes) -> None:
        if not path.exists() or path.read_bytes() != pem:
            write_atomically(path, pem.decode("ascii"), 0o640, self.group)

    def _forget_older(self, folder: Path, current: str) -> None:
        """All but the one before, and those that became current only now."""
        older = [entry for entry in folder.iterdir() if FINGERPRINT.fullmatch(entry.name) and entry.name != current]
        older.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
        for entry in older[1:]:
            if entry.stat().st_mtime < time.time() - KEPT_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)
