"""The TLS listener of the tests' ACME server, and the bundle with which clients trust it besides the machine's own."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.certificates import Authority, pem


def make_listener(folder: Path) -> Path:
    """``listener.pem`` and ``listener.key``, for localhost and acme.test; returns the bundle. Made once."""
    bundle = folder / "bundle.pem"
    if bundle.exists():
        return bundle
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority("ACME listener")
    own = authority.issue("localhost", "acme.test")
    (folder / "listener.pem").write_bytes(own.chain_pem)
    (folder / "listener.key").write_bytes(own.key_pem)
    known = ssl.get_default_verify_paths().cafile
    bundle.write_bytes((Path(known).read_bytes() if known else b"") + pem(authority.root))
    return bundle
