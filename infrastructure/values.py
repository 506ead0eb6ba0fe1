"""What users type becomes one of these, or is refused with a reason. Nothing else reaches the host.

Each class is an immutable ``str`` whose constructor parses. A refusal is a ``Refused`` (a ``ValueError``)
whose message can stand beside a form field.
"""

from __future__ import annotations

import posixpath
import re
from urllib.parse import urlsplit

from infrastructure.errors import Refused

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Value(str):
    """A string that has been parsed. ``str(value)`` is safe to put behind ``--`` in an argv."""

    __slots__ = ()
    kind = "value"

    @classmethod
    def refuse(cls, text: str, why: str, hint: str = "") -> Refused:
        shown = CONTROL.sub("?", text[:80])
        return Refused(f"input.{cls.kind}", f"“{shown}” is not a usable {cls.kind.replace('-', ' ')}: {why}", hint)


class DeploymentName(Value):
    """A DNS label (RFC 1123): it becomes the first part of the application's host name."""

    kind = "name"
    pattern = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?")

    def __new__(cls, text: str) -> DeploymentName:
        if not cls.pattern.fullmatch(text):
            raise cls.refuse(text, "use 1 to 50 small letters, digits and hyphens, with no hyphen at either end.")
        return super().__new__(cls, text)


class Hostname(Value):
    """A host name of RFC 1123 in A-label form, lower case, no trailing dot, at most 253 characters."""

    kind = "host-name"
    label = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

    def __new__(cls, text: str) -> Hostname:
        name = text.lower()
        if len(name) > 253 or not all(cls.label.fullmatch(part) for part in name.split(".")):
            raise cls.refuse(text, "each part has 1 to 63 letters, digits and hyphens; 253 characters in all.")
        return super().__new__(cls, name)


class GitUrl(Value):
    """``https://host/path``, ``ssh://user@host/path``, ``user@host:path``; ``file:///path`` where allowed.

    A password in the URL is refused: it would end up in the repository's configuration and in logs.
    """

    kind = "repository-address"
    scp_form = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[A-Za-z0-9._~/][A-Za-z0-9._~/+-]*")
    path = re.compile(r"/[A-Za-z0-9._~/+%@:-]+")

    def __new__(cls, text: str, *, allow_file: bool = False) -> GitUrl:
        hint = "Copy the address that your git host shows for cloning, such as https://github.com/owner/name.git."
        if CONTROL.search(text) or " " in text or text.startswith("-") or len(text) > 500:
            raise cls.refuse(text, "it has a character that no repository address has.", hint)
        if cls.scp_form.fullmatch(text):
            return super().__new__(cls, text)
        try:
            parts = urlsplit(text)
            port_is_valid = parts.port is None or parts.port > 0
        except ValueError:
            raise cls.refuse(text, "it cannot be read as an address.", hint) from None
        allowed = ("https", "ssh", "file") if allow_file else ("https", "ssh")
        if parts.scheme not in allowed:
            raise cls.refuse(text, f"it has to begin with {' or '.join(f'{s}://' for s in allowed)}.", hint)
        if parts.password is not None or (parts.scheme == "https" and parts.username):
            raise cls.refuse(text, "it carries a user name or a password.", "Link the account instead.")
        if parts.query or parts.fragment or not port_is_valid or not cls.path.fullmatch(parts.path):
            raise cls.refuse(text, "it needs a path of letters, digits and . _ ~ / + - alone.", hint)
        if parts.scheme == "file":
            if parts.netloc:
                raise cls.refuse(text, "a file address has three slashes: file:///path.", hint)
        else:
            host = parts.hostname or ""
            Hostname(host)
            if parts.username is not None and not re.fullmatch(r"[A-Za-z0-9._][A-Za-z0-9._-]*", parts.username):
                raise cls.refuse(text, "its user name has a character that cannot be used.", hint)
        return super().__new__(cls, text)


