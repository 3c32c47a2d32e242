"""The price book: CSV files of node types and list prices, each row checked; and profiles as clusters.

The files that come with the project are `params/prices/*.csv`. A user's own files come first, so that
their rows win; the columns of a file tell which kind of rows it has.
"""

import csv
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stagebook.config.cost_spec import CostSpec, ProfileSpec
from stagebook.config.findings import Finding
from stagebook.config.merge import Merged
from stagebook.model.pricing import Cluster, ListPrice, NodeType, PriceBook, PurchaseTerms

Text = Annotated[str, Field(min_length=1)]
Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    cloud: Literal["AWS", "AZURE"]


class NodeTypeRow(_Row):
    """A row of `node_types.csv`."""

    node_type_id: Text
    category: Text
    vcpu: int = Field(gt=0)
    memory_gb: Amount
    gpus: int = Field(ge=0)
    dbu_per_hour: Amount
    vm_usd_per_hour: Amount
    price_basis: Text
    price_check: Text
    as_of: Text
    source: Text


class ListPriceRow(_Row):
    """A row of `list_prices.csv`."""

    sku_name: Text
    usd_per_dbu: Amount
    tier: Literal["STANDARD", "PREMIUM", "ENTERPRISE"]
    as_of: Text
    region: Text
    source: Text


def shipped() -> Path:
    """The folder of the price files that come with the kit; in an installed wheel it is inside the package."""
    packed = Path(__file__).parents[1] / "prices"
    return packed if packed.is_dir() else Path(__file__).parents[3] / "params" / "prices"


def read(own_files: Sequence[str], merged: Merged, root: Path) -> tuple[PriceBook, list[Finding]]:
    """The prices of the user's own files, then of the shipped ones; and findings for wrong rows."""
    nodes: list[NodeType] = []
    prices: list[ListPrice] = []
    findings: list[Finding] = []
    for position, name in enumerate(own_files):
        if not (root / name).is_file():
            where = merged.where(("cost", "prices", position))
            findings.append(Finding(where, "cost.prices", f"there is no file '{root / name}'."))
    files = [(root / name, name) for name in own_files if (root / name).is_file()]
    for path, label in [*files, *((path, path.name) for path in sorted(shipped().glob("*.csv")))]:
        findings += _read_file(path, label, nodes, prices)
    return PriceBook(tuple(nodes), tuple(prices)), findings


def _read_file(path: Path, label: str, nodes: list[NodeType], prices: list[ListPrice]) -> list[Finding]:
    findings: list[Finding] = []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.DictReader(stream)
        columns = set(reader.fieldnames or ())
        model = NodeTypeRow if "node_type_id" in columns else ListPriceRow
        if columns != set(model.model_fields):
            kinds = " or ".join(", ".join(kind.model_fields) for kind in (NodeTypeRow, ListPriceRow))
            return [Finding(f"{label}:1", "", "its columns are those of no price file.", kinds)]
        for values in reader:
            try:
                row = model.model_validate(values)
            except ValidationError as error:
                findings += [_finding(f"{label}:{reader.line_num}", detail) for detail in error.errors()]
            else:
                if isinstance(row, NodeTypeRow):
                    nodes.append(NodeType(**row.model_dump()))
                else:
                    prices.append(ListPrice(**row.model_dump()))
    return findings


def _finding(where: str, detail: Any) -> Finding:
    column = ".".join(map(str, detail["loc"]))
    return Finding(where, column, f"{detail['input']!r}: {detail['msg'][0].lower()}{detail['msg'][1:]}.")


def terms(spec: CostSpec) -> PurchaseTerms:
    """The purchase terms of the section `cost`."""
    return PurchaseTerms(spec.cloud, spec.tier, spec.region, spec.discount, spec.photon_factor, spec.spot_factor)


def cluster(spec: ProfileSpec) -> Cluster:
    """The cluster that a profile describes."""
    workers = spec.num_workers or 0
    low, high = (spec.autoscale.min_workers, spec.autoscale.max_workers) if spec.autoscale else (workers, workers)
    attributes = spec.aws_attributes or spec.azure_attributes
    spot = attributes is not None and attributes.availability.startswith("SPOT")
    return Cluster(
        compute=spec.compute,
        node_type_id=spec.node_type_id,
        driver_node_type_id=spec.driver_node_type_id,
        min_workers=low,
        max_workers=high,
        on_demand_nodes=attributes.first_on_demand if attributes and spot else None,
        photon=spec.runtime_engine == "PHOTON",
        dbu_per_hour=spec.dbu_per_hour,
        startup_minutes=spec.startup_minutes,
        idle_minutes=spec.autotermination_minutes,
        custom_tags=dict(spec.custom_tags),
    )
