"""What of a notebook's HTML may stand on a page: an allow-list for tags, attributes, classes and links.

Scripts, styles, frames, forms, plug-ins, inline SVG and MathML go with their content. Ids get a prefix,
so that they clash with none of the page's own; a class is kept only where the page means it.
"""

import re
from base64 import b64encode
from collections.abc import Callable
from functools import cache

import nh3
from markupsafe import Markup

from stagebook.report import words

ID_PREFIX = "nb-"

_TAGS = frozenset(
    [
        "a",
        "abbr",
        "b",
        "bdi",
        "bdo",
        "blockquote",
        "br",
        "caption",
        "cite",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "details",
        "dfn",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "ins",
        "kbd",
        "li",
        "mark",
        "ol",
        "p",
        "pre",
        "q",
        "s",
        "samp",
        "small",
        "span",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "time",
        "tr",
        "tt",
        "u",
        "ul",
        "var",
        "wbr",
    ]
)
_WITH_CONTENT = frozenset(
    [
        "applet",
        "audio",
        "base",
        "button",
        "canvas",
        "embed",
        "form",
        "frame",
        "frameset",
        "iframe",
        "input",
        "link",
        "math",
        "meta",
        "noembed",
        "noframes",
        "noscript",
        "object",
        "option",
        "script",
        "select",
        "style",
        "svg",
        "template",
        "textarea",
        "title",
        "video",
    ]
)
_ATTRIBUTES = {
    "*": {"id", "class", "title", "lang", "dir", "style"},
    "a": {"href"},
    "col": {"span"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "time": {"datetime"},
    "details": {"open"},
}
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_ANSI = frozenset(
    {"ansi-bold", "ansi-underline", "ansi-default-inverse-fg", "ansi-default-inverse-bg"}
    | {f"ansi-{name}{level}-{ground}" for name in _COLOURS for level in ("", "-intense") for ground in ("fg", "bg")}
)
_ALIGN = re.compile(r"\s*text-align:\s*(left|right|center)\s*;?\s*$", re.IGNORECASE)
_IMAGE = re.compile(r"data:image/(?:png|jpeg|svg\+xml);base64,[A-Za-z0-9+/=]+$")
_LINK = re.compile(r"(?:https?://|mailto:)[^\s]+$", re.IGNORECASE)
_SCHEME = re.compile(r"[^/?#]*:")
_BREAKS = re.compile(r"\s+")


def fragment(html: str) -> Markup:
    """HTML of a notebook's author: a Markdown cell or an output."""
    return _clean("page", html)


def code(html: str) -> Markup:
    """Source code as highlighted by pygments."""
    return _clean("code", html)


def terminal(html: str) -> Markup:
    """Text as coloured by nbconvert from ANSI codes."""
    return _clean("terminal", html)


def image(media: str, data: str) -> Markup:
    """An image output as `<img>`, where not even an SVG runs or loads anything; empty if it is none."""
    if media == "image/svg+xml":
        data = b64encode(data.encode("utf-8", "replace")).decode()
    source = f"data:{media};base64,{_BREAKS.sub('', data)}"
    return Markup('<img src="{}" alt="">').format(source) if _IMAGE.match(source) else Markup()


def text(html: str) -> str:
    """The text of clean HTML, without tags."""
    return Markup(nh3.clean(html, tags=set())).unescape()


def _clean(kind: str, html: str) -> Markup:
    return Markup(_cleaner(kind).clean(words.printable(html)))


@cache
def _cleaner(kind: str) -> nh3.Cleaner:
    from pygments.token import STANDARD_TYPES

    tokens = frozenset(STANDARD_TYPES.values()) | {"highlight"}
    classes = {"page": tokens | {"dataframe"}, "code": tokens, "terminal": _ANSI}[kind]
    return nh3.Cleaner(
        tags=set(_TAGS),
        clean_content_tags=set(_WITH_CONTENT),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=_filter(classes),
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer",
    )


def _filter(classes: frozenset[str]) -> Callable[[str, str, str], str | None]:
    def keep(tag: str, name: str, value: str) -> str | None:
        match name:
            case "id":
                return _id(value)
            case "class":
                return " ".join(one for one in value.split() if one in classes) or None
            case "style":
                align = _ALIGN.match(value)
                return f"text-align: {align[1].lower()}" if align else None
            case "href":
                return _href(value)
            case "src":
                source = _BREAKS.sub("", value)
                return source if _IMAGE.match(source) else None
        return value

    return keep


def _id(value: str) -> str | None:
    name = _BREAKS.sub("-", value.strip())[:120]
    return ID_PREFIX + name if name else None


def _href(value: str) -> str | None:
    """Web and mail links, places in this notebook, and files beside it."""
    link = value.strip()
    if link.startswith("#"):
        return "#" + (_id(link[1:]) or "")
    if _LINK.match(link):
        return link
    return None if _SCHEME.match(link) or link.startswith(("//", "\\", "/")) else link
