"""What a browser would send of a form as it was shown, but for what is typed into it."""

from html.parser import HTMLParser

NEVER_SENT = {"submit", "button", "file"}


class Form(HTMLParser):
    """The fields of the one form of an admin page, by name, with all their values."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, list[str]] = {}
        self._inside = False
        self._text: str | None = None
        self._select = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("id", "").endswith("_form")
        if not self._inside:
            return
        name, kind = given.get("name", ""), given.get("type", "text")
        if tag == "input" and name and kind not in NEVER_SENT:
            if kind not in ("checkbox", "radio") or "checked" in given:
                self._add(name, given.get("value", "on" if kind in ("checkbox", "radio") else ""))
        elif tag == "textarea":
            self._text = name
            self.fields.setdefault(name, [""])
        elif tag == "select":
            self._select = name
        elif tag == "option" and "selected" in given:
            self._add(self._select, given["value"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            if self._text:
                # The first line break is not of the text.
                self.fields[self._text] = [self.fields[self._text][0].removeprefix("\n")]
            self._text = None
        elif tag == "form":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside and self._text:
            written = self.fields[self._text][0] + data
            self.fields[self._text] = [written]

    def _add(self, name: str, value: str) -> None:
        self.fields.setdefault(name, []).append(value)
