"""Text of models and workers as HTML that can do nothing. What streams is plain text; this is for what is finished."""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

_BLOCKS = {"p", "br", "hr", "ul", "ol", "li", "blockquote", "pre", "code", "h4", "h5", "h6"}
_TABLE = {"table", "thead", "tbody", "tr", "th", "td"}
_INLINE = {"em", "strong", "s", "a"}


@lru_cache(maxsize=1024)  # every page of a conversation shows all its answers
def to_html(text: str) -> Markup:
    """Markdown as HTML: no HTML of its own, no images (their addresses would tell who reads), links by name of host."""
    return Markup(_cleaner().clean(_parser().render(text)))


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    parser.disable("image")
    parser.core.ruler.push("calm", _calm)
    return parser


def _calm(state: Any) -> None:
    """Headings go below those of the page; a link says where it leads."""
    for token in state.tokens:
        if token.type.startswith("heading"):
            token.tag = f"h{min(6, int(token.tag[1]) + 3)}"
        if token.children:
            token.children = _with_hosts(token.children)


def _with_hosts(tokens: Sequence[Token]) -> list[Token]:
    """The tokens of a line, the host written behind each link."""
    named: list[Token] = []
    host = ""
    for token in tokens:
        named.append(token)
        if token.type == "link_open":
            host = _host(str(token.attrGet("href") or ""))
        elif token.type == "link_close" and host:
            named.append(Token("text", "", 0, content=f" ({host})"))
    return named


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # no address at all, like http://[
        return ""


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=_BLOCKS | _TABLE | _INLINE,
        attributes={"*": set(), "a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https"},
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )
