"""What compute costs: node types, list prices, clusters, and the hourly rate of a profile.

Money is `Decimal`, in US dollars. Figures of a cluster that autoscales are a `Range`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self


class Compute(StrEnum):
    """How Databricks bills a cluster."""

    JOBS = "jobs"  # created for a job, terminated after its last task
    ALL_PURPOSE = "all_purpose"  # runs until it was idle for its auto-termination time
    SERVERLESS = "serverless"  # no machines of your own: no start-up, no idle time


@dataclass(frozen=True)
class NodeType:
    """A machine type: DBU and US dollars an hour. A `price_check` other than `ok` says why the price is doubtful."""

    cloud: str
    node_type_id: str
    category: str
    vcpu: int
    memory_gb: Decimal
    gpus: int
    dbu_per_hour: Decimal
    vm_usd_per_hour: Decimal
    price_basis: str
    price_check: str
    as_of: str
    source: str


@dataclass(frozen=True)
class ListPrice:
    """US dollars for one DBU of a SKU; `as_of` and `source` say when and where the price was published."""

    cloud: str
    sku_name: str
    usd_per_dbu: Decimal
    tier: str
    as_of: str
    region: str
    source: str


@dataclass(frozen=True)
class PriceBook:
    """All known prices. Of several rows with the same name, the first one counts."""

    nodes: tuple[NodeType, ...] = ()
    prices: tuple[ListPrice, ...] = ()


@dataclass(frozen=True)
class PurchaseTerms:
    """The terms of a purchase: cloud, tier, region, factors, and the discount as a share of the price of a DBU."""

    cloud: str = "AWS"
    tier: str = "PREMIUM"
    region: str | None = None
    discount: Decimal = Decimal(0)
    photon_factor: Decimal = Decimal("2.0")
    spot_factor: Decimal = Decimal("0.4")


@dataclass(frozen=True)
class Market:
    """The price book, and the terms of the purchase."""

    book: PriceBook = PriceBook()
    terms: PurchaseTerms = PurchaseTerms()


@dataclass(frozen=True)
class Budget:
    """Limits in US dollars for one run, and for all runs of the pipeline in a calendar month (UTC); None: no limit."""

    max_usd_per_run: Decimal | None = None
    max_usd_per_month: Decimal | None = None

    def __bool__(self) -> bool:
        return self.max_usd_per_run is not None or self.max_usd_per_month is not None


@dataclass(frozen=True)
class Cluster:
    """The cluster that a profile describes. Without a `node_type_id`, and not serverless, it is this machine.

    The first `on_demand_nodes` nodes, the driver first, are on-demand, all others spot; None: no node is spot.
    `idle_minutes` is the auto-termination time.
    """

    compute: Compute = Compute.JOBS
    node_type_id: str | None = None
    driver_node_type_id: str | None = None
    min_workers: int = 0
    max_workers: int = 0
    on_demand_nodes: int | None = None
    photon: bool = False
    dbu_per_hour: Decimal | None = None
    startup_minutes: Decimal = Decimal(5)
    idle_minutes: int | None = None
    custom_tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The cluster that `Rate.to_json` wrote."""
        dbu_per_hour = value["dbu_per_hour"]
        parsed = {
            "compute": Compute(value["compute"]),
            "startup_minutes": Decimal(value["startup_minutes"]),
            "dbu_per_hour": None if dbu_per_hour is None else Decimal(dbu_per_hour),
        }
        return cls(**{**value, **parsed})


@dataclass(frozen=True)
class Range:
    """A figure between `low` and `high`; `likely` is the best estimate."""

    low: Decimal = Decimal(0)
    likely: Decimal = Decimal(0)
    high: Decimal = Decimal(0)

    @classmethod
    def exactly(cls, value: Decimal | int) -> Self:
        """The range that holds one value only."""
        return cls(Decimal(value), Decimal(value), Decimal(value))

    def __add__(self, addend: "Range") -> "Range":
        return Range(self.low + addend.low, self.likely + addend.likely, self.high + addend.high)

    def __mul__(self, factor: "Range | Decimal | int") -> "Range":
        by = factor if isinstance(factor, Range) else Range.exactly(factor)
        return Range(self.low * by.low, self.likely * by.likely, self.high * by.high)

    def quantize(self, step: Decimal) -> "Range":
        """All three figures rounded to the decimals of `step`."""
        return Range(self.low.quantize(step), self.likely.quantize(step), self.high.quantize(step))


ZERO = Range()


@dataclass(frozen=True)
class PriceItem:
    """One item of a rate: how many units (`DBU`, `HOUR`) one hour takes, and US dollars for a unit."""

    sku_name: str
    unit: str
    per_hour: Range
    usd_per_unit: Decimal
    as_of: str


@dataclass(frozen=True)
class NodeSize:
    """The size of a node: cores as its cloud counts them, and GiB of memory."""

    node_type_id: str
    vcpu: int
    memory_gb: Decimal
    gpus: int


@dataclass(frozen=True)
class Rate:
    """What a profile costs while it is up, and the assumptions of that estimate.

    `nodes` are the sizes of its node types, the driver's first; empty for serverless.
    """

    profile: str
    cloud: str
    cluster: Cluster
    items: tuple[PriceItem, ...]
    startup_seconds: Decimal
    idle_seconds: Decimal | None  # auto-termination time of all-purpose compute; None: it has none
    assumptions: tuple[str, ...] = ()
    nodes: tuple[NodeSize, ...] = ()

    @property
    def usd_per_hour(self) -> Range:
        """US dollars an hour: the sum of all items."""
        return sum((item.per_hour * item.usd_per_unit for item in self.items), ZERO)

    @property
    def shared(self) -> bool:
        """Whether stages of one profile share one cluster, and its start-up."""
        return self.cluster.compute is not Compute.SERVERLESS

    def to_json(self) -> dict[str, Any]:
        """Plain values; decimals are text, so that no digit is lost."""
        return _plain(asdict(self))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The rate that `to_json` wrote."""
        items = tuple(
            PriceItem(
                sku_name=item["sku_name"],
                unit=item["unit"],
                per_hour=Range(**{key: Decimal(text) for key, text in item["per_hour"].items()}),
                usd_per_unit=Decimal(item["usd_per_unit"]),
                as_of=item["as_of"],
            )
            for item in value["items"]
        )
        idle_seconds = value["idle_seconds"]
        return cls(
            profile=value["profile"],
            cloud=value["cloud"],
            cluster=Cluster.from_json(value["cluster"]),
            items=items,
            startup_seconds=Decimal(value["startup_seconds"]),
            idle_seconds=None if idle_seconds is None else Decimal(idle_seconds),
            assumptions=tuple(value["assumptions"]),
            nodes=tuple(
                NodeSize(**{**node, "memory_gb": Decimal(node["memory_gb"])}) for node in value.get("nodes", ())
            ),
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Decimal) else value
