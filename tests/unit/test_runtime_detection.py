"""Which runtime a repository needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from infrastructure.errors import Problem
from infrastructure.runtimes import detect_runtime


def test_a_dockerfile_in_the_base_directory_decides(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "web").mkdir()
    (tmp_path / "api" / "Dockerfile").write_text("FROM scratch")
    assert detect_runtime(tmp_path, "api") == "docker"
    assert detect_runtime(tmp_path, "web") == "bun"
    assert detect_runtime(tmp_path, "") == "bun"


def test_a_base_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Problem) as caught:
        detect_runtime(tmp_path, "nowhere")
    assert caught.value.id == "git.no-such-directory"
