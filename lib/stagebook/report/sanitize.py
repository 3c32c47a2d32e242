"""Clean a notebook's HTML with an allow-list of tags, attributes, classes and links.

Scripts, styles, frames, forms, plug-ins, inline SVG and MathML are removed together with their content. Ids get a
prefix, so that they do not clash with the page's own ids. A class is kept only if the page has a style for it.
"""

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from functools import cache
from html import unescape

import nh3
from markupsafe import Markup

from stagebook import formatting

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
_REMOVED_WITH_CONTENT = frozenset(
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
_SEEN = ("iframe", "script", "svg", "math", "canvas", "video", "audio", "object", "embed", "form", "button", "input")
"""Of the elements that are removed, those by which a reader would have seen something."""

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
_ANSI_CLASSES = frozenset(
    {"ansi-bold", "ansi-underline", "ansi-default-inverse-fg", "ansi-default-inverse-bg"}
    | {f"ansi-{name}{level}-{ground}" for name in _COLOURS for level in ("", "-intense") for ground in ("fg", "bg")}
)
_ALIGN = re.compile(r"\s*text-align:\s*(left|right|center)\s*;?\s*$", re.IGNORECASE)
_IMAGE = re.compile(r"data:image/(?:png|jpeg|svg\+xml);base64,[A-Za-z0-9+/=]+$")
_LINK = re.compile(r"(?:https?://|mailto:)[^\s]+$", re.IGNORECASE)
_SCHEME = re.compile(r"[^/?#]*:")
_WHITESPACE = re.compile(r"\s+")
_ELEMENT = re.compile(rf"<({'|'.join(_SEEN)})\b", re.IGNORECASE)
_SOURCE = re.compile(r"""<img\b[^>]*?\ssrc\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))""", re.IGNORECASE)


def fragment(html: str) -> Markup:
    """Clean HTML that a notebook's author wrote: a rendered Markdown cell or an output."""
    return _clean("author", html)


def code(html: str) -> Markup:
    """Clean source code that pygments has highlighted."""
    return _clean("code", html)


def terminal(html: str) -> Markup:
    """Clean text that nbconvert has coloured from ANSI codes."""
    return _clean("terminal", html)


def image(media: str, data: str) -> Markup:
    """An image output as `<img>`, in which even an SVG runs and loads nothing; empty if the data is not an image."""
    if media == "image/svg+xml":
        data = b64encode(data.encode("utf-8", "replace")).decode()
    source = f"data:{media};base64,{_WHITESPACE.sub('', data)}"
    return Markup('<img src="{}" alt="">').format(source) if _IMAGE.match(source) else Markup()


def text(html: str) -> str:
    """The text of clean HTML, without tags."""
    return Markup(nh3.clean(html, tags=set())).unescape()


def removed(html: str) -> list[str]:
    """What `fragment` removes of an author's HTML that a reader would have seen, in words."""
    elements = Counter(name.lower() for name in _ELEMENT.findall(html))
    names = [name if number == 1 else f"{number} × {name}" for name, number in elements.items()]
    sources = [_WHITESPACE.sub("", unescape("".join(groups))) for groups in _SOURCE.findall(html)]
    for source in dict.fromkeys(sources):
        if source.startswith(("http:", "https:", "//")):
            names.append("an image from the network")
        elif not _IMAGE.match(source):
            names.append("an image" if _SCHEME.match(source) else f"the image {formatting.first_line(source, 80)}")
    return list(dict.fromkeys(names))[:8]


def _clean(source: str, html: str) -> Markup:
    return Markup(_cleaner(source).clean(formatting.printable(html)))


@cache
def _cleaner(source: str) -> nh3.Cleaner:
    from pygments.token import STANDARD_TYPES

    token_classes = frozenset(STANDARD_TYPES.values()) | {"highlight"}
    classes = {"author": token_classes | {"dataframe"}, "code": token_classes, "terminal": _ANSI_CLASSES}[source]
    return nh3.Cleaner(
        tags=set(_TAGS),
        clean_content_tags=set(_REMOVED_WITH_CONTENT),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=_attribute_filter(classes),
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer",
    )


def _attribute_filter(classes: frozenset[str]) -> Callable[[str, str, str], str | None]:
    """A function that gives an attribute's clean value, or None to drop the attribute."""

    def clean_value(tag: str, name: str, value: str) -> str | None:
        match name:
            case "id":
                return _id(value)
            case "class":
                return " ".join(css_class for css_class in value.split() if css_class in classes) or None
            case "style":
                align = _ALIGN.match(value)
                return f"text-align: {align[1].lower()}" if align else None
            case "href":
                return _href(value)
            case "src":
                source = _WHITESPACE.sub("", value)
                return source if _IMAGE.match(source) else None
        return value

    return clean_value


def _id(value: str) -> str | None:
    name = _WHITESPACE.sub("-", value.strip())[:120]
    return ID_PREFIX + name if name else None


def _href(value: str) -> str | None:
    """The link if it leads to the web, to a mail address, to a heading of this notebook or to a file beside it."""
    link = value.strip()
    if link.startswith("#"):
        return "#" + (_id(link[1:]) or "")
    if _LINK.match(link):
        return link
    return None if _SCHEME.match(link) or link.startswith(("//", "\\", "/")) else link
