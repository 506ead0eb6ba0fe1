"""What every page is put together from: icons, states, times."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

# state (of a deployment, a release, a task) -> (tone, icon). The icon differs by shape, so that colour is not needed.
STATES = {
    "live": ("green", "state-live"),
    "deploying": ("blue", "state-busy"),
    "stopped": ("grey", "state-stopped"),
    "crashed": ("red", "state-broken"),
    "never": ("grey", "state-never"),
    "deleting": ("amber", "state-busy"),
    "queued": ("grey", "state-waiting"),
    "fetching": ("blue", "state-busy"),
    "building": ("blue", "state-busy"),
    "starting": ("blue", "state-busy"),
    "probing": ("blue", "state-busy"),
    "switching": ("blue", "state-busy"),
    "draining": ("blue", "state-busy"),
    "retained": ("grey", "check"),
    "pruned": ("grey", "cross"),
    "failed": ("red", "cross"),
    "cancelled": ("grey", "stop"),
    "superseded": ("grey", "chevron"),
    "running": ("blue", "state-busy"),
    "succeeded": ("green", "check"),
}


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#{}"></use></svg>', classes, static("img/icons.svg"), name
    )


@register.simple_tag
def state_badge(state: str, label: str) -> SafeString:
    tone, shape = STATES.get(state, ("grey", "state-never"))
    return format_html('<span class="badge tone-{}">{}{}</span>', tone, _shape(shape), label)


@register.simple_tag
def state_dot(state: str, label: str) -> SafeString:
    """The shape alone; the label is there for who cannot see it, and as a tooltip."""
    tone, shape = STATES.get(state, ("grey", "state-never"))
    return format_html(
        '<span class="state tone-{0}" title="{2}">{1}<span class="sr-only">{2}</span></span>',
        tone,
        _shape(shape),
        label,
    )


def _shape(name: str) -> SafeString:
    return icon(name, "spin" if name == "state-busy" else "")


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """“4 s ago”, kept up to date in the browser by times.js; the full time is the tooltip."""
    if moment is None:
        return "never"
    return format_html(
        '<time datetime="{}" title="{} UTC" data-ago>{}</time>',
        moment.isoformat(timespec="seconds"),
        moment.strftime("%-d %B %Y, %H:%M:%S"),
        ago_in_words(timezone.now() - moment),
    )


def ago_in_words(passed: timedelta) -> str:
    seconds = int(passed.total_seconds())
    if seconds < 2:
        return "just now"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


@register.filter
def ahead(moment: datetime | None) -> SafeString | str:
    """“in 4 min”, kept up to date in the browser by times.js; the full time is the tooltip."""
    if moment is None:
        return ""
    return format_html(
        '<time datetime="{}" title="{} UTC" data-ahead>{}</time>',
        moment.isoformat(timespec="seconds"),
        moment.strftime("%-d %B %Y, %H:%M:%S"),
        ahead_in_words(moment - timezone.now()),
    )


def ahead_in_words(left: timedelta) -> str:
    seconds = int(left.total_seconds())
    if seconds < 1:
        return "in a moment"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"in {seconds // size} {unit}"
    return f"in {seconds} s"


@register.simple_tag
def place_url(place: Any, name: str, *ids: int) -> str:
    """The address of a page or button about a place's names: ``domains.views.place``."""
    return str(place.url(name, *ids))


@register.simple_tag
def said(state: Any) -> SafeString:
    """A ``Said`` of an app's ``presentation`` as a badge; its detail is the tooltip."""
    return format_html(
        '<span class="badge tone-{}"{}>{}{}</span>',
        state.tone,
        format_html(' title="{}"', state.detail) if state.detail else "",
        _shape(state.icon),
        state.words,
    )


@register.simple_tag
def took(begin: datetime | None, end: datetime | None) -> SafeString | str:
    """How long something took; for what is still running, a count that times.js carries on."""
    if begin is None:
        return ""
    words = in_words(((end or timezone.now()) - begin).total_seconds())
    if end is None:
        return format_html('<time class="number" datetime="{}" data-since>{}</time>', begin.isoformat(), words)
    return format_html('<span class="number">{}</span>', words)


def in_words(seconds: float) -> str:
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 60:
        return f"{int(seconds)} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


@register.filter
def may(user: Any, action: str) -> bool:
    """``{% if user|may:"DEPLOY" %}``. A name that is no Action is a mistake in the template, and raises."""
    from bakery.roles import Action

    return bool(user.is_authenticated and user.may(Action[action]))


@register.filter
def short(sha: str) -> str:
    return sha[:7]


@register.filter
def gigabytes(count: int) -> str:
    return f"{count / 1024**3:.1f} GB"


@register.filter
def seconds(count: float) -> str:
    return in_words(count)


@register.filter
def milliseconds(count: float) -> str:
    return f"{count:.1f} ms" if count < 1000 else in_words(count / 1000)


@register.filter
def percent(part: float) -> str:
    """Of 1. Never 100 % where something is missing.

    >>> percent(0.9999), percent(1), percent(0.5)
    ('99.9 %', '100 %', '50.0 %')
    """
    return "100 %" if part >= 1 else f"{int(part * 1000) / 10:.1f} %"


@register.filter
def thousands(count: int) -> str:
    return f"{int(count):,}"


@register.filter
def postgres_version(number: int) -> str:
    """
    >>> postgres_version(150004), postgres_version(180000)
    ('15.4', '18.0')
    """
    return f"{number // 10000}.{number % 10000}"


@register.filter
def meter_tone(percent: float) -> str:
    return "tone-red" if percent >= 92 else "tone-amber" if percent >= 80 else ""


@register.filter
def initials(user: Any) -> str:
    words = (user.name or user.email.split("@")[0]).replace(".", " ").replace("-", " ").split()
    return "".join(word[0] for word in words[:2]) or "?"


@register.inclusion_tag("includes/copied.html")
def copied(value: object, what: str, group: str, number: int) -> dict[str, Any]:
    """A value with a button that copies it; ``group`` and ``number`` make its id."""
    return {"value": value, "what": what, "id": f"{what.lower().replace(' ', '-')}-{group}{number}"}


@register.inclusion_tag("includes/field.html")
def field(bound: Any, optional: bool = False, full: bool = False, changed: bool = False) -> dict[str, Any]:
    widget = bound.field.widget
    return {
        "field": bound,
        "is_check": getattr(widget, "input_type", "") == "checkbox" and not getattr(widget, "use_fieldset", False),
        "is_group": getattr(widget, "use_fieldset", False),
        "optional": optional,
        "full": full,
        "changed": changed,
    }
