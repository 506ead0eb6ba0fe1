"""A whole Bakery beside the one that all tests share: for what would change more than an application."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infrastructure import dotenv
from tests.instance import Instance
from tests.plan import OWN_SETTINGS, options_in, plan_authority, reserve_ranges


@contextmanager
def another_instance(settings: Mapping[str, str] | None = None) -> Iterator[Instance]:
    """``settings``: of its environment, beside those that every test's instance has."""
    data = Path(tempfile.mkdtemp(prefix="bakery-test-")).resolve()  # pytest's own are closed to PostgreSQL's account
    made = Instance(options_in(data))
    values = {**OWN_SETTINGS, **plan_authority(data), **reserve_ranges(), **(settings or {})}
    dotenv.write(made.place.environment_file, values)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(data, ignore_errors=True)
