"""Values that must never be printed, and the mask for everything that is stored as a log."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "[secret]"
SHORTEST_MASKED = 4  # masking shorter values ("1", "on") would only tear holes into logs
# Settings rather than secrets: NODE_ENV=production or LOG_LEVEL=error would tear as many, and who guesses one of them
# has guessed no secret. The names of the slots are Bakery's own words.
EVERYDAY = frozenset({
    "true", "false", "none", "null", "auto", "always", "never", "default", "enabled", "disabled",
    "production", "development", "staging", "test", "testing", "preview", "local", "live",
    "trace", "debug", "info", "notice", "warn", "warning", "error", "fatal", "verbose", "silent",
    "localhost", "127.0.0.1", "blue", "green", "http", "https", "json", "text", "utf-8",
})  # fmt: skip
MOST_DIGITS_OF_A_SETTING = 5  # a port, a timeout, a size


class Secret:
    """A string that prints as ``[secret]``. ``reveal()`` is the only way to the text."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.reveal()

    def __hash__(self) -> int:
        return hash(("Secret", self.reveal()))

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __reduce__(self) -> str:
        raise TypeError("A Secret is not pickled: pass the id of the row that holds it.")


class Masker:
    """Replaces secret values by ``[secret]``: as they are, in base64 (all three alignments), URL-quoted.

    >>> Masker(["hunter2hunter2"]).mask("password=hunter2hunter2")
    'password=[secret]'
    """

    def __init__(self, values: Iterable[str | Secret] = ()) -> None:
        self._forms: list[str] = []
        self.learn(values)

    def learn(self, values: Iterable[str | Secret]) -> None:
        """Mask these as well from now on."""
        forms = set(self._forms)
        for value in values:
            forms |= _forms(value.reveal() if isinstance(value, Secret) else value)
        # The longest first, so that a secret that contains another one is masked whole.
        self._forms = sorted(forms, key=len, reverse=True)

    def mask(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text


def _forms(value: str) -> set[str]:
    """Every way in which ``value`` is likely to turn up in a line of output."""
    bare = value.strip()
    if len(bare) < SHORTEST_MASKED or bare.lower() in EVERYDAY:
        return set()
    if bare.isdecimal() and len(bare) <= MOST_DIGITS_OF_A_SETTING:
        return set()
    forms = {value, value.strip(), quote(value, safe=""), quote(value), quote_plus(value)}
    # Logs are masked line by line: each line of a multi-line secret (a PEM key) is one as well.
    forms |= {line.strip() for line in value.splitlines() if len(line.strip()) >= 2 * SHORTEST_MASKED}
    raw = value.encode()
    if len(raw) >= 2 * SHORTEST_MASKED:
        for offset in range(3):
            # Inside a longer base64 text a value appears in one of three alignments; the first and the
            # last characters mix with the neighbours and are left out.
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                text = encode(b"\0" * offset + raw).decode().rstrip("=")
                start = (0, 2, 3)[offset]
                end = len(text) - (1 if (offset + len(raw)) % 3 else 0)
                forms.add(text[start:end])
        forms.add(base64.b64encode(raw).decode())
        forms.add(base64.urlsafe_b64encode(raw).decode())
    return {form for form in forms if len(form) >= SHORTEST_MASKED}
