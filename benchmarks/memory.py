"""What Bakery takes of the memory at rest: ``python -m benchmarks.memory [--rest 30]``.

PSS (proc(5), smaps_rollup): private pages, and of the shared ones the share. Beside it, in the same run, what the
libraries take before a line of Bakery: a Daphne that serves an empty Django, and a Celery worker with one task.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.instance import running_instance, say
from benchmarks.table import table
from infrastructure.quickstart import processes
from tests.instance import Instance
from tests.plan import free_port

MIB = 1024.0
TARGET = 300
SERVERS = ("postgres", "redis-server", "nginx", "supervisord")
BARE_DJANGO = """
import django
from django.conf import settings
settings.configure(SECRET_KEY="x" * 50, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], INSTALLED_APPS=[
    "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}})
from django.core.asgi import get_asgi_application
urlpatterns = []
application = get_asgi_application()
"""
BARE_CELERY = """
from celery import Celery
app = Celery("bare", broker="REDIS_URL")
@app.task
def nothing(): ...
"""


def pss(pid: int) -> float:
    """MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / MIB
    return 0.0


def name_of(pid: int) -> str:
    """The part of the instance that the process is."""
    words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    for server in ("supervisord", "nginx", "redis-server", "postgres"):
        if server in words.split("-c ")[0]:
            return server
    if "daphne" in words:
        return "web"
    own = Path(f"/proc/{pid}/comm").read_text().strip()  # of at most 15 characters
    return (
        {"worker-housekee": "worker-housekeeping"}.get(own, own) if "worker" in own or own == "collector" else "parent"
    )


def measure(instance: Instance) -> dict[str, float]:
    found: dict[str, float] = {}
    for process in processes.of_instance(instance.place):
        name = name_of(process.pid)
        found[name] = found.get(name, 0.0) + pss(process.pid)
    return found


def bare(argv: list[str], directory: Path, rest: float) -> float:
    """PSS of a program of a benchmark's own and of what it starts."""
    log = (directory / "log").open("wb")
    with subprocess.Popen([sys.executable, *argv], cwd=directory, stdout=log, stderr=log) as program:
        time.sleep(rest)
        if program.poll() is not None:
            raise RuntimeError((directory / "log").read_text())
        everything = processes.with_descendants(processes.all_processes(), {program.pid})
        total = sum(pss(process.pid) for process in everything)
        program.terminate()
    return total


def baselines(instance: Instance, rest: float) -> dict[str, float]:
    directory = instance.data_dir / "bare"
    directory.mkdir()
    (directory / "bare_django.py").write_text(BARE_DJANGO)
    (directory / "bare_celery.py").write_text(BARE_CELERY.replace("REDIS_URL", instance.env["REDIS_URL"][:-1] + "2"))
    web = ["-m", "daphne", "-b", "127.0.0.1", "-p", str(free_port()), "bare_django:application"]
    worker = ["-m", "celery", "-A", "bare_celery", "worker", "-P", "threads", "-c", "2"]
    return {"web": bare(web, directory, rest), "worker": bare(worker, directory, rest)}


def report(found: dict[str, float], without: dict[str, float]) -> str:
    own = {name: value for name, value in found.items() if name not in SERVERS}
    rows = [("Bakery's own, at rest", "PSS in MiB")]
    rows += [(name, f"{value:.1f}") for name, value in sorted(own.items(), key=lambda item: -item[1])]
    rows.append((f"together (to stay below {TARGET})", f"{sum(own.values()):.1f}"))
    servers = [("what it stands on", "PSS in MiB")]
    servers += [(name, f"{found[name]:.1f}") for name in SERVERS if name in found]
    four = without["web"] + 4 * without["worker"]
    bare_rows = [
        ("the libraries alone, in the same run", "PSS in MiB"),
        ("Daphne with an empty Django", f"{without['web']:.1f}"),
        ("a Celery worker with one task", f"{without['worker']:.1f}"),
        ("one web process, two workers, beat and collector made of these", f"{four:.1f}"),
        ("Bakery's share of that", f"{sum(own.values()) / four:.0%}"),
    ]
    return "\n\n".join([table(rows), table(servers), table(bare_rows)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rest", type=float, default=30.0, metavar="SECONDS", help="before it is looked at (default 30)"
    )
    options = parser.parse_args()
    with running_instance() as instance:
        session = instance.client()  # what a person loads stays loaded
        for page in ("/", "/deployments", "/activity", "/admin/"):
            session.get(instance.base_url + page, timeout=30)
        say(f"Letting it rest for {options.rest:g} s …")
        time.sleep(options.rest)
        found = measure(instance)
        without = baselines(instance, min(options.rest, 8.0))
    print(report(found, without))
    return 0 if sum(value for name, value in found.items() if name not in SERVERS) < TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
