"""Text that a cell prints, which a kernel sends in pieces, as one output."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode


@dataclass
class StreamBuffer:
    """The stream output that a cell writes to at present, and the pieces that were not added to its text yet.

    A million pieces would be copied a million times if each was added at once.
    """

    _output: "NotebookNode | None" = None
    _pieces: list[str] = field(default_factory=list)

    def extend(self, outputs: "list[NotebookNode]", name: str, text: str) -> bool:
        """Add a piece to the last output, if that is of the same stream; whether it was."""
        if self._output is None or not outputs or outputs[-1] is not self._output or self._output.name != name:
            return False
        self._pieces.append(text)
        return True

    def begin(self, output: "NotebookNode") -> None:
        """From now on pieces are added to this output."""
        self.flush()
        self._output = output

    def flush(self) -> None:
        """Write the pieces into the output."""
        if self._output is not None and self._pieces:
            self._output.text += "".join(self._pieces)
            self._pieces.clear()
