"""A whole running Bakery, as tests see it: started, asked and stopped with the quickstart's own code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import requests

from infrastructure.quickstart import environment_file, layout, processes
from infrastructure.quickstart.options import Options

EMAIL = "alice@bakery.localhost"  # Alice owns, Bob is on the team, Charlie is an outsider
PASSWORD = "correct-horse-battery-staple"


@dataclass
class Instance:
    """``base_url`` is Bakery's own pages; ``http_port`` is where deployments answer; ``env`` is its ``bakery.env``."""

    options: Options
    env: dict[str, str] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        assert self.options.data_dir
        return self.options.data_dir

    @property
    def place(self) -> layout.Layout:
        return layout.Layout(layout.CHECKOUT, self.data_dir)

    @property
    def base_url(self) -> str:
        return f"http://localhost:{self.options.port}"

    @property
    def http_port(self) -> int:
        return self.options.http_port

    @property
    def https_port(self) -> int:
        return int(self.env["BAKERY_HTTPS_PORT"])

    def quickstart(self, *argv: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run the quickstart on this instance's directory and ports."""
        own = self.own_options()
        command = [sys.executable, "-m", "infrastructure.quickstart", *own, "--unlisted", "--no-demo", *argv]
        return run(command, timeout)

    def own_options(self) -> list[str]:
        ports = {"--port": self.options.port, "--http-port": self.http_port, "--https-port": self.options.https_port}
        return [text for name, port in ports.items() if port for text in (name, str(port))] + [
            "--data-dir",
            str(self.data_dir),
        ]

    def start(self) -> None:
        done = self.quickstart("--detach")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        self.env = environment_file.read(self.place.environment_file)

    def stop(self) -> None:
        """Stop it, and see that no process is left."""
        before = processes.of_instance(self.place)
        done = self.quickstart("--stop")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        left = [process for process in before if processes.still_runs(process)]
        assert left == [], f"left behind: {left}"

    def manage(
        self, *argv: str, check: bool = True, stdin: str = "", timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """``manage.py`` of the instance, in a process of its own; its output is text."""
        env = {**clean_environment(), "BAKERY_ENV_FILE": str(self.place.environment_file)}
        done = subprocess.run(
            [sys.executable, "manage.py", *argv],
            cwd=layout.CHECKOUT,
            env=env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, f"manage.py {' '.join(argv)}: {done.stdout}\n{done.stderr}"
        return done

    def manage_json(self, *argv: str) -> object:
        return json.loads(self.manage(*argv, "--json").stdout)

    def app(self, name: str, path: str = "/", **options: object) -> requests.Response:
        """What a visitor of the deployment gets, through Nginx."""
        headers = {"Host": f"{name}.localhost", **options.pop("headers", {})}
        return requests.get(f"http://127.0.0.1:{self.http_port}{path}", headers=headers, timeout=60, **options)

    def health(self) -> requests.Response:
        return requests.get(f"{self.base_url}/healthz", timeout=60)

    def client(self, email: str = EMAIL, password: str = PASSWORD) -> requests.Session:
        """Signed in through the page, as a browser does. Without arguments: as an admin."""
        session = requests.Session()
        session.headers["Referer"] = f"{self.base_url}/auth/login"
        page = session.get(f"{self.base_url}/auth/login", timeout=60)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token, page.text[:2000]
        form = {"csrfmiddlewaretoken": token[1], "username": email, "password": password}
        answer = session.post(f"{self.base_url}/auth/login", data=form, allow_redirects=False, timeout=60)
        assert answer.status_code == 302, f"sign-in of {email}: {answer.status_code}\n{answer.text[:2000]}"
        return session


def clean_environment() -> dict[str, str]:
    """Without what tests/plan.py has set for the tests' own process."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def run(command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=layout.CHECKOUT,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
