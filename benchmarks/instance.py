"""A running Bakery of a benchmark's own, in a temporary directory: started and stopped as the tests' is."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infrastructure.quickstart.options import Options
from tests.instance import EMAIL, PASSWORD, Instance
from tests.plan import free_port


def say(text: str) -> None:
    """Progress, beside the figures on standard output."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def running_instance() -> Iterator[Instance]:
    """With Alice as its admin."""
    data = Path(tempfile.mkdtemp(prefix="bakery-bench-"))
    data.chmod(0o711)  # the applications' own accounts pass through it
    options = Options(port=free_port(), http_port=free_port(), data_dir=data, demo=False, detach=True, listed=False)
    instance = Instance(options)
    say("Starting an instance …")
    try:
        try:
            instance.start()
            instance.manage("create_admin", EMAIL, "-", "--reset", stdin=f"{PASSWORD}\n")
            yield instance
        finally:
            instance.stop()
    finally:
        shutil.rmtree(data, ignore_errors=True)
