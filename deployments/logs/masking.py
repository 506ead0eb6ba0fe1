"""What the log of a release must never show, while the passwords of its databases change."""

from __future__ import annotations

from databases.services.injection import secrets_of
from deployments.models import Release
from deployments.services.snapshot import Snapshot
from infrastructure.secret import Masker


class ReleaseMasker(Masker):
    """Knows what a process can have been given: what the snapshot holds, and every password that its databases have
    had while this masker lived. ``refresh`` looks for new ones: a process is given a password that stands in the
    database, so who looks after reading the output knows it."""

    def __init__(self, release: Release) -> None:
        snapshot = Snapshot.from_release(release)
        super().__init__(snapshot.secrets())
        self._databases = snapshot.databases
        self._known: set[str] = set()
        self.refresh()

    def refresh(self) -> None:
        if not self._databases:
            return
        found = {secret.reveal() for secret in secrets_of(self._databases)}
        if not found <= self._known:
            self._known |= found
            self.learn(found)
