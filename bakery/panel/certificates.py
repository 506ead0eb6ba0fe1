"""Certificates in a backup of the panel: what Nginx serves, and what Certbot renews it with (accounts, keys, settings).

They are served on the new host at once, before anybody has moved DNS. Nothing of them leaves the sealed stream but
into directories that root alone enters.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
from pathlib import Path, PurePosixPath

from django.conf import settings

from deployments.services import host
from domains.models import Certificate
from domains.services.authority import place
from infrastructure.certificates.pem import read_pair
from infrastructure.errors import Problem
from infrastructure.files import make_directory

STORE, CERTBOT = "store", "certbot"
OF_CERTBOT = ("config", "credentials")  # the rest of its directory makes itself
DATA_DIR = "data-dir"  # where it all was: Certbot's settings name it
GROUP = re.compile(r"(--group) \d+")


def collect(into: Path) -> Path:
    """One tar of everything, in ``into``, which nobody else may enter."""
    file = into / "certificates.tar"
    with tarfile.open(file, "w") as tar:
        note = into / DATA_DIR
        note.write_text(str(settings.BAKERY.data_dir))
        tar.add(note, DATA_DIR)
        store = host.router().certificates
        for name in store.names():
            if store.current(name):
                for part in ("chain.pem", "key.pem"):
                    tar.add((store.root / name / "current" / part).resolve(), f"{STORE}/{name}/{part}")
        for folder in OF_CERTBOT:
            if (place().root / folder).is_dir():
                tar.add(place().root / folder, f"{CERTBOT}/{folder}")
    return file


def bring_back(file: Path | None) -> list[str]:
    """Put them where this host has them, in the place of what is here; returns what a person should know. Rows whose
    certificate did not come along are emptied, so that it is issued anew."""
    store = host.router().certificates
    for name in store.names():
        store.remove(name)
    for folder in OF_CERTBOT:
        shutil.rmtree(place().root / folder, ignore_errors=True)
    notes = []
    if file is not None:
        directory = file.parent / "certificates"
        _unpack(file, directory)
        notes = _install(directory / STORE)
        _adopt_lineages(directory)
    _forget_missing()
    return notes


def _unpack(file: Path, into: Path) -> None:
    """Files, directories, and links that stay inside. Python 3.10 and 3.11.2 have no filter for that of their own."""
    with tarfile.open(file) as tar:
        for entry in tar:
            path = PurePosixPath(entry.name)
            inside = os.path.normpath(path.parent / entry.linkname) if entry.issym() else ""
            if path.is_absolute() or ".." in path.parts or inside.startswith(("/", "..")) or entry.islnk():
                raise Problem("backup.damaged", f"The backup has a file {entry.name} in it that is none of Bakery's.")
            if entry.isdir() or entry.isreg() or entry.issym():
                entry.uid, entry.gid = os.geteuid(), os.getegid()
                tar.extract(entry, into)


def _install(directory: Path) -> list[str]:
    notes = []
    for folder in sorted(directory.iterdir()) if directory.is_dir() else []:
        try:
            pair = read_pair((folder / "chain.pem").read_bytes(), (folder / "key.pem").read_bytes(), allow_expired=True)
            host.router().certificates.install(folder.name, pair)
        except (Problem, OSError, ValueError) as problem:
            notes.append(f"The certificate {folder.name} could not be brought back: {problem}")
    return notes


def _adopt_lineages(directory: Path) -> None:
    """Certbot's files, in which absolute paths are those of this host from now on."""
    here = place()
    here.prepare()
    here.put_hook()
    was, now = (directory / DATA_DIR).read_text(), str(settings.BAKERY.data_dir)
    group = host.router().certificates.group
    for folder in OF_CERTBOT:
        found = directory / CERTBOT / folder
        if found.is_dir():
            shutil.rmtree(here.root / folder, ignore_errors=True)
            shutil.copytree(found, here.root / folder, symlinks=True)
            make_directory(here.root / folder, 0o700)
    for conf in (here.config / "renewal").glob("*.conf"):
        mode = stat.S_IMODE(conf.stat().st_mode)
        text = conf.read_text().replace(f"{was}/", f"{now}/")
        conf.write_text(GROUP.sub(rf"\1 {group}", text) if group is not None else text)
        conf.chmod(mode)


def _forget_missing() -> None:
    """A row says what Nginx has; where that is not so, there is nothing yet."""
    store = host.router().certificates
    for row in Certificate.objects.exclude(fingerprint=""):
        installed = store.current(row.store_name)
        if installed is None or installed.fingerprint != row.fingerprint:
            Certificate.objects.filter(pk=row.pk).update(
                names=[], issuer="", serial="", fingerprint="", not_before=None, not_after=None, installed_at=None
            )
