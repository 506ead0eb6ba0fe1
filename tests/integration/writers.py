"""Counts how many releases of a deployment run at the same moment."""

from __future__ import annotations

import threading
import time

import psutil

from tests.integration.driving import Driven


class Writers:
    """Looks all the time how many releases of a deployment run: by the directory that their process works in."""

    def __init__(self, app: Driven) -> None:
        self.builds = str(app.instance.data_dir / "builds" / str(app.id))
        self.most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Writers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.is_set():
            self.most = max(self.most, len(self.now()))
            time.sleep(0.05)

    def now(self) -> set[str]:
        """The releases' directories that a server runs in."""
        found = set()
        for process in psutil.process_iter():
            try:
                if process.cwd().startswith(self.builds) and "server.ts" in process.cmdline():
                    found.add(process.cwd())
            except psutil.Error:
                continue
        return found
