"""Files that stages hand on: kept per run on a volume, named by references that fit into a scrap."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stagebook import atomic
from stagebook.errors import MissingFile
from stagebook.stage.current import current

MODELS, FILES = "models", "files"


def save_file(name: str, text: str) -> str:
    """Keep a text file of this run; gives its reference, `files/<run id>/<name>`, to be glued as a scrap.

    Example:
        >>> reference = stage.save_file("model_card.md", "# A model")
        >>> reference.startswith("files/interactive-"), reference.endswith("/model_card.md")
        (True, True)
    """
    reference = f"{FILES}/{current().context.run_id}/{name}"
    atomic.write_text(_volumes() / reference, text)
    return reference


def save_model(model: Any, name: str, *, trusted: Sequence[str] = ()) -> str:
    """Keep a fitted scikit-learn model of this run in skops format, which loads no pickle.

    Args:
        trusted: the types, beyond skops' own, that loading it needs; checked now, not at loading.
    Returns:
        Its reference, `models/<run id>/<name>.skops`, to be glued as a scrap.
    Raises:
        skops.io.exceptions.UntrustedTypesFoundException: if `trusted` lacks a type.
    Example:
        >>> fitted = DummyClassifier().fit([[0], [1]], [0, 1])
        >>> reference = stage.save_model(fitted, "model")
        >>> type(stage.load_model(reference)).__name__
        'DummyClassifier'
    """
    from skops import io

    reference = f"{MODELS}/{current().context.run_id}/{name}.skops"
    path = _volumes() / reference
    content = io.dumps(model)
    io.loads(content, trusted=list(trusted))
    atomic.write_bytes(path, content)
    return reference


def load_model(reference: str, *, trusted: Sequence[str] = ()) -> Any:
    """The fitted model of a reference that `save_model` gave.

    Without a reference, as in an interactive notebook, the newest saved model.

    Raises:
        MissingFile: if there is no such file.
    Example:
        >>> reference = stage.save_model(DummyClassifier().fit([[0], [1]], [0, 1]), "model")
        >>> stage.load_model(reference).predict([[1]]).tolist()
        [0]
    """
    from skops import io

    path = _volumes() / reference if reference else _newest_model()
    if not path.is_file():
        raise MissingFile.of(reference, str(path))
    return io.load(path, trusted=list(trusted))


def _volumes() -> Path:
    return current().context.warehouse / "volumes"


def _newest_model() -> Path:
    models = sorted(_volumes().glob(f"{MODELS}/*/*.skops"), key=lambda path: path.stat().st_mtime)
    if not models:
        raise MissingFile.of("*.skops", str(_volumes() / MODELS))
    return models[-1]
