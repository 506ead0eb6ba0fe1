"""Where the launcher is that becomes users' programs, and the Python that runs it.

The quickstart uses the checkout's own. On a server a unit outlives the checkout that it was made by: old versions go
after an update, and sites serve while Bakery is broken. So the launcher, which needs the standard library alone, is
copied out of the checkout; each version of it has a directory of its own and stays.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
FILES = (
    "__init__.py",
    "launch.py",
    "cgroups.py",
    "seclusion.py",
    "systemd/__init__.py",
    "systemd/note_out_of_memory.py",
)
HOSTS_PYTHON = Path("/usr/bin/python3")


@dataclass(frozen=True)
class Launcher:
    python: Path
    directory: Path  # holds FILES

    def argv(self, spec: Path) -> list[str]:
        return [str(self.python), "-I", "-S", str(self.directory / "launch.py"), str(spec)]

    def note_argv(self, file: Path) -> list[str]:
        """What leaves ``file`` there when a unit's memory was used up."""
        return [str(self.python), "-I", "-S", str(self.directory / "systemd" / "note_out_of_memory.py"), str(file)]


OF_CHECKOUT = Launcher(Path(sys.executable), HERE)


def installed(root: Path) -> Launcher:
    """A copy of this version below ``root``, made when it is not there yet."""
    texts = {name: (HERE / name).read_bytes() for name in FILES}
    digest = hashlib.sha256(b"\0".join(texts[name] for name in FILES)).hexdigest()[:12]
    package = root / digest / "infrastructure"
    if not package.is_dir():
        beside = root / f".{digest}.{os.getpid()}.{os.urandom(4).hex()}"
        for name, text in texts.items():
            file = beside / "infrastructure" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text)
        try:
            beside.rename(root / digest)
        except OSError:  # another worker was first
            shutil.rmtree(beside)
    python = HOSTS_PYTHON if HOSTS_PYTHON.exists() else Path(os.path.realpath(sys.executable))
    return Launcher(python, package)
