"""A domain as a person types it: parsed, or refused with what to type instead.

What is stored and reaches DNS, Nginx and Certbot is the A-label form (RFC 5890); ``display`` is what people read.
"""

from __future__ import annotations

import ipaddress
import re
from functools import cache
from typing import TYPE_CHECKING, NoReturn

from infrastructure import lookalikes
from infrastructure.errors import Refused
from infrastructure.values import Value

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

LONGEST_NAME, LONGEST_LABEL = 253, 63  # octets in text form (RFC 1035, 2.3.4)
# Names that no public DNS answers for (RFC 6761 and its registry). Those with which people name their own networks
# (internal, home.arpa, lan, test) are accepted: there, whoever uses them runs the DNS for them.
SPECIAL_USE = {
    "localhost": "it always means the machine that asks, so no visitor would arrive here.",
    "local": "names in .local are found by multicast in one's own network, not by DNS.",
    "invalid": "it is reserved for names that must not work.",
    "example": "it is reserved for documentation.",
    "onion": "names in .onion exist inside Tor only.",
    "alt": "names in .alt are no names of DNS.",
    "in-addr.arpa": "it holds the reverse names of addresses.",
    "ip6.arpa": "it holds the reverse names of addresses.",
}
EXAMPLE = "Type a name such as shop.example.com, or *.example.com for all names below it."


class DomainName(Value):
    """A host name with at least two labels, below a public suffix, in A-label form; ``*.`` may stand before it."""

    __slots__ = ()
    kind = "domain"
    label = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

    def __new__(cls, text: str) -> DomainName:
        typed = text.strip(" ")
        _refuse_what_is_no_name(typed)
        wildcard = typed.startswith("*.")
        bare = typed.removeprefix("*.")
        if "*" in bare:
            _refuse(text, "a “*” may only stand alone, as the first part.", EXAMPLE)
        base = ".".join(_a_label(label, text) for label in _labels(bare, text))
        name = f"*.{base}" if wildcard else base
        if len(name) > LONGEST_NAME:
            _refuse(text, f"it has {len(name)} characters; a name has at most {LONGEST_NAME}.")
        _refuse_what_nobody_can_own(base, text)
        return super().__new__(cls, name)

    @property
    def is_wildcard(self) -> bool:
        return self.startswith("*.")

    @property
    def base(self) -> str:
        """Without the ``*.``."""
        return self.removeprefix("*.")

    @property
    def display(self) -> str:
        return display(self)

    @property
    def registered(self) -> str:
        """The part that somebody registered: example.co.uk of www.shop.example.co.uk."""
        return suffixes().privatesuffix(self.base) or self.base

    @property
    def host_part(self) -> str:
        """The rest, as registrars' forms ask for it: ``@``, ``www``, ``*``, ``*.shop``."""
        return self.relative(self)

    @property
    def is_apex(self) -> bool:
        return self == self.registered

    def relative(self, name: str) -> str:
        """Another name of the same registered domain, as its Host part."""
        if name == self.registered:
            return "@"
        return name.removesuffix(f".{self.registered}")

    def covers(self, name: str) -> bool:
        """Whether a request for ``name`` arrives here where no other site has that very name, as Nginx matches."""
        return name == self or (self.is_wildcard and name.endswith(self[1:]))


def display(name: str) -> str:
    """The name with its A-labels as the characters that they stand for, where that cannot mislead.

    >>> display("xn--bcher-kva.example.com"), display("xn--80ak6aa92e.com")
    ('bücher.example.com', 'xn--80ak6aa92e.com')
    """
    if "xn--" not in name:
        return name
    return ".".join(_u_label(label) for label in name.split("."))


def a_labels(typed: str) -> str:
    """A part of a name, as somebody searches for it, in the form in which names are stored.

    >>> a_labels("Bücher.exam"), a_labels("☃")
    ('xn--bcher-kva.exam', '☃')
    """
    import idna

    try:
        mapped = idna.uts46_remap(typed).strip(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode() for label in mapped.split("."))
    except (idna.IDNAError, UnicodeError, IndexError):
        return typed


