"""Git repositories with a small Bun app, good and bad in every way that a test needs.

``AppRepository(tmp_path / "app").commit(healthy("1"))`` gives the SHA to deploy; ``.url`` is its address. The functions
below return files by path: a variant of the app is a dictionary, and two of them are combined with ``|``.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

Files = Mapping[str, str]

# Everything that a test asks of an app that works: which version it is, what it runs with, a long request, a
# websocket, its death, a file that outlives it.
SERVER = """
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
const version = "VERSION";
const sleep = (seconds: number) => new Promise((done) => setTimeout(done, seconds * 1000));
BEFORE
console.log(`version ${version} listens on ${process.env.PORT}`);
Bun.serve({
  port: Number(process.env.PORT),
  idleTimeout: 120,
  async fetch(request, server) {
    const url = new URL(request.url);
    if (url.pathname === "/ws" && server.upgrade(request)) return;
    if (url.pathname === "/env") return Response.json(process.env);
    if (url.pathname === "/pid") return new Response(String(process.pid));
    if (url.pathname === "/slow") await sleep(Number(url.searchParams.get("seconds") ?? "3"));
    if (url.pathname === "/die") setTimeout(() => process.exit(3), 10);
    if (url.pathname === "/note") {
      mkdirSync("data", { recursive: true });
      appendFileSync("data/notes", `${version}\\n`);
    }
    if (url.pathname === "/notes") return new Response(existsSync("data/notes") ? readFileSync("data/notes") : "");
    if (request.method === "POST") return Response.json({ version, got: (await request.text()).length });
    return Response.json({ version });
  },
  websocket: {
    message(socket, message) { socket.send(`${version} ${message}`); },
  },
});
"""


class AppRepository:
    """A git repository in ``directory``, made with the first commit."""

    def __init__(self, directory: Path, files: Files | None = None) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        self._git("init", "--quiet", "--initial-branch=main")
        self.sha = self.commit(files) if files else ""

    @property
    def url(self) -> str:
        return f"file://{self.directory}"

    def commit(self, files: Files, message: str = "A change") -> str:
        """Make ``files`` the repository's whole content; returns the SHA."""
        self._git("rm", "-r", "--quiet", "--force", "--ignore-unmatch", ".")
        for path, text in files.items():
            (self.directory / path).parent.mkdir(parents=True, exist_ok=True)
            (self.directory / path).write_text(text)
        self._git("add", "--all", "--force")
        self._git("commit", "--quiet", "--allow-empty", "-m", message)
        self.sha = self._git("rev-parse", "HEAD").strip()
        return self.sha

    def _git(self, *argv: str) -> str:
        person = {"NAME": "Alice", "EMAIL": "alice@bakery.localhost"}
        env = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in person.items()}
        env |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ["PATH"]}
        done = subprocess.run(["git", *argv], cwd=self.directory, env=env, capture_output=True, text=True, check=True)
        return done.stdout


def package(*, start: str | None = "bun server.ts", build: str | None = None) -> Files:
    scripts = {name: command for name, command in (("start", start), ("build", build)) if command is not None}
    return {"package.json": json.dumps({"name": "app", "private": True, "scripts": scripts}, indent=2)}


def healthy(version: str = "1", *, before: str = "") -> Files:
    """Works. ``before`` is TypeScript that runs before it listens."""
    return {**package(), "server.ts": SERVER.replace("VERSION", version).replace("BEFORE", before)}


def in_directory(directory: str, files: Files) -> Files:
    return {f"{directory}/{path}": text for path, text in files.items()}


def exits(words: str = "cannot find my settings") -> Files:
    return {**package(), "server.ts": f"console.error({json.dumps(words)}); process.exit(7);"}


def never_listens() -> Files:
    return {**package(), "server.ts": 'console.log("I only think"); setInterval(() => {}, 1000);'}


def listens_on_the_wrong_port() -> Files:
    return {**package(), "server.ts": 'Bun.serve({ port: 0, fetch: () => new Response("hidden") });'}


def answers(status: int) -> Files:
    server = (
        f'Bun.serve({{ port: Number(process.env.PORT), fetch: () => new Response("no", {{ status: {status} }}) }});'
    )
    return {**package(), "server.ts": server}


def ignores_sigterm(version: str = "1") -> Files:
    return healthy(version, before='process.on("SIGTERM", () => console.log("I stay"));')


def fills_memory() -> Files:
    server = "const held = []; while (true) held.push(new Uint8Array(8 * 1024 * 1024).fill(1));"
    return {**package(), "server.ts": server}


def says(lines: int) -> Files:
    """Logs ``lines`` numbered lines, then serves."""
    before = f'for (let i = 0; i < {lines}; i++) console.log("line " + String(i).padStart(6, "0"));'
    return healthy("1", before=before)


def without_start_script() -> Files:
    return {**package(start=None), "server.ts": ""}


def build_fails(words: str = "the types do not fit") -> Files:
    script = f"console.error({json.dumps(words)}); process.exit(2);"
    return {**healthy(), **package(build="bun build.ts"), "build.ts": script}


def build_waits(gate: str, version: str = "1") -> Files:
    """Its build ends when the gate is opened."""
    return {**healthy(version), **package(build="bun build.ts"), "build.ts": passing(gate)}


def start_waits(gate: str, version: str = "1") -> Files:
    """Runs, and listens when the gate is opened."""
    return healthy(version, before=passing(gate))


def passing(gate: str) -> str:
    """TypeScript that waits at ``gate`` (see gates.py)."""
    return f"await fetch({json.dumps(gate)}, {{ signal: AbortSignal.timeout(600_000) }});"


# Counts visits in its database, and shows its connection string wherever it can.
COUNTING = """
import { SQL } from "bun";
const sql = new SQL(process.env.DATABASE_URL!);
console.log(`version VERSION reaches ${process.env.DATABASE_URL} as ${process.env.PGPASSWORD ?? "nobody"}`);
Bun.serve({
  port: Number(process.env.PORT),
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/env") return Response.json(process.env);
    if (pathname === "/visit") await sql`INSERT INTO visits DEFAULT VALUES`;
    const [row] = await sql`SELECT count(*)::int AS visits, current_user AS who FROM visits`;
    return Response.json({ version: "VERSION", ...row });
  },
});
"""
COUNTING_MIGRATION = """
import { SQL } from "bun";
const sql = new SQL(process.env.DATABASE_URL!);
await sql`CREATE TABLE IF NOT EXISTS visits (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)`;
console.log(`migrated ${process.env.DATABASE_URL}`);
console.error(Buffer.from(process.env.DATABASE_URL!).toString("base64"));
process.exit(0);
"""
MIGRATES = "bun migrate.ts"  # the pre-deploy command of ``counts_visits``


def counts_visits(version: str = "1") -> Files:
    build = 'console.log(`the build has ${process.env.DATABASE_URL ?? "no database"}`);'
    return {
        **package(build="bun build.ts"),
        "server.ts": COUNTING.replace("VERSION", version),
        "migrate.ts": COUNTING_MIGRATION,
        "build.ts": build,
    }
