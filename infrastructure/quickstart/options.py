"""The quickstart's command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DESCRIPTION = "Start a whole Bakery of your own out of this checkout: nothing of the system's is touched."
EPILOG = """Ctrl-C stops everything that it started and nothing else. A second start keeps all data.
Applications answer at http://NAME.localhost:HTTP_PORT/."""


@dataclass(frozen=True)
class Options:
    port: int = 4100
    http_port: int = 8080
    https_port: int | None = None  # None: as at the last start, or 8443 while nobody has it
    data_dir: Path | None = None  # None: .bakery in the checkout
    demo: bool = True
    detach: bool = False
    stop: bool = False
    check: bool = False
    listed: bool = True  # whether manage.py shall find this instance by itself


def parse(argv: Sequence[str]) -> Options:
    """Options, or exit: 0 after ``--help``, 2 after a mistake."""
    parser = argparse.ArgumentParser(
        prog="quickstart.sh",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=_port, default=4100, help="port of Bakery's own pages (4100)")
    parser.add_argument("--http-port", type=_port, default=8080, help="port at which the applications answer (8080)")
    parser.add_argument("--https-port", type=_port, help="the same over HTTPS (8443, or another free one)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where everything is kept (.bakery/)")
    parser.add_argument("--no-demo", action="store_true", help="do not deploy the sample application")
    parser.add_argument("--detach", action="store_true", help="return as soon as everything is up")
    parser.add_argument("--stop", action="store_true", help="stop a running instance; its data stays")
    parser.add_argument(
        "--check", action="store_true", help="say what would be installed and what is wrong; change nothing"
    )
    parser.add_argument(
        "--unlisted", action="store_true", help="do not make this the instance that manage.py finds by itself"
    )
    given = parser.parse_args(argv)
    if given.port == given.http_port or given.https_port in (given.port, given.http_port):
        parser.error("--port, --http-port and --https-port have to differ.")
    return Options(
        port=given.port,
        http_port=given.http_port,
        https_port=given.https_port,
        data_dir=given.data_dir,
        demo=not given.no_demo,
        detach=given.detach,
        stop=given.stop,
        check=given.check,
        listed=not given.unlisted,
    )


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"“{text}” is not a port (1 to 65535)")
    return int(text)
