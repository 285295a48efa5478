"""Reasoning that a host puts in front of its answer, between `<think>` and `</think>`."""

from collections.abc import Iterator

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkTags:
    """Tells such reasoning from the answer, in whatever pieces the two arrive.

    Tags count at the very beginning only; anywhere else they are a part of the answer.
    """

    __slots__ = ("_held", "_state", "seen")

    def __init__(self) -> None:
        #: Whether there was such a tag.
        self.seen = False
        self._state = "start"
        self._held = ""

    def feed(self, text: str) -> Iterator[tuple[bool, str]]:
        """Pieces of the text, each with whether it is reasoning."""
        if self._state == "text":
            yield False, text
            return
        text = self._held + text
        self._held = ""
        if self._state == "start":
            begun = text.lstrip()
            if not begun.startswith(_OPEN):
                if _OPEN.startswith(begun):
                    self._held = text
                    return
                self._state = "text"
                yield False, text
                return
            self.seen = True
            self._state, text = "thinking", begun[len(_OPEN) :]
        if self._state == "thinking":
            thought, close, text = text.partition(_CLOSE)
            if not close:
                kept = _beginning_of(_CLOSE, thought)
                self._held = thought[len(thought) - kept :]
                thought = thought[: len(thought) - kept]
            else:
                self._state = "after"
            if thought:
                yield True, thought
            if not close:
                return
        # What parts the two belongs to neither.
        text = text.lstrip()
        if text:
            self._state = "text"
            yield False, text

    def flush(self) -> Iterator[tuple[bool, str]]:
        """What was held back, at the end of the text or before something else."""
        held, self._held = self._held, ""
        thinking, self._state = self._state == "thinking", "text"
        if held:
            yield thinking, held


def _beginning_of(tag: str, text: str) -> int:
    """How many characters at the end of a text may be the beginning of a tag."""
    longest = min(len(tag) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if tag.startswith(text[-n:])), 0)
