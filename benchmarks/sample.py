"""The application that is deployed again and again: Bun without packages, with a build step, in a git repository.

Every answer names its version in ``X-App``. ``/slow?seconds=`` takes its time, ``/socket`` is a websocket that echoes.
"""

from __future__ import annotations

import json

from tests.integration.apps import Files

SERVER = """
const name = "VERSION";
const headers = { "X-App": name };
Bun.serve({
  port: Number(process.env.PORT),
  hostname: process.env.HOST ?? "0.0.0.0",
  idleTimeout: 120,
  async fetch(request, server) {
    const url = new URL(request.url);
    if (url.pathname === "/socket" && server.upgrade(request, { headers })) return;
    if (url.pathname === "/slow") await Bun.sleep(1000 * Number(url.searchParams.get("seconds")));
    if (request.method === "POST") return new Response(String((await request.text()).length), { headers });
    return new Response(name, { headers });
  },
  websocket: { message(socket, message) { socket.send(message); } },
});
"""
SCRIPTS = {"build": "bun build server.ts --target=bun --outdir=dist", "start": "bun dist/server.js"}
DOCKERFILE = """FROM oven/bun:1
WORKDIR /app
COPY . .
RUN bun run build
ENV HOST=0.0.0.0
EXPOSE 3000
CMD ["bun", "dist/server.js"]
"""


def files(version: str, *, docker: bool = False) -> Files:
    package = json.dumps({"name": "sample", "private": True, "scripts": SCRIPTS}, indent=2)
    made = {"package.json": package, "server.ts": SERVER.replace("VERSION", version)}
    return {**made, "Dockerfile": DOCKERFILE} if docker else made
