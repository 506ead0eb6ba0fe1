"""A dump in pg_dump's custom format, put into a database that is there and empty, as a role that may do no more than
the application."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from infrastructure.errors import HostProblem, Problem, Refused
from infrastructure.postgres.dumps import RESTORE_SECONDS, explained, reader_of
from infrastructure.postgres.plain_dump import not_allowed
from infrastructure.postgres.server import Place
from infrastructure.postgres.tools import ClientTools, find_tools, fitting
from infrastructure.runner import Command, CommandFailed, LogSink, Runner

# Written once more, faster: a crash of the server loses the whole unfinished database anyway.
SETTINGS = "-c synchronous_commit=off -c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c lock_timeout=0"
# What belongs to the server, to other roles or to every database; the list names what they are about behind a hyphen.
LEFT_OUT = re.compile(
    r"\d+; \d+ \d+ (?:"
    r"ACL|DEFAULT ACL|SECURITY LABEL|PUBLICATION|PUBLICATION TABLE|PUBLICATION TABLES IN SCHEMA|SUBSCRIPTION|"
    r"SUBSCRIPTION TABLE|DATABASE|DATABASE PROPERTIES|EXTENSION|"
    r"SCHEMA - public|COMMENT - (?:SCHEMA public|EXTENSION|DATABASE)"
    r")(?: |$)"
)
EXTENSION = re.compile(r"\d+; \d+ \d+ EXTENSION - (.+?) ?$")
LIST_SECONDS = 600.0


def load(
    file: Path,
    place: Place,
    server_major: int,
    runner: Runner,
    *,
    need_extension: Callable[[str], None],
    watch: Callable[[], None] | None = None,
    on_output: LogSink | None = None,
    private_tools: Path | None = None,
) -> int:
    """Returns how many entries there were. ``need_extension`` sees to it that there is an extension, or raises."""
    tools = reader_of(file, fitting(find_tools(private_tools), server_major), runner)
    with tempfile.TemporaryDirectory(prefix="bakery-restore-") as directory:
        listed = Path(directory) / "list"
        runner.run(_list_command(tools, file, listed))
        lines = listed.read_text(errors="surrogateescape").splitlines()
        for line in lines:
            if found := EXTENSION.match(line):
                need_extension(found[1])
        wanted = [line for line in lines if not line.startswith(";") and not LEFT_OUT.match(line)]
        listed.write_text("".join(f"{line}\n" for line in wanted), errors="surrogateescape")
        command = load_command(tools, place, file, listed, watch)
        try:
            runner.run(command, on_output)
        except CommandFailed as failure:
            raise _in_words(failure.result.output, command, tools, server_major) from failure
    return len(wanted)


def _list_command(tools: ClientTools, file: Path, listed: Path) -> Command:
    argv = tools.argv("pg_restore", "--list", f"--file={listed}", "--", str(file))
    return Command(argv, cwd=Path("/"), env=tools.environment(), timeout=LIST_SECONDS)


def load_command(
    tools: ClientTools, place: Place, file: Path, listed: Path, watch: Callable[[], None] | None = None
) -> Command:
    options = ("--exit-on-error", "--no-owner", "--no-privileges", "--no-tablespaces", "--no-password", "--verbose")
    which = (f"--use-list={listed}", f"--dbname={place.name}")
    env = {**place.environment(), **tools.environment(), "PGOPTIONS": SETTINGS}
    argv = tools.argv("pg_restore", *options, *which, "--", str(file))
    return Command(argv, cwd=Path("/"), env=env, timeout=RESTORE_SECONDS, watch=watch)


def _in_words(output: str, command: Command, tools: ClientTools, server_major: int) -> Problem:
    problem = explained(output, command)
    said = problem.message
    if "unrecognized configuration parameter" in output and tools.major > server_major:
        return HostProblem(
            "postgres.newer-dump",
            f"The dump is one of PostgreSQL {tools.major} or newer, the server is PostgreSQL {server_major}.",
            "Make it anew with a pg_dump of the server's version, or as plain SQL (pg_dump --format=plain).",
        )
    if "permission denied" in said or "must be superuser" in said or "must be owner" in said:
        return not_allowed(said)
    if re.search(r"unexpected end of file|could not read from input file|could not uncompress|corrupt", output):
        return Refused("dump.cut-off", f"The dump is damaged or cut off: {said}", "Take another copy of it.")
    if problem.id == "postgres.failed" and "connection" not in said:
        return Refused("dump.failed", said, "Correct what the dump was made of, or make it anew.")
    return problem
