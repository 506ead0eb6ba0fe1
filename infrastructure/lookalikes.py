"""Names that look like others: letters of several scripts in one label, or letters that all look like Latin ones."""

from __future__ import annotations

import unicodedata

# The first word of a character's name in the Unicode database is its script, apart from these.
SCRIPT_OF_WORD = {
    "CJK": "Han",
    "IDEOGRAPHIC": "Han",
    "KATAKANA-HIRAGANA": "Katakana",
    "ARABIC-INDIC": "Arabic",
    "EXTENDED": "Arabic",  # the digits of Persian and Urdu
}
COMMON = frozenset({"DIGIT", "HYPHEN-MINUS", "MIDDLE", "COMBINING", "MODIFIER", "ZERO"})
# What is written together (UTS #39, “Highly Restrictive”).
TOGETHER = (
    frozenset({"Latin", "Han", "Hiragana", "Katakana"}),
    frozenset({"Latin", "Han", "Bopomofo"}),
    frozenset({"Latin", "Han", "Hangul"}),
)
# Letters that in most typefaces are drawn like Latin ones.
LIKE_LATIN = frozenset(
    "авеѕіјкӏмнорԛсԁԝтухьҽһпгѵѡ"  # Cyrillic
    "αβγεηικνορτυωχϳ"  # Greek
    "ցհոսօզքյլ"  # Armenian
    "0123456789-"
)


def scripts_of(label: str) -> set[str]:
    found = set()
    for character in label:
        word = unicodedata.name(character, "UNKNOWN").split(" ")[0]
        if word not in COMMON:
            found.add(SCRIPT_OF_WORD.get(word, word.capitalize()))
    return found


def mixed_scripts(label: str) -> list[str]:
    """The scripts of a label that nobody writes together, sorted; empty where all is well.

    >>> mixed_scripts("pаypal"), mixed_scripts("東京タワーtower")
    (['Cyrillic', 'Latin'], [])
    """
    scripts = scripts_of(label)
    if len(scripts) < 2 or any(scripts <= usual for usual in TOGETHER):
        return []
    return sorted(scripts)


def could_be_read_as_latin(label: str) -> bool:
    """Whether a label of another script is drawn with letters that look Latin throughout, such as аррӏе."""
    return not label.isascii() and all(character in LIKE_LATIN for character in label)
