from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection
from django.test import override_settings
from psycopg import sql

from deployments.logs import reading, store, writer
from deployments.logs.writer import LogWriter
from infrastructure.secret import MASK, Masker
from tests.integration.log_makers import fill, make_stream, text_of
from tests.integration.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_what_is_written_is_stored_in_order_and_masked() -> None:
    stream = make_stream()
    with LogWriter(stream, Masker(["s3cret-value"])) as log:
        log.write(b"one\ntw")
        log.write(b"o s3cret-value\nno newline")
    assert text_of(stream) == f"one\ntwo {MASK}\nno newline\n"
    stream.refresh_from_db()
    assert (stream.line_count, stream.byte_count) == (3, len(text_of(stream)))
    assert stream.ended_at is not None


def test_a_line_is_stored_while_the_job_goes_on() -> None:
    stream = make_stream()
    with LogWriter(stream) as log:
        log.write(b"Installing\n")
        until(lambda: text_of(stream) == "Installing\n")
        stream.refresh_from_db()
        assert stream.ended_at is None


def test_a_second_writer_goes_on_where_the_first_one_stopped() -> None:
    stream = make_stream()
    with LogWriter(stream) as log:
        log.write(b"first\n")
    with LogWriter(stream) as log:
        log.write(b"second\n")
        log.flush()
        stream.refresh_from_db()
        assert stream.ended_at is None
    assert text_of(stream) == "first\nsecond\n"
    chunks = list(stream.chunks.values_list("seq", "first_line", "byte_offset"))
    assert chunks == [(1, 0, 0), (2, 1, 6)]


def test_a_hundred_thousand_lines_from_several_threads_are_all_there() -> None:
    stream = make_stream()
    with LogWriter(stream) as log:

        def write(name: str) -> None:
            for number in range(25_000):
                log.write(f"{name} {number}\n".encode())

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = text_of(stream).split("\n")[:-1]
    for name in "abcd":
        assert [line for line in lines if line.startswith(name)] == [f"{name} {number}" for number in range(25_000)]
    assert all(len(chunk.encode()) <= store.CHUNK_BYTES for chunk in stream.chunks.values_list("data", flat=True))


def test_a_stream_that_outgrows_its_limit_keeps_head_and_tail_and_says_what_was_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "HEAD_BYTES", 100_000)
    monkeypatch.setattr(store, "TAIL_BYTES", 300_000)
    monkeypatch.setattr(store, "TRIM_STEP", 20_000)
    stream = make_stream()
    fill(stream, 40_000, step=500)
    stream.refresh_from_db()
    kept = sum(len(data) for data in stream.chunks.values_list("data", flat=True))
    assert kept < 100_000 + 300_000 + 20_000 + 2 * store.CHUNK_BYTES
    cut = reading.cut_of(stream)
    assert cut is not None
    whole = text_of(stream).split("\n")
    assert whole[0].startswith("line 000000")
    assert whole[-2].startswith("line 039999")
    assert whole[cut["first_line"] - 1].startswith(f"line {cut['first_line'] - 1:06d}")
    assert whole[cut["first_line"]].startswith(f"line {cut['first_line'] + cut['line_count']:06d}")
    assert stream.line_count == 40_000 == len(whole) - 1 + cut["line_count"]


def test_the_log_goes_on_while_redis_is_away() -> None:
    layers = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"]},
        }
    }
    with override_settings(CHANNEL_LAYERS=layers):
        stream = make_stream()
        with LogWriter(stream) as log:
            log.write(b"nobody hears this\n")
        assert text_of(stream) == "nobody hears this\n"


@contextmanager
def database_away() -> Iterator[None]:
    """Ends all other connections and refuses new ones, as PostgreSQL does while it restarts."""
    settings = connection.get_connection_params()
    name = settings.pop("dbname")
    place = {key: settings[key] for key in ("host", "port", "user", "password") if settings.get(key)}
    mine = connection.connection.info.backend_pid
    with psycopg.connect(dbname="postgres", autocommit=True, **place) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        try:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s", [name, mine]
            )
            yield
        finally:
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))


def test_what_is_written_while_postgresql_is_away_is_stored_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = make_stream()
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(writer, "MOST_WAITING", 2000)
    with LogWriter(stream) as log:
        log.write(b"before\n")
        log.flush()
        with database_away():
            log.write(b"during 0\n")
            until(lambda: log._away)
            for number in range(1, 1000):
                log.write(f"during {number}\n".encode())
        log.flush()
        log.write(b"after\n")
    lines = text_of(stream).split("\n")[:-1]
    assert (lines[0], lines[-1]) == ("before", "after")
    stored = [line for line in lines if line.startswith("during")]
    assert stored == [f"during {number}" for number in range(len(stored))]
    assert f"[{1000 - len(stored):,} lines are missing here: the database did not answer]" in lines