@cache
def suffixes() -> PublicSuffixList:
    """The public suffix list (https://publicsuffix.org), as the package brings it. It takes 0.15 s: only when asked."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def _u_label(label: str) -> str:
    import idna

    if not label.startswith("xn--"):
        return label
    try:
        shown = idna.decode(label)
    except idna.IDNAError:
        return label
    return label if lookalikes.could_be_read_as_latin(shown) else shown


def _refuse(text: str, why: str, hint: str = "") -> NoReturn:
    # Not printable are also the characters that turn the direction of what follows, and those without a width.
    shown = "".join(character if character.isprintable() else "?" for character in text.strip()[:80])
    raise Refused("input.domain", f"“{shown}” cannot be used as a domain: {why}", hint)


def _refuse_what_is_no_name(text: str) -> None:
    """What people paste instead of a name. The hint says the name that is in it."""
    if not text:
        raise Refused("input.domain", "No domain was given.", EXAMPLE)
    if not text.isprintable():
        why = "it holds a character that cannot be seen (a line break, or one that turns text round)."
        _refuse(text, why, EXAMPLE)
    if len(text) > 4 * LONGEST_NAME:  # before anything is computed over it
        _refuse(text, f"it has {len(text)} characters; a name has at most {LONGEST_NAME}.")
    scheme, separator, rest = text.partition("://")
    if separator:
        _refuse(text, f"it begins with “{scheme}://”.", _instead(rest))
    if "@" in text:
        _refuse(text, "that is an e-mail address.", _instead(text.rpartition("@")[2]))
    if _is_address(text):
        _refuse(text, "that is an IP address. A domain is a name whose DNS record points to one.", EXAMPLE)
    if found := next((mark for mark in "/?#\\" if mark in text), ""):
        _refuse(text, f"it goes on after the name, with “{found}”.", _instead(text))
    if ":" in text:
        _refuse(text, "it carries a port. Visitors of a domain arrive on 80 and 443.", _instead(text))
    if "_" in text:
        _refuse(text, "host names have no underscore (RFC 1123).", f"Perhaps {text.replace('_', '-')} is meant.")
    if text.endswith("."):
        _refuse(text, "it ends with a dot.", _instead(text))
    if text in ("*", "*."):
        _refuse(text, "it would stand for every name there is.", EXAMPLE)


def _instead(text: str) -> str:
    """A hint with the name that is left when everything round it is taken away; a general one where none is."""
    name = re.split(r"[/?#\\:]", text, maxsplit=1)[0].rstrip(".").rpartition("@")[2]
    try:
        return f"Type {DomainName(name).display} alone."
    except Refused:
        return EXAMPLE


def _is_address(text: str) -> bool:
    """Any text that some program would read as an IP address: 1.2.3.4, 127.1, 0x7f.1, 0177.0.0.1, [::1], fe80::1%eth0.

    A name whose last part is a number is one, by the rule of browsers (URL standard, “ends in a number checker”).
    """
    try:
        ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        last = text.rstrip(".").rpartition(".")[2].lower()
        return last.isdecimal() or re.fullmatch(r"0x[0-9a-f]*", last) is not None
    return True


def _labels(text: str, typed: str) -> list[str]:
    """The labels, mapped as browsers do it before a look-up (UTS #46): small letters, “。” as dot, Ａ as a."""
    import idna

    try:
        mapped = idna.uts46_remap(text)
    except (idna.IDNAError, IndexError):
        _refuse(typed, "it holds a character that names cannot have.", EXAMPLE)
    labels = mapped.split(".")
    if "" in labels:
        _refuse(typed, "there is nothing before, after or between two of its dots.", EXAMPLE)
    if _is_address(mapped):
        _refuse(typed, "that is an IP address. A domain is a name whose DNS record points to one.", EXAMPLE)
    if len(labels) < 2:
        why = SPECIAL_USE.get(mapped, "it has one part only: a domain has at least two, such as example.com.")
        _refuse(typed, why, EXAMPLE)
    return labels


def _a_label(label: str, typed: str) -> str:
    """One label in ASCII. Refuses what IDNA 2008 does, and characters of scripts that do not go together."""
    import idna

    if label.isascii() and not label.startswith("xn--"):
        if len(label) > LONGEST_LABEL:
            why = f"its part “{label[:20]}…” has {len(label)} characters; a part has at most {LONGEST_LABEL}."
            _refuse(typed, why)
        if not DomainName.label.fullmatch(label):
            why = "each part has letters, digits and hyphens, with no hyphen at either end."
            _refuse(typed, why, EXAMPLE)
        return label
    try:
        encoded = idna.alabel(label).decode("ascii")
        shown = idna.ulabel(encoded)
    except idna.InvalidCodepoint:
        _refuse(typed, "it holds a character that names cannot have.", EXAMPLE)
    except (idna.IDNAError, UnicodeError) as error:
        why = "too long" if "too long" in str(error) else "no valid international name"
        _refuse(typed, f"its part “{label[:20]}” is {why} (IDNA 2008; at most {LONGEST_LABEL} bytes as xn--…).")
    if mixed := lookalikes.mixed_scripts(shown):
        _refuse(
            typed,
            f"its part {encoded} mixes {' and '.join(mixed)} letters, so it may look like another name than it is.",
            "Type it anew on one keyboard, rather than pasting it.",
        )
    return encoded


def _refuse_what_nobody_can_own(base: str, typed: str) -> None:
    for reserved, why in SPECIAL_USE.items():
        if base == reserved or base.endswith(f".{reserved}"):
            _refuse(typed, why, "Use a domain that you have registered.")
    if suffixes().privatesuffix(base) is None:
        hint = f"Type the whole name, such as your-name.{display(base)}."
        _refuse(typed, f"{display(base)} is a public suffix, below which everybody may register names.", hint)
