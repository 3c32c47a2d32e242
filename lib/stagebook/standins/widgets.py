"""`dbutils.widgets`: parameters of a notebook, all of them texts."""

from collections.abc import Mapping, Sequence

from stagebook.standins.errors import InputWidgetNotDefined, InvalidInputWidgetDefinition


class Widgets:
    """Widgets by name. What the job passes wins over a widget's default, also after it was removed and made anew."""

    def __init__(self, given: Mapping[str, str]) -> None:
        for name, value in given.items():
            _text(name, "value", value)
        self._given = dict(given)
        self._made: dict[str, str] = {}

    def text(self, name: str, defaultValue: str, label: str | None = None) -> None:
        """A field for any text."""
        _text(name, "defaultValue", defaultValue)
        self._made.setdefault(name, defaultValue)

    def combobox(self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None) -> None:
        """A field for any text, with suggestions."""
        _texts(name, choices)
        self.text(name, defaultValue)

    def dropdown(self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None) -> None:
        """A choice of one.

        Raises:
            InvalidInputWidgetDefinition: the default is not among the choices.
        """
        _texts(name, choices)
        if defaultValue not in choices:
            raise InvalidInputWidgetDefinition.of(name, defaultValue, choices)
        self.text(name, defaultValue)

    def multiselect(self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None) -> None:
        """A choice of several; its value is one text, joined by commas.

        Raises:
            InvalidInputWidgetDefinition: the default is not among the choices.
        """
        self.dropdown(name, defaultValue, choices)

    def get(self, name: str) -> str:
        """The value of a widget.

        Raises:
            InputWidgetNotDefined: there is no such widget.
        """
        if name in self._given:
            return self._given[name]
        if name not in self._made:
            raise InputWidgetNotDefined.of(name)
        return self._made[name]

    def getArgument(self, name: str, defaultValue: str | None = None) -> str:
        """The value of a widget, or the default where there is no such widget."""
        try:
            return self.get(name)
        except InputWidgetNotDefined:
            if defaultValue is None:
                raise
            return defaultValue

    def getAll(self) -> dict[str, str]:
        """All values by name."""
        return {**self._made, **self._given}

    def remove(self, name: str) -> None:
        """Take a widget away.

        Raises:
            InputWidgetNotDefined: there is no such widget.
        """
        if name not in self._made and name not in self._given:
            raise InputWidgetNotDefined.of(name)
        self._made.pop(name, None)

    def removeAll(self) -> None:
        """Take all widgets away; what the job passes stays."""
        self._made.clear()


def _texts(name: str, choices: Sequence[str]) -> None:
    for choice in choices:
        _text(name, "choices", choice)


def _text(name: str, what: str, value: object) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"widget {name!r}: {what} must be a str, and it is {type(value).__name__} ({value!r})")
