"""Rows that the tests of logs need."""

from __future__ import annotations

import itertools
import uuid

from accounts.models import User
from bakery.roles import Role
from deployments.logs.store import StreamStore, open_stream
from deployments.models import Deployment, LogStream, Release, Slot, StreamKind
from deployments.services.snapshot import Snapshot
from infrastructure.secret import Secret

_ports = itertools.count(41000)


def make_user(role: Role = Role.VIEWER, password: str = "a long enough password") -> User:
    return User.objects.create_user(f"{uuid.uuid4().hex[:10]}@example.com", password, role=role)


def make_release(secret: str = "") -> Release:
    deployment = Deployment.objects.create(
        name=f"app-{uuid.uuid4().hex[:10]}", repository="https://example.com/app.git"
    )
    snapshot = Snapshot.of(deployment)
    if secret:
        snapshot = Snapshot(snapshot.settings, {}, {"API_KEY": Secret(secret)}, ())
    return Release.objects.create(deployment=deployment, number=1, ref="main", snapshot=snapshot.to_secret())


def make_slot(release: Release) -> Slot:
    port = next(_ports)
    address = f"10.207.{port // 256 % 256}.{port % 256}"
    return Slot.objects.create(deployment=release.deployment, name="blue", port=port, address=address, release=release)


def make_stream(kind: StreamKind = StreamKind.PROCESS) -> LogStream:
    return open_stream(make_release(), kind)


def fill(stream: LogStream, count: int, start: int = 0, *, step: int = 5000) -> None:
    """Numbered lines: “line 000017 …”."""
    store = StreamStore(stream.pk)
    for first in range(start, start + count, step):
        end = min(first + step, start + count)
        store.append([f"line {number:06d} of an application that says something\n" for number in range(first, end)])


def text_of(stream: LogStream) -> str:
    return "".join(stream.chunks.order_by("seq").values_list("data", flat=True))
