"""Models: the gate, the registry and the champion, for the stage of this process."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stagebook import promote as promotion
from stagebook.model.gate import Verdict
from stagebook.stage import uses
from stagebook.stage.current import current

if TYPE_CHECKING:
    from stagebook.track.registry import Registered, Registry

CHAMPION = "champion"


def _registry() -> "Registry":
    from stagebook.track.registry import Registry

    return Registry(current().context.tracking)


def judge(
    rules: Sequence[Mapping[str, Any]],
    *,
    model: Mapping[str, float],
    baseline: Mapping[str, float],
    champion: Mapping[str, float] | None,
    slices: Sequence[Mapping[str, Any]] = (),
) -> Verdict:
    """The gate's verdict over metrics of the same rows; see `promote.judge`."""
    return promotion.judge(rules, model=model, baseline=baseline, champion=champion, slices=slices)


def champion(*, trusted: Sequence[str] = ()) -> Any | None:
    """The present champion, loaded from the registry, or None while there is none."""
    name = current().context.tracking.registered_model
    return None if champion_version() is None else _registry().load(name, CHAMPION, trusted=trusted)


def champion_version() -> str | None:
    """The version that has the alias `champion`, or None while none has."""
    version = _registry().version_of(current().context.tracking.registered_model, CHAMPION)
    uses.found(CHAMPION, version)
    return version


def register_model(
    model: Any,
    *,
    example: Any,
    metrics: Mapping[str, float],
    trusted: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
) -> "Registered":
    """Log and register a model version once per run, with signature, input example and alias `candidate`.

    Tags say the run id and the version of every table that the stage reads.
    """
    from stagebook.track.sync import ensure_stage_run

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
    uses.made(candidate=registered.version)
    return registered


def promote(version: str, *, gate_passed: bool) -> bool:
    """Make a version the champion if the gate passed; says whether it did."""
    if gate_passed:
        _registry().promote(current().context.tracking.registered_model, version)
        uses.made(champion=version)
    return gate_passed
