from __future__ import annotations

import re
from collections.abc import Mapping

from infrastructure.nginx.tls import CERTIFICATE_BY_VARIABLE
from infrastructure.runner import Command, Runner


def nginx_version(binary: str, environment: Mapping[str, str], runner: Runner) -> tuple[int, ...]:
    """As ``nginx -v`` says; of one that does not say, the oldest that Bakery works with."""
    said = runner.run(Command((binary, "-v"), env=environment), check=False).output
    found = re.search(r"nginx/([0-9]+)\.([0-9]+)\.([0-9]+)", said)
    return tuple(int(part) for part in found.groups()) if found else CERTIFICATE_BY_VARIABLE
