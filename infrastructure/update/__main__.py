"""``python -m infrastructure.update run|recover|units INSTALL_DIR [TASK]``: what update.sh and an older version call.

``units`` is called by the version before this one, while it updates to this one: its name and its arguments stay.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from infrastructure.update.place import place_of, take_over_network
from infrastructure.update.running import forget_old, recover, run
from infrastructure.update.units import write_units


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="update.sh")
    parser.add_argument("verb", choices=("run", "recover", "units"))
    parser.add_argument("install", type=Path)
    parser.add_argument("task", type=int, nargs="?", default=0)
    asked = parser.parse_args(argv)
    place = place_of(asked.install)
    take_over_network(place)
    if asked.verb == "units":
        write_units(place)
        return 0
    if asked.verb == "recover":
        return recover(place)
    code = run(place, asked.task)
    forget_old(place)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
