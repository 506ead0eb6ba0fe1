"""Keeps what builds leave behind under the budget that the host's people have set."""

from __future__ import annotations

import logging

from django.conf import settings

from deployments.services import host
from infrastructure.errors import Problem

logger = logging.getLogger(__name__)


def trim() -> int:
    """Bytes that were freed. A runtime that does not answer now is asked again the next time."""
    freed = 0
    for name, runtime in host.runtimes().items():
        try:
            freed += runtime.tidy(settings.BAKERY.build_cache_mb * 1024 * 1024)
        except Problem as problem:
            logger.warning("%s: what builds left behind was not looked through: %s", name, problem)
    if freed:
        logger.info("%d MiB that builds had left behind were freed", freed // 1_048_576)
    return freed
