"""Puts lines into a stream: chunks, counters and the reader's cursor change together or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import Max, Min
from django.utils import timezone

from deployments.logs.wake import wake
from deployments.models import LogChunk, LogStream, Release, StreamKind

CHUNK_BYTES = 32 * 1024
HEAD_BYTES = 16 * 1024 * 1024
TAIL_BYTES = 48 * 1024 * 1024  # with the head 64 MiB, the most that one stream keeps
TRIM_STEP = 1024 * 1024  # how much the tail may outgrow its limit before it is cut, so that not every chunk deletes one


def open_stream(release: Release, kind: StreamKind | str) -> LogStream:
    """The release's log of this kind. There is one of each: a rollback goes on in it."""
    stream, _ = LogStream.objects.get_or_create(
        release=release, kind=kind, defaults={"deployment_id": release.deployment_id}
    )
    return stream


class AnotherWriter(Exception):
    """Somebody else appended to the stream, or it was deleted."""


class StreamStore:
    """The stream's only writer. Loads the counters once and knows them from then on."""

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.reload()

    def reload(self) -> None:
        """Take the counters from the database: after a failure it is the only one who knows what was committed."""
        stream = LogStream.objects.get(pk=self.stream_id)
        self.next_seq, self.line_count, self.byte_count = stream.next_seq, stream.line_count, stream.byte_count
        self.cursor: dict[str, object] = stream.cursor
        self.ended = stream.ended_at is not None
        self._trimmed_at = stream.byte_count

    def append(self, lines: list[str], cursor: Mapping[str, object] | None = None, at: datetime | None = None) -> None:
        """Store whole lines, and with them how far the source has been read. Raises ``django.db.Error`` when that
        cannot be done and ``AnotherWriter`` when the counters are no longer true; nothing was stored then, or,
        when the connection broke, all of it: ``reload`` tells."""
        chunks = list(self._chunks(lines, at or timezone.now()))
        if not chunks and cursor is None:
            return
        last = chunks[-1] if chunks else None
        next_seq = last.seq + 1 if last else self.next_seq
        line_count = last.first_line + last.line_count if last else self.line_count
        byte_count = last.byte_offset + len(last.data.encode()) if last else self.byte_count
        changes: dict[str, object] = {"next_seq": next_seq, "line_count": line_count, "byte_count": byte_count}
        if cursor is not None:
            changes["cursor"] = dict(cursor)
        with transaction.atomic():
            if LogStream.objects.filter(pk=self.stream_id, next_seq=self.next_seq).update(**changes) != 1:
                raise AnotherWriter(f"log stream {self.stream_id}")
            LogChunk.objects.bulk_create(chunks)
            if byte_count - max(self._trimmed_at, HEAD_BYTES + TAIL_BYTES) >= TRIM_STEP:
                self._trim(byte_count)
        self.next_seq, self.line_count, self.byte_count = next_seq, line_count, byte_count
        if cursor is not None:
            self.cursor = dict(cursor)
        if chunks:
            wake(self.stream_id)

    def reopen(self) -> None:
        """It goes on after it had ended."""
        if self.ended:
            LogStream.objects.filter(pk=self.stream_id).update(ended_at=None)
            self.ended = False
            wake(self.stream_id)

    def end(self) -> None:
        if not self.ended:
            LogStream.objects.filter(pk=self.stream_id).update(ended_at=timezone.now())
            self.ended = True
            wake(self.stream_id)

    def _chunks(self, lines: list[str], at: datetime) -> Iterator[LogChunk]:
        seq, first_line, offset = self.next_seq, self.line_count, self.byte_count
        for data, count in packed(lines):
            yield LogChunk(
                stream_id=self.stream_id,
                seq=seq,
                first_line=first_line,
                line_count=count,
                byte_offset=offset,
                created_at=at,
                data=data,
            )
            seq, first_line, offset = seq + 1, first_line + count, offset + len(data.encode())

    def _trim(self, byte_count: int) -> None:
        """Cut out the middle: what is neither in the head nor among the last ``TAIL_BYTES``."""
        middle = LogChunk.objects.filter(
            stream_id=self.stream_id, byte_offset__gte=HEAD_BYTES, byte_offset__lt=byte_count - TAIL_BYTES
        )
        found = middle.aggregate(first=Min("seq"), last=Max("seq"), from_line=Min("first_line"))
        self._trimmed_at = byte_count
        if found["last"] is None:
            return
        middle.delete()
        stream = LogStream.objects.get(pk=self.stream_id)
        after = LogChunk.objects.filter(stream_id=self.stream_id, seq=found["last"] + 1).values("first_line").first()
        end_line = after["first_line"] if after else stream.line_count
        stream.cut_lines += end_line - found["from_line"]
        stream.cut_first_seq = stream.cut_first_seq or found["first"]
        stream.cut_last_seq = found["last"]
        stream.save(update_fields=["cut_lines", "cut_first_seq", "cut_last_seq"])


def packed(lines: list[str]) -> Iterator[tuple[str, int]]:
    """Lines joined to pieces of about ``CHUNK_BYTES``, each with its number of lines."""
    pending: list[str] = []
    size = 0
    for line in lines:
        length = len(line) if line.isascii() else len(line.encode())
        if pending and size + length > CHUNK_BYTES:
            yield "".join(pending), len(pending)
            pending, size = [], 0
        pending.append(line)
        size += length
    if pending:
        yield "".join(pending), len(pending)
