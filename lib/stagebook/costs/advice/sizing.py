"""Which smaller profiles or machines would have been enough for the stages, and what each change saves."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from stagebook.costs.advice.machine_need import MachineNeed
from stagebook.costs.advice.subject import AdviceSubject, Overlay, ProfileAssignment, Replay, cluster_in_words
from stagebook.model.pricing import NodeSize, NodeType, Rate

LEAST_SHARE = Decimal("0.01")
"""What saves less than this share of a run is not worth a change."""

_ARM = re.compile(r"[a-z]+\d+g[a-z]*\.|Standard_[A-Z]+\d+p")


@dataclass(frozen=True)
class ProfileChange:
    """Another size for stages: the rate that they have, and the overlay and the assignment that give them the other."""

    target: str
    stages: tuple[str, ...]
    current: Rate
    text: str
    overlay: Overlay
    assignment: ProfileAssignment


@dataclass(frozen=True)
class SizingStep:
    """A change that is worth it, with US dollars of a run before and after it."""

    change: ProfileChange
    usd_before: Decimal
    usd_after: Decimal


def sizing_steps(
    subject: AdviceSubject, assignment: ProfileAssignment, needs: Mapping[str, MachineNeed], replay: Replay
) -> Iterator[SizingStep]:
    """The changes that save the most, one after the other, until no change is worth it.

    The runs are billed again to compute what a change saves: a stage that moves to the cluster of other stages saves
    a start-up, but may make that cluster wait.
    """
    usd = replay.usd_per_run(assignment)
    least_saving = usd * LEAST_SHARE
    while True:
        options = [(replay.usd_per_run(change.assignment), change) for change in _changes(subject, assignment, needs)]
        if not options:
            return
        usd_after, change = min(options, key=lambda option: option[0])
        if usd - usd_after <= least_saving:
            return
        yield SizingStep(change, usd, usd_after)
        assignment, usd = change.assignment, usd_after


def _changes(
    subject: AdviceSubject, assignment: ProfileAssignment, needs: Mapping[str, MachineNeed]
) -> Iterator[ProfileChange]:
    for profile in assignment.rates:
        yield from _other_node(subject, assignment, profile, needs)
    for stage, need in needs.items():
        current = assignment.rate(stage)
        if current is None or not current.nodes:
            continue
        for name, rate in assignment.rates.items():
            if rate.nodes and name != current.profile and _is_enough(rate.nodes[0], current.nodes[0], need):
                text = f"profile `{name}` ({cluster_in_words(rate)}) would have been enough"
                overlay = {("stages", stage, "profile"): name}
                yield ProfileChange(stage, (stage,), current, text, overlay, assignment.with_profile(stage, name))


def _other_node(
    subject: AdviceSubject, assignment: ProfileAssignment, profile: str, needs: Mapping[str, MachineNeed]
) -> Iterator[ProfileChange]:
    """The cheapest single machine that is enough for all stages of a profile; they compute in one process."""
    stages, current = assignment.stages_of(profile), assignment.rates[profile]
    if not stages or not current.nodes or any(stage not in needs for stage in stages):
        return
    options = [
        rate
        for node in subject.pipeline.market.book.nodes
        if node.cloud == current.cloud and node.price_check.startswith("ok")
        if all(_is_enough(node, current.nodes[0], needs[stage]) for stage in stages)
        if (rate := _single_node(subject, current, node))
    ]
    if not options:
        return
    best = min(options, key=lambda option: option.usd_per_hour.likely)
    if best.cluster == current.cluster:
        return
    overlay = _cluster_overlay(profile, current, best)
    text = f"{cluster_in_words(best)} would have been enough"
    yield ProfileChange(f"profile {profile}", tuple(stages), current, text, overlay, assignment.with_rate(best))


def _cluster_overlay(profile: str, current: Rate, best: Rate) -> Overlay:
    """The keys of a profile that turn its cluster into the single machine `best`."""
    overlay: dict[tuple[str, ...], Any] = {}
    if best.cluster.node_type_id != current.cluster.node_type_id:
        overlay["profiles", profile, "node_type_id"] = best.cluster.node_type_id
    if current.cluster.driver_node_type_id is not None:
        overlay["profiles", profile, "driver_node_type_id"] = None
    if current.cluster.min_workers != current.cluster.max_workers:
        overlay["profiles", profile, "autoscale"] = None
    if current.cluster.max_workers:
        overlay["profiles", profile, "num_workers"] = 0
    return overlay


def _is_enough(node: NodeSize | NodeType, current: NodeSize, need: MachineNeed) -> bool:
    """Whether a machine is enough. GPU use is not measured, so their number stays, and so does the architecture."""
    is_alike = node.gpus == current.gpus and _is_arm(node.node_type_id) == _is_arm(current.node_type_id)
    return is_alike and need.fits(node)


def _is_arm(node_type_id: str) -> bool:
    """Whether the name is that of an ARM machine: `m6gd.xlarge` on AWS, `Standard_D4pds_v5` on Azure."""
    return bool(_ARM.match(node_type_id))


def _single_node(subject: AdviceSubject, current: Rate, node: NodeType) -> Rate | None:
    changes = {"node_type_id": node.node_type_id, "driver_node_type_id": None, "min_workers": 0, "max_workers": 0}
    return subject.rate(current.profile, replace(current.cluster, **changes))
