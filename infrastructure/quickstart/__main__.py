"""``python -m infrastructure.quickstart``: see ``--help``. Until ``run`` is called, the standard library is enough."""

from __future__ import annotations

import os
import sys

from infrastructure.errors import Problem
from infrastructure.quickstart import layout, options
from infrastructure.report import Report


def main(argv: list[str]) -> int:
    chosen = options.parse(argv)
    place = layout.layout_for(chosen.data_dir, is_root=os.geteuid() == 0)
    try:
        if chosen.check:
            from infrastructure.quickstart import check

            return check.report(chosen, place, Report())
        if chosen.stop:
            from infrastructure.quickstart import run

            return run.stop_instance(place)
        from infrastructure.quickstart import run

        return run.run(chosen, place)
    except Problem as problem:
        sys.stderr.write(f"\n{problem.message}\n{problem.hint}".rstrip() + "\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
