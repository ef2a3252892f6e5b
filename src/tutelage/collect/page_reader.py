"""What a program that visits the app needs of a page: its forms, the address that answers stream from, marked texts."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)  # elements without an end tag


@dataclass
class Form:
    """A form with the values that it would send as it stands; `choices`: the values of its radio buttons,
    boxes and buttons."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Everything that could be filled in."""
        return {*self.fields, *self.choices}


@dataclass
class Page:
    """A page as read. `texts`: the text of every element that has an id."""

    forms: list[Form] = field(default_factory=list)
    stream: str | None = None
    texts: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)

    def form(self, action: str, **fields: str) -> Form | None:
        """The first form whose action ends so and that would send these fields."""
        for form in self.forms:
            if form.action.endswith(action) and fields.items() <= form.fields.items():
                return form
        return None


def read_page(html: str) -> Page:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.page


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._form: Form | None = None
        self._open: list[tuple[str, str | None]] = []  # tags with their ids
        self._textarea: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self._open.append((tag, attributes.get("id")))
        if "data-stream" in attributes:
            self.page.stream = attributes["data-stream"]
        if tag == "a" and "href" in attributes:
            self.page.links.append(attributes["href"])
        if tag == "form":
            self._form = Form(attributes.get("action", ""))
            self.page.forms.append(self._form)
        elif self._form is not None and attributes.get("name"):
            self._take(self._form, tag, attributes)

    def _take(self, form: Form, tag: str, attributes: dict[str, str]) -> None:
        name, value, kind = attributes["name"], attributes.get("value", ""), attributes.get("type", "text")
        if tag == "input" and kind in ("radio", "checkbox"):
            form.choices.setdefault(name, []).append(value)
            if "checked" in attributes:
                form.fields[name] = value
        elif tag == "input":
            form.fields[name] = value
        elif tag == "button":
            form.choices.setdefault(name, []).append(value)
        elif tag == "textarea":
            form.fields[name] = ""
            self._textarea = name

    def handle_data(self, data: str) -> None:
        if self._form is not None and self._textarea is not None:
            self._form.fields[self._textarea] += data
        for _, name in self._open:
            if name:
                self.page.texts[name] = self.page.texts.get(name, "") + data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "textarea":
            self._textarea = None
        if any(opened == tag for opened, _ in self._open):
            while self._open.pop()[0] != tag:
                pass
