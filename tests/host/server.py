"""A server to install Bakery on: bare Debian 12 with systemd, a network, and Bakery's repository to clone from.

It needs nothing of the test's process but Docker: ``Server("name").start()`` and, in the end, ``remove()``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.host.machine import Machine, Outcome, docker
from tests.integration.waiting import until

CHECKOUT = Path(__file__).resolve().parents[2]
REPOSITORY = "/srv/bakery.git"  # as the server sees it
INSTALL = "/root/install.sh"
EMAIL = "alice@bakery.localhost"
# Certificate authorities that somebody has added to the test's machine: without them nothing can be downloaded there.
AUTHORITIES = Path("/usr/local/share/ca-certificates")
CREDENTIALS = re.compile(r"Password\s+(\S+)")
CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class Repository:
    """Bakery's own repository as a server clones it: the checkout's last commit, and those that a test adds."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="bakery-repository-"))
        self.bare = self.directory / "bakery.git"
        self.work = self.directory / "work"
        git(self.directory, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        git(self.bare, "config", "receive.shallowUpdate", "true")  # a checkout in CI has one commit
        git(CHECKOUT, "push", "--quiet", str(self.bare), "HEAD:refs/heads/main")
        git(self.directory, "clone", "--quiet", f"file://{self.bare}", str(self.work))

    def head(self, branch: str = "main") -> str:
        return git(self.bare, "rev-parse", f"refs/heads/{branch}").strip()

    def commit(self, files: dict[str, str | None], message: str, *, branch: str = "main", base: str = "") -> str:
        """One commit more on ``branch`` (or on ``base``, a commit), and its full id. ``files``: path -> its new text,
        None: removed."""
        git(self.work, "fetch", "--quiet", "origin")
        git(self.work, "checkout", "--quiet", "--detach", base or f"origin/{branch}")
        for name, text in files.items():
            path = self.work / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--allow-empty", "--message", message)
        git(self.work, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")
        return git(self.work, "rev-parse", "HEAD").strip()

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


class Server(Machine):
    """``downloads``: the name of a Docker volume in which packages that were fetched once are kept for the next
    server ("": everything is fetched anew)."""

    def __init__(self, name: str, *, downloads: str = "bakery-test-downloads") -> None:
        super().__init__(name)
        self.downloads = downloads
        self.repository = Repository()
        self.admin: Credentials | None = None

    def options(self) -> list[str]:
        mounts = ["-v", "/var/lib/docker", "-v", f"{self.repository.bare}:{REPOSITORY}:ro"]
        if self.downloads:
            mounts += ["-v", f"{self.downloads}:/var/cache/downloads"]
        # The test's own machine, where its ACME server is.
        return [*mounts, "--hostname", "server", "--add-host", "acme.test:host-gateway"]

    def start(self) -> None:
        super().start()
        if self.downloads:
            self._keep_downloads()
        for file in sorted(AUTHORITIES.glob("*.crt")) if AUTHORITIES.is_dir() else []:
            self.put(f"{AUTHORITIES}/{file.name}", file.read_text())

    def remove(self) -> None:
        super().remove()
        self.repository.remove()

    @property
    def address(self) -> str:
        """Its own, as the test's machine reaches it."""
        return docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", self.name).strip()

    @property
    def gateway(self) -> str:
        """The test's machine, as the server reaches it."""
        return docker("inspect", "-f", "{{.NetworkSettings.Gateway}}", self.name).strip()

    def request(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        host: str = "",
        port: int = 80,
        timeout: float = 10,
        **more: object,
    ) -> requests.Response:
        """Asked from outside, with ``host`` as the Host header; redirects are not followed."""
        headers = {"Host": host} if host else {}
        return requests.request(
            method,
            f"http://{self.address}:{port}{path}",
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
            **more,
        )  # type: ignore[arg-type]

    def answers(self, path: str = "/", *, host: str = "", port: int = 80) -> tuple[int, str]:
        """Status and text; (0, "") when nobody answers."""
        try:
            response = self.request(path=path, host=host, port=port)
        except requests.RequestException:
            return 0, ""
        return response.status_code, response.text

    def install(self, *options: str, check: bool = True, timeout: float = 1500) -> Outcome:
        """The real install.sh, as a single downloaded file. Keeps the credentials that it prints in ``admin``."""
        own = ("--repo", f"file://{REPOSITORY}", "--certbot-email", EMAIL, "--admin-email", EMAIL)
        done = self.run_installer(*own, "--public-ip", self.address, "--yes", *options, timeout=timeout)
        if found := CREDENTIALS.search(done.output):
            self.admin = Credentials(EMAIL, found[1])
        assert done.ok or not check, done.output
        return done

    def run_installer(self, *options: str, timeout: float = 120) -> Outcome:
        self.put(INSTALL, (CHECKOUT / "infrastructure/scripts/install.sh").read_text(), "755")
        return self.run("bash", INSTALL, *options, env=self.network(), timeout=timeout)

    def uninstall(self, *options: str) -> str:
        done = self.run("/opt/bakery/current/infrastructure/scripts/uninstall.sh", "--yes", *options, timeout=300)
        assert done.ok, done.output
        if "--delete-data" in options:
            self.admin = None
        return done.output

    def network(self) -> dict[str, str]:
        """What a program needs that does not look at the system's authorities."""
        return {"NODE_EXTRA_CA_CERTS": "/etc/ssl/certs/ca-certificates.crt"} if AUTHORITIES.is_dir() else {}

    def bakery(self, *argv: str, check: bool = True, timeout: float = 300) -> Outcome:
        """``manage.py`` of the server, by its wrapper."""
        done = self.run("/usr/local/bin/bakery", *argv, timeout=timeout)
        assert done.ok or not check, done.output
        return done

    def is_healthy(self) -> bool:
        return self.answers("/healthz", host=self.address)[0] == 200

    def wait_until_healthy(self, seconds: float = 180) -> None:
        """Every part of Bakery, seen through Nginx."""
        until(self.is_healthy, seconds)

    def signed_in(self) -> requests.Session:
        """A browser's session of the admin's, by the page for signing in."""
        assert self.admin, "install() has printed no credentials yet"
        base = f"http://{self.address}"
        session = requests.Session()
        session.headers["Referer"] = f"{base}/auth/login"
        page = session.get(f"{base}/auth/login", timeout=30)
        token = CSRF.search(page.text)
        assert token, page.text[:2000]
        form = {"csrfmiddlewaretoken": token[1], "username": self.admin.email, "password": self.admin.password}
        answer = session.post(f"{base}/auth/login", data=form, allow_redirects=False, timeout=30)
        assert answer.status_code == 302, f"{answer.status_code}\n{answer.text[:2000]}"
        return session

    def _keep_downloads(self) -> None:
        keep = "/var/cache/downloads"
        self.do("mkdir", "-p", f"{keep}/apt/partial", f"{keep}/pip", f"{keep}/npm", "/root/.config/pip")
        self.put(
            "/etc/apt/apt.conf.d/90-keep",
            f'Dir::Cache::archives "{keep}/apt";\nBinary::apt::APT::Keep-Downloaded-Packages "true";\n',
        )
        self.put("/etc/pip.conf", f"[global]\ncache-dir = {keep}/pip\n")
        self.put("/root/.npmrc", f"cache={keep}/npm\n")


@dataclass(frozen=True)
class Credentials:
    email: str
    password: str


def git(directory: Path, *argv: str) -> str:
    own = ("-c", "user.name=Alice", "-c", f"user.email={EMAIL}", "-c", "safe.directory=*")
    done = subprocess.run(
        ["git", *own, "-C", str(directory), *argv], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
