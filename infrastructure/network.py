"""How programs find their way out of this host: proxies and certificate authorities, and nothing else."""

from __future__ import annotations

import os

PASSED_ON = (
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
)


def network_environment() -> dict[str, str]:
    """The variables of Bakery's own environment that fetches and installs need on a host behind a proxy."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}
