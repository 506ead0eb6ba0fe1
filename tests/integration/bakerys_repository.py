"""A small repository that stands for Bakery's own, and a server's directories with its mirror."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from infrastructure import version_file
from infrastructure.version_file import Version


class Server:
    """Directories as install.sh makes them; ``settings`` is pytest-django's, and tells Bakery of them."""

    def __init__(self, directory: Path, settings: Any) -> None:
        self.work, self.install, self.data = directory / "work", directory / "opt", directory / "data"
        self.mirror = self.install / "repository.git"
        self.work.mkdir()
        self.data.mkdir()
        git(self.work, "init", "--quiet", "--initial-branch=main")
        self.first = self.commit("Begin", CHANGELOG="# Changelog\n\n- The first.\n")
        self.install.mkdir()
        git(self.install, "clone", "--quiet", "--mirror", str(self.work), str(self.mirror))
        (self.install / ".env").write_text(f"BAKERY_DATA_DIR={self.data}\nSESSION_SECRET=a-secret-of-the-server\n")
        self.runs(self.first)
        settings.BAKERY = replace(
            settings.BAKERY, install_dir=self.install, data_dir=self.data, logs_dir=self.data / "logs"
        )

    def commit(self, subject: str, **files: str) -> str:
        for name, text in files.items():
            (self.work / f"{name}.md").write_text(text)
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--allow-empty", "-m", subject)
        return git(self.work, "rev-parse", "HEAD")

    def runs(self, sha: str) -> None:
        release = self.install / "releases" / sha[:12]
        release.mkdir(parents=True)
        version_file.write(release, Version(sha, "2026-11-01T00:00:00+00:00"))
        (self.install / "current").unlink(missing_ok=True)
        (self.install / "current").symlink_to(f"releases/{sha[:12]}")


def git(directory: Path, *argv: str) -> str:
    own = ("-c", "user.name=Alice", "-c", "user.email=alice@example.com")
    done = subprocess.run(
        ["git", *own, "-C", str(directory), *argv], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()