class GitRef(Value):
    """A branch, tag or full commit SHA, by the rules of ``git check-ref-format``."""

    kind = "branch"
    allowed = re.compile(r"[A-Za-z0-9._/@+#=-]+")

    def __new__(cls, text: str) -> GitRef:
        broken = (
            not cls.allowed.fullmatch(text)
            or len(text) > 200
            or text.startswith(("-", "/", "."))
            or text.endswith(("/", ".", ".lock"))
            or any(bad in text for bad in ("..", "//", "/.", "@{", ".lock/"))
            or text == "@"
        )
        if broken:
            raise cls.refuse(text, "git has no branch, tag or commit of such a name.")
        return super().__new__(cls, text)

    @property
    def is_sha(self) -> bool:
        return re.fullmatch(r"[0-9a-f]{40}", self) is not None


class HttpPath(Value):
    """A root-relative path with an optional query, as it stands in a request line (RFC 9112)."""

    kind = "path"
    allowed = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")

    def __new__(cls, text: str) -> HttpPath:
        if not cls.allowed.fullmatch(text) or text.startswith("//") or len(text) > 500:
            raise cls.refuse(text, "it begins with one slash and has no space, such as /healthz.")
        return super().__new__(cls, text)


class RelativePath(Value):
    """A directory inside the repository, normalised; ``""`` is the repository's root."""

    kind = "directory"
    allowed = re.compile(r"[A-Za-z0-9._@+ -]+(/[A-Za-z0-9._@+ -]+)*")

    def __new__(cls, text: str) -> RelativePath:
        trimmed = text.strip().removeprefix("./").rstrip("/")
        if trimmed in ("", "."):
            return super().__new__(cls, "")
        normal = posixpath.normpath(trimmed)
        escapes = ".." in trimmed.split("/") or trimmed.startswith(("/", "-", "~"))
        hidden_git = ".git" in normal.lower().split("/")
        if escapes or hidden_git or len(trimmed) > 300 or not cls.allowed.fullmatch(normal):
            raise cls.refuse(text, "name a directory inside the repository, such as apps/web.")
        return super().__new__(cls, normal)


class EnvName(Value):
    """The name of an environment variable (POSIX: letters, digits, underscores; no digit first)."""

    kind = "variable-name"
    pattern = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
    # These would change what runs instead of configuring it, or are Bakery's own to set.
    reserved = frozenset({"PORT", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT"})

    def __new__(cls, text: str) -> EnvName:
        if not cls.pattern.fullmatch(text):
            raise cls.refuse(text, "use letters, digits and underscores, with no digit at the beginning.")
        if text in cls.reserved or text.startswith("BAKERY_"):
            raise cls.refuse(text, "Bakery sets this one itself.")
        return super().__new__(cls, text)


ENV_VALUE_LIMIT = 128 * 1024  # bytes: the kernel's limit for one string of an environment (MAX_ARG_STRLEN)


def env_value(text: str) -> str:
    """The value of an environment variable: any text without NUL of less than 128 KiB (execve(2))."""
    if "\0" in text:
        raise Refused("input.variable-value", "A value cannot hold a NUL character.", "Encode it, as base64 say.")
    if len(text.encode()) >= ENV_VALUE_LIMIT - 256:
        raise Refused(
            "input.variable-value",
            f"The value has {len(text.encode()):,} bytes; the system takes at most {ENV_VALUE_LIMIT - 256:,}.",
            "Put large data into a file in a persistent directory and name its path here.",
        )
    return text


def port(number: int | str) -> int:
    """A TCP port, 1 to 65535."""
    try:
        value = int(number)
    except ValueError:
        value = 0
    if not 1 <= value <= 65535:
        raise Refused("input.port", f"“{number}” is not a port: use a number from 1 to 65535.")
    return value


def command_line(text: str) -> str:
    """A build, start or pre-deploy command: one line. It is user code and runs with the user's rights only."""
    if CONTROL.search(text) or len(text) > 2000:
        raise Refused("input.command", "A command is one line of at most 2,000 characters.")
    return text.strip()
