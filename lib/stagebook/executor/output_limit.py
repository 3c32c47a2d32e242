"""How much of what a cell prints and shows is kept: beginning and end of its text, and what fits of the rest."""

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import nbformat

from stagebook.formatting import count, size

if TYPE_CHECKING:
    from nbformat import NotebookNode

HEAD_CHARACTERS = 1_000_000
TAIL_CHARACTERS = 1_000_000
SHOWN_BYTES = 32_000_000
"""Of all tables, images and pages that a cell shows."""

_SCRAP = "application/scrapbook."

Message = dict[str, Any]


@dataclass
class OutputLimit:
    """Bounds the outputs of one cell as their messages come.

    Text beyond the head is held back, as much as the tail may have, and added when the cell has ended; so it stands
    behind what the cell has shown meanwhile. Errors and scraps are always kept.
    """

    _printed: int = 0
    _shown: int = 0
    _left_out: int = 0
    _tail: deque[tuple[str, str]] = field(default_factory=deque)
    _tail_length: int = 0

    def admit(self, message: Message) -> Message | None:
        """The message as it is to be put into the cell; None if not now, or not at all."""
        content = message["content"]
        match message["msg_type"]:
            case "stream":
                return self._text(message, content["name"], content["text"])
            case "display_data" | "execute_result" | "update_display_data":
                return self._figure(message, content["data"])
            case "clear_output":
                self._printed = self._left_out = self._tail_length = 0
                self._tail.clear()
        return message

    def end(self, cell: "NotebookNode") -> None:
        """Add to a cell that has ended the end of its text, and how much is left out before it."""
        if not self._tail:
            return
        if self._left_out:
            note = (
                f"\n… {count(self._left_out)} characters left out: of a cell's text the first "
                f"{count(HEAD_CHARACTERS)} and the last {count(TAIL_CHARACTERS)} are kept; print less, or to a file …\n"
            )
            self._tail.appendleft((self._tail[0][0], note))
        for name, text in self._tail:
            last = cell.outputs[-1] if cell.outputs else None
            if last is not None and last.output_type == "stream" and last.name == name:
                last.text += text
            else:
                cell.outputs.append(nbformat.v4.new_output("stream", name=name, text=text))
        self._tail.clear()

    def _text(self, message: Message, name: str, text: str) -> Message | None:
        room = HEAD_CHARACTERS - self._printed
        self._printed += len(text)
        if len(text) <= room:
            return message
        self._hold_back(name, text[max(room, 0) :])
        if room <= 0:
            return None
        return {**message, "content": {**message["content"], "text": text[:room]}}

    def _hold_back(self, name: str, text: str) -> None:
        self._tail.append((name, text))
        self._tail_length += len(text)
        while (excess := self._tail_length - TAIL_CHARACTERS) > 0:
            first_name, first = self._tail.popleft()
            if len(first) > excess:
                self._tail.appendleft((first_name, first[excess:]))
            dropped = min(excess, len(first))
            self._tail_length -= dropped
            self._left_out += dropped

    def _figure(self, message: Message, data: dict[str, Any]) -> Message:
        if any(media.startswith(_SCRAP) for media in data):
            return message
        size_bytes = sum(len(value) if isinstance(value, str) else len(json.dumps(value)) for value in data.values())
        if self._shown + size_bytes <= SHOWN_BYTES:
            self._shown += size_bytes
            return message
        note = f"… an output of {size(size_bytes)} left out: of what a cell shows {size(SHOWN_BYTES)} are kept …"
        return {**message, "content": {**message["content"], "data": {"text/plain": note}, "metadata": {}}}
