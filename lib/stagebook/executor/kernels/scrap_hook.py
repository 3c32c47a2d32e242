"""Makes `scrapbook.glue` in a kernel glue what it was given: NumPy's scalars as numbers, NaN and infinities as such.

Jupyter's messages cannot hold NaN: they turn it into text or null. So a scrap's payload holds it as text, as ever, and
the output's metadata say where such numbers stand.

A kernel runs the source of this module, since one of another environment cannot import it.
"""

import sys
from typing import Any

METADATA = "stagebook"
PATHS = "not_finite"
_API = "scrapbook.api"


def install(plain_values: Any, after_import: Any) -> None:
    """Change `scrapbook`, now if it is imported, else when it will be.

    Args: plain_values, after_import: the kit's modules of these names, or modules with their sources.
    """
    after_import.after_import(_API, lambda api: _change(api, plain_values))


def _change(api: Any, plain_values: Any) -> None:
    original, prepare = api.glue, api._prepare_ipy_data_format
    if hasattr(original, "__wrapped_by_stagebook__"):
        return

    def glue(name: str, data: Any, encoder: str | None = None, display: Any = None) -> None:
        if encoder in (None, "json") and _is_for_json(api, data):
            try:
                data = plain_values.plain(data)
            except plain_values.NotPlain as error:
                if display is None or encoder is not None:
                    raise TypeError(f"the scrap '{name}' {error}: it cannot be glued as JSON") from None
        original(name, data, encoder, display)

    def prepare_data(name: str, payload: Any, encoder: str) -> Any:
        paths = plain_values.not_finite(payload["data"]) if encoder == "json" else []
        if not paths:
            return prepare(name, payload, encoder)
        data, metadata = prepare(
            name, {**payload, "data": plain_values.replaced(payload["data"], paths, repr)}, encoder
        )
        return data, {**metadata, METADATA: {PATHS: paths}}

    glue.__doc__ = original.__doc__
    glue.__wrapped_by_stagebook__ = True  # pyright: ignore[reportFunctionMemberAccess]
    api.glue, api._prepare_ipy_data_format = glue, prepare_data
    package: Any = sys.modules.get("scrapbook")
    if getattr(package, "glue", None) is original:
        package.glue = glue


def _is_for_json(api: Any, data: Any) -> bool:
    """Whether scrapbook would glue the value as JSON, or not at all."""
    if data is None or isinstance(data, str):
        return False
    try:
        return api.encoder_registry.determine_encoder_name(data) == "json"
    except NotImplementedError:
        return True
