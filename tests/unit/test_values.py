"""What users type: parsed or refused, whatever it is."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infrastructure.errors import Refused
from infrastructure.values import (
    DeploymentName,
    EnvName,
    GitRef,
    GitUrl,
    Hostname,
    HttpPath,
    RelativePath,
    command_line,
    env_value,
    port,
)

NASTY = st.sampled_from(
    [";", "|", "\n", "$(id)", "\0", "-", "..", "%", "{}", "`", "'", '"', " ", "/", "\\", "@", "~", ".git", "é"]
)
ANYTHING = st.one_of(st.text(max_size=60), st.lists(st.one_of(NASTY, st.text(max_size=5)), max_size=10).map("".join))
DANGEROUS = re.compile(r"[\x00-\x1f\x7f;|&`$<>\"'\\{} ]")


def parsed(parse: type[str], text: str) -> str | None:
    try:
        return parse(text)
    except Refused as refusal:
        if not refusal.message or "\0" in refusal.message:
            raise AssertionError(f"{refusal.message!r} is nothing to show") from refusal
        return None


@given(ANYTHING)
@example("-rf")
@example("a" * 51)
def test_a_name_is_a_dns_label_or_refused(text: str) -> None:
    name = parsed(DeploymentName, text)
    assert name is None or re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)


@given(ANYTHING)
@example("--upload-pack=touch x")
@example("main..other")
@example("refs/heads/x.lock")
@example("@{-1}")
def test_a_ref_that_is_accepted_is_no_option_no_range_and_no_expression(text: str) -> None:
    ref = parsed(GitRef, text)
    if ref is not None:
        assert not ref.startswith("-")
        assert ".." not in ref
        assert not re.search(r"[\s~^:?*\[\\\x00-\x1f\x7f]|@\{", ref)


@given(ANYTHING)
@example("../../etc")
@example("a/../../b")
@example("apps/.git/hooks")
@example("/etc")
def test_a_directory_never_leads_out_of_the_repository_or_into_its_git(text: str) -> None:
    path = parsed(RelativePath, text)
    if path is not None:
        assert not path.startswith(("/", "-", "~"))
        assert ".." not in path.split("/")
        assert ".git" not in path.lower().split("/")


@given(ANYTHING)
@example("ext::sh -c touch% x")
@example("--upload-pack=x")
@example("file:///etc")
@example("https://user:password@example.com/x.git")
@example("ssh://-oProxyCommand=x/y")
def test_a_repository_address_has_a_known_scheme_and_nothing_a_program_could_take_for_more(text: str) -> None:
    url = parsed(GitUrl, text)
    if url is not None:
        assert not DANGEROUS.search(url)
        assert not url.startswith("-")
        if "://" in url:
            assert urlsplit(url).scheme in ("https", "ssh")
            assert not (urlsplit(url).hostname or "-").startswith("-")
            assert urlsplit(url).password is None


@pytest.mark.parametrize(
    "url",
    ["https://github.com/a/b.git", "git@github.com:a/b.git", "ssh://git@host:2222/a/b", "https://host:8443/x/y-z_1"],
)
def test_usual_repository_addresses_are_accepted(url: str) -> None:
    assert GitUrl(url) == url


def test_a_file_address_is_accepted_only_where_it_is_allowed() -> None:
    assert GitUrl("file:///srv/x.git", allow_file=True)
    with pytest.raises(Refused):
        GitUrl("file:///srv/x.git")
    with pytest.raises(Refused):
        GitUrl("file://host/x.git", allow_file=True)


@given(ANYTHING)
@example("example.com\n")
@example("{{x}}.com")
@example("a..b")
def test_a_host_name_has_labels_alone(text: str) -> None:
    name = parsed(Hostname, text)
    assert name is None or re.fullmatch(r"[a-z0-9.-]{1,253}", name)


@given(ANYTHING)
@example("/x\r\nHost: evil")
@example("//evil.com")
def test_a_path_stays_on_one_line_and_on_this_host(text: str) -> None:
    path = parsed(HttpPath, text)
    if path is not None:
        assert path.startswith("/")
        assert not path.startswith("//")
        assert not re.search(r"[\s\x00-\x1f\x7f\"<>{}]", path)


@given(ANYTHING)
@example("LD_PRELOAD")
@example("PORT")
@example("A=B")
def test_a_variables_name_is_posix_and_not_bakerys(text: str) -> None:
    name = parsed(EnvName, text)
    if name is not None:
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
        assert name not in ("PORT", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT")


@given(st.text(max_size=500))
def test_a_variables_value_is_any_text_without_nul(text: str) -> None:
    try:
        assert env_value(text) == text
        assert "\0" not in text
    except Refused:
        assert "\0" in text


def test_a_value_of_a_megabyte_is_refused_with_a_way_out() -> None:
    with pytest.raises(Refused) as caught:
        env_value("x" * 1_000_000)
    assert "persistent directory" in caught.value.hint


@given(ANYTHING)
def test_a_command_is_one_line(text: str) -> None:
    try:
        assert not re.search(r"[\x00-\x1f\x7f]", command_line(text))
    except Refused:
        assert re.search(r"[\x00-\x1f\x7f]", text)


@pytest.mark.parametrize("bad", [0, -1, 65536, "x", "", "1e3", " "])
def test_a_port_is_1_to_65535(bad: int | str) -> None:
    with pytest.raises(Refused):
        port(bad)
