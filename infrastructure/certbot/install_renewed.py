"""Certbot's deploy hook: puts a certificate that was issued into Nginx's store, from which it is served at once.

It is copied to Certbot's directory and stands alone there (the standard library, Python 3.8), so that a renewal needs
nothing of Bakery's. Nginx reads ``<store>/<name>/current`` at each handshake: one rename(2) is all that it takes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import ssl
import sys
import tempfile
from pathlib import Path

LINEAGE = re.compile(r"(deployment-[1-9][0-9]*|panel)\Z")


def main() -> None:
    parser = argparse.ArgumentParser(description="Certbot's deploy hook for Bakery.")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--group", type=int, help="Of Nginx's workers.")
    asked = parser.parse_args()
    lineage = Path(os.environ.get("RENEWED_LINEAGE", ""))
    if not LINEAGE.match(lineage.name):
        sys.exit(f"RENEWED_LINEAGE names no certificate of Bakery's: {lineage}")
    chain = (lineage / "fullchain.pem").read_bytes()
    key = (lineage / "privkey.pem").read_bytes()
    install(asked.store / lineage.name, chain, key, asked.group)


def install(site: Path, chain: bytes, key: bytes, group: int | None) -> None:
    """Write both beside what is served, and only then point to them."""
    leaf = re.search(b"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", chain, re.DOTALL)
    if leaf is None:
        sys.exit("There is no certificate in fullchain.pem.")
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf.group().decode("ascii"))).hexdigest()
    folder = site / fingerprint
    for directory in (site, folder):
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        directory.chmod(0o750)
        if group is not None:
            os.chown(directory, -1, group)
    write(folder / "chain.pem", chain, group)
    write(folder / "key.pem", key, group)
    beside = site / f".current.{os.getpid()}"
    if beside.is_symlink():
        beside.unlink()
    beside.symlink_to(fingerprint)
    beside.replace(site / "current")
    sync(site)


def write(path: Path, data: bytes, group: int | None) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o640)
            if group is not None:
                os.fchown(file.fileno(), -1, group)
            os.fsync(file.fileno())
        Path(name).replace(path)
        sync(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


if __name__ == "__main__":
    main()
