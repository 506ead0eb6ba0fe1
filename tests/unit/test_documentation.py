"""What is written for people says what is so."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from databases.management.commands.database import VERBS

ROOT = Path(__file__).resolve().parents[2]
APPS = {"accounts", "bakery", "databases", "deployments", "domains"}
INTERNAL = {"apply_panel", "collect_logs"}  # Bakery's own to run
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def settings() -> set[str]:
    text = (ROOT / "bakery" / "environment.py").read_text()
    named = set(re.findall(r'reader\.\w+\(\s*"([A-Z_]+)"', text))
    return named | {"SESSION_SECRET", "ENCRYPTION_KEY"}


def test_the_settings_are_found_where_they_are_read() -> None:
    assert {"DATABASE_URL", "BAKERY_DATA_DIR", "BAKERY_PORT_RANGE", "GITHUB_CLIENT_SECRET"} <= settings()


@pytest.mark.parametrize("file", ["README.md", ".env.example"])
def test_every_setting_is_documented_and_none_that_is_gone(file: str) -> None:
    text = (ROOT / file).read_text()
    named = set(re.findall(r"\b(?:BAKERY|GITHUB|CERTBOT|DATABASE|REDIS|SESSION|ENCRYPTION)_[A-Z_]+\b", text))
    assert settings() - named == set()
    assert named - settings() - {"BAKERY_ENV_FILE"} == set()


def test_every_command_is_in_the_readme_and_has_help() -> None:
    text = (ROOT / "README.md").read_text()
    ours = {name for name, app in get_commands().items() if app in APPS} - INTERNAL
    assert {name for name in ours if not re.search(rf"`[^`]*\b{name}\b[^`]*`", text)} == set()


def test_every_example_in_the_help_of_a_command_can_be_typed() -> None:
    examples = [
        example
        for name, app in get_commands().items()
        if app in APPS
        for example in load_command_class(app, name).examples
    ] + [f"database {example}" for verb in VERBS.values() for example in verb.examples]
    for example in examples:
        name, *arguments = shlex.split(example)
        command = load_command_class(get_commands()[name], name)
        with contextlib.suppress(SystemExit):  # of --help
            command.create_parser("manage.py", name).parse_args(arguments)
    assert len(examples) > 30


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]), ids=lambda page: page.name
)
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text()
    linked = [page.parent / target for target in LINK.findall(text)]
    named = [
        ROOT / name
        for name in re.findall(r"`((?:bakery|deployments|infrastructure|tests|docs)/[\w./-]+\.(?:py|sh|md|txt))`", text)
    ]
    assert [str(path) for path in linked + named if not path.exists()] == []
