"""Models: the gate, the registry and the champion, for the stage of this process."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stagebook import promote as promotion
from stagebook.model.gate import Verdict
from stagebook.stage import registry_usage
from stagebook.stage.current import current
from stagebook.stage.scraps import glue

if TYPE_CHECKING:
    import pandas as pd

    from stagebook.tracking.registry import Registration, Registry

CHAMPION = "champion"


def evaluate_gate(
    rules: Sequence[Mapping[str, Any]],
    *,
    model: Mapping[str, float],
    baseline: Mapping[str, float],
    champion: Mapping[str, float] | None,
    slices: Sequence[Mapping[str, Any]] = (),
) -> Verdict:
    """Evaluate the gate's rules on metrics of the same rows, and hand the verdict on.

    It is glued as `gate` (every rule with its figures) and `gate_passed` (true or false). A run whose gate refused
    the model ends with exit status 4.

    Args:
        rules: mappings with `metric` and `threshold` or `better_than`, as `gate` in the parameter file.
        model, baseline, champion: metric → value on the hold-out; None while there is no champion.
        slices: one mapping a slice: its column and value, `rows`, and the metrics.
    Raises:
        BadGateRule: if a rule cannot be meant as written, or there is none.
    Example:
        >>> verdict = stage.evaluate_gate(
        ...     [{"metric": "roc_auc", "threshold": 0.6}],
        ...     model={"roc_auc": 0.75}, baseline={"roc_auc": 0.64}, champion=None,
        ... )
        >>> verdict.passed
        True
    """
    verdict = promotion.evaluate_gate(rules, model=model, baseline=baseline, champion=champion, slices=slices)
    glue("gate", verdict.to_json())
    glue("gate_passed", verdict.passed)
    return verdict


def champion(*, trusted: Sequence[str] = ()) -> Any | None:
    """The present champion, a fitted scikit-learn model from the registry, or None while there is none.

    Args:
        trusted: the types, beyond skops' own, that loading it needs.
    Example:
        >>> stage.champion() is None
        True
    """
    name = current().context.tracking.registered_model
    return None if champion_version() is None else _registry().load(name, CHAMPION, trusted=trusted)


def champion_version() -> str | None:
    """The version that has the alias `champion`, or None while none has.

    Example:
        >>> stage.champion_version() is None
        True
    """
    version = _registry().version_of(current().context.tracking.registered_model, CHAMPION)
    registry_usage.note_read(CHAMPION, version)
    return version


def register_model(
    model: Any,
    *,
    example: "pd.DataFrame",
    metrics: Mapping[str, float],
    trusted: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
) -> "Registration":
    """Log and register a version of a fitted scikit-learn model, once per run, with the alias `candidate`.

    It is logged with signature, input example and metrics; tags name the run and the version of every table that the
    stage reads.

    Args:
        example: a few rows of its input.
        trusted: the types, beyond skops' own, that loading it needs.
        tags: further tags of the version.
    Returns:
        The version, and whether this call made it.
    Raises:
        RegistryError, TrackingUnavailable: if the registry refuses it or does not answer.
    Example:
        >>> fitted = DummyClassifier().fit(pd.DataFrame({"x": [0, 1]}), [0, 1])
        >>> stage.register_model(fitted, example=pd.DataFrame({"x": [0]}), metrics={"roc_auc": 0.5}).version
        '1'
    """
    from stagebook.tracking.sync import ensure_stage_run

    context = current().context
    versions = {f"data.{name}": str(version) for name, version in context.inputs.items()}
    registered = _registry().register(
        model,
        name=context.tracking.registered_model,
        run_id=context.run_id,
        example=example,
        tags={**versions, **(tags or {})},
        metrics=metrics,
        trusted=trusted,
        mlflow_run_id=ensure_stage_run(context),
    )
    registry_usage.note_set(candidate=registered.version)
    return registered


def promote(version: str, *, gate_passed: bool) -> bool:
    """Make a version the champion if the gate passed; gives whether it did.

    Example:
        >>> stage.promote("1", gate_passed=False)
        False
    """
    if gate_passed:
        _registry().promote(current().context.tracking.registered_model, version)
        registry_usage.note_set(champion=version)
    return gate_passed


def _registry() -> "Registry":
    from stagebook.tracking.registry import Registry

    return Registry(current().context.tracking)
