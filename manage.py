#!/usr/bin/env python
"""Django's command line. Finds the quickstart's instance by itself (see bakery/environment.py)."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bakery.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed here. Run infrastructure/scripts/quickstart.sh, then use .venv/bin/python.")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:  # a list of findings for a person: a traceback would bury it
        sys.exit(str(error))


if __name__ == "__main__":
    main()
