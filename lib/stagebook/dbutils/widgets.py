"""`dbutils.widgets`: parameters of a notebook, all of them texts."""

from collections.abc import Mapping, Sequence

from stagebook.dbutils.errors import InputWidgetNotDefined, InvalidInputWidgetDefinition


class Widgets:
    """Widgets by name. A parameter of the job wins over a widget's default, also after the widget was removed."""

    def __init__(self, job_parameters: Mapping[str, str]) -> None:
        for name, value in job_parameters.items():
            _check_text(name, "value", value)
        self._job_parameters = dict(job_parameters)
        self._defaults: dict[str, str] = {}

    def text(self, name: str, defaultValue: str, label: str | None = None) -> None:
        """Define a text field."""
        _check_text(name, "defaultValue", defaultValue)
        self._defaults.setdefault(name, defaultValue)

    def combobox(self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None) -> None:
        """Define a text field with suggestions."""
        _check_texts(name, choices)
        self.text(name, defaultValue)

    def dropdown(self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None) -> None:
        """Define a choice of one.

        Raises:
            InvalidInputWidgetDefinition: the default is not among the choices.
        """
        _check_texts(name, choices)
        if defaultValue not in choices:
            raise InvalidInputWidgetDefinition.of(name, defaultValue, choices)
        self.text(name, defaultValue)

    def multiselect(self, name: str, defaultValue: str, choices: Sequence[str], label: str | None = None) -> None:
        """Define a choice of several; its value is one text, joined by commas.

        Raises:
            InvalidInputWidgetDefinition: the default is not among the choices.
        """
        self.dropdown(name, defaultValue, choices)

    def get(self, name: str) -> str:
        """The value of a widget.

        Raises:
            InputWidgetNotDefined: there is no such widget.
        """
        if name in self._job_parameters:
            return self._job_parameters[name]
        if name not in self._defaults:
            raise InputWidgetNotDefined.of(name)
        return self._defaults[name]

    def getArgument(self, name: str, defaultValue: str | None = None) -> str:
        """The value of a widget, or the default if there is no such widget."""
        try:
            return self.get(name)
        except InputWidgetNotDefined:
            if defaultValue is None:
                raise
            return defaultValue

    def getAll(self) -> dict[str, str]:
        """All values by name."""
        return {**self._defaults, **self._job_parameters}

    def remove(self, name: str) -> None:
        """Remove a widget; a parameter of the job stays.

        Raises:
            InputWidgetNotDefined: there is no such widget.
        """
        if name not in self._defaults and name not in self._job_parameters:
            raise InputWidgetNotDefined.of(name)
        self._defaults.pop(name, None)

    def removeAll(self) -> None:
        """Remove all widgets; parameters of the job stay."""
        self._defaults.clear()


def _check_texts(name: str, choices: Sequence[str]) -> None:
    for choice in choices:
        _check_text(name, "choices", choice)


def _check_text(name: str, argument: str, value: object) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"widget {name!r}: {argument} must be a str, and it is {type(value).__name__} ({value!r})")
