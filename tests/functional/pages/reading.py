"""Reads pages as a browser without JavaScript does: forms, boxes, fields and what stands in them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class PageForm:
    """One form of a page: where it goes and what it would send untouched; boxes are sent only when ticked."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    boxes: list[str] = field(default_factory=list)
    ticked: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """A page, taken apart."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.forms: list[PageForm] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        if tag == "form":
            self.forms.append(PageForm(values["action"] or ""))
        if tag == "input" and self.forms:
            self._read_input(self.forms[-1], values)

    @property
    def form(self) -> PageForm:
        """Return the page's only form."""
        [form] = self.forms
        return form

    def _read_input(self, form: PageForm, values: dict[str, str | None]) -> None:
        name, value = values.get("name") or "", values.get("value") or ""
        if values.get("type") in {"checkbox", "radio"}:
            form.boxes.append(value)
            if "checked" in values:
                form.ticked.append(value)
        else:
            form.fields[name] = value
