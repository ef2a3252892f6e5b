"""HTML as plain text: what a post of a question-and-answer site says, without its marks."""

import re
from html.parser import HTMLParser

_SPACES = re.compile(r"\s+")
_PARAGRAPHS = {
    "p", "pre", "blockquote", "ul", "ol", "table", "hr", "div", "dl", "h1", "h2", "h3", "h4", "h5", "h6",
}  # fmt: skip
_LINES = {"br", "li", "tr", "dt", "dd"}


def html_text(html: str) -> str:
    """The text of an HTML fragment.

    Paragraphs are parted by an empty line; lists keep their dashes or numbers, quoted paragraphs begin with `> `,
    preformatted text keeps its white space, a superscript is written `^`. Links keep their words; images go.
    Never fails: marks that are not HTML are text.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return "".join(reader.pieces).strip()


class _Reader(HTMLParser):
    """Collects `pieces` of text. Line ends are held back until text follows, so that none are left over."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._newlines = 0
        self._marker = ""
        self._verbatim = 0
        self._quotes = 0
        self._lists: list[int | None] = []  # the last number given in each open list; None: dashes

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._break(tag)
        if tag in ("ul", "ol"):
            self._lists.append(0 if tag == "ol" else None)
        elif tag == "li":
            self._marker = self._list_marker()
        elif tag == "pre":
            self._verbatim += 1
        elif tag == "sup":
            self._say("^")
        elif tag == "blockquote":
            self._quotes += 1
        if self._quotes and tag in ("blockquote", "p"):
            self._marker = self._marker or "> "

    def handle_endtag(self, tag: str) -> None:
        self._break(tag)
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif tag == "pre":
            self._verbatim = max(0, self._verbatim - 1)
        elif tag == "blockquote":
            self._quotes = max(0, self._quotes - 1)
        elif tag in ("td", "th"):
            self.handle_data(" ")
        if tag in _PARAGRAPHS | _LINES:
            self._marker = ""

    def handle_data(self, data: str) -> None:
        if not self._verbatim:
            data = _SPACES.sub(" ", data)
            if self._newlines or not self.pieces or self.pieces[-1][-1:].isspace():
                data = data.lstrip(" ")
        elif self._newlines:
            data = data.lstrip("\r\n")
        if data:
            self._say(data)

    def _break(self, tag: str) -> None:
        self._newlines = max(self._newlines, 2 if tag in _PARAGRAPHS else int(tag in _LINES))

    def _list_marker(self) -> str:
        number = self._lists[-1] if self._lists else None
        if number is None:
            return "- "
        self._lists[-1] = number + 1
        return f"{number + 1}. "

    def _say(self, text: str) -> None:
        if self._newlines and self.pieces:
            self.pieces[-1] = self.pieces[-1].rstrip()
            self.pieces.append("\n" * self._newlines)
        if self._marker:
            self.pieces.append(self._marker)
        self._newlines, self._marker = 0, ""
        self.pieces.append(text)
