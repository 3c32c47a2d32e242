"""What computing costs: node types, list prices, clusters, and what one costs an hour.

Money is `Decimal`, in US dollars. Where a cluster may grow, a figure is a `Range`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self


class Compute(StrEnum):
    """How Databricks bills a cluster."""

    JOBS = "jobs"  # made for a job, gone with its last task
    ALL_PURPOSE = "all_purpose"  # stays until it was idle for its auto-termination
    SERVERLESS = "serverless"  # no machines of one's own: nothing to start, nothing idle


@dataclass(frozen=True)
class NodeType:
    """A kind of machine: DBU and US dollars an hour. `price_check` other than `ok` is a doubt of the source."""

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
    """US dollars for one DBU of a SKU; `as_of` and `source` say where that was read."""

    cloud: str
    sku_name: str
    usd_per_dbu: Decimal
    tier: str
    as_of: str
    region: str
    source: str


@dataclass(frozen=True)
class PriceBook:
    """All prices that are known; the first row of a name counts."""

    nodes: tuple[NodeType, ...] = ()
    prices: tuple[ListPrice, ...] = ()


@dataclass(frozen=True)
class Terms:
    """Under which terms one buys: cloud, tier, region, discount (a share of the price of a DBU), factors."""

    cloud: str = "AWS"
    tier: str = "PREMIUM"
    region: str | None = None
    discount: Decimal = Decimal(0)
    photon_factor: Decimal = Decimal("2.0")
    spot_factor: Decimal = Decimal("0.4")


@dataclass(frozen=True)
class Market:
    """What can be bought, and under which terms."""

    book: PriceBook = PriceBook()
    terms: Terms = Terms()


@dataclass(frozen=True)
class Budget:
    """US dollars that one run, and all runs of the pipeline in a calendar month (UTC), may cost; None: any."""

    max_usd_per_run: Decimal | None = None
    max_usd_per_month: Decimal | None = None

    def __bool__(self) -> bool:
        return self.max_usd_per_run is not None or self.max_usd_per_month is not None


@dataclass(frozen=True)
class Cluster:
    """What a profile describes. Without `node_type_id`, and not serverless, it is this machine.

    `on_demand_nodes`, the driver first, are never spot; None: no node is. `idle_minutes` is the auto-termination.
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
        dbus = value["dbu_per_hour"]
        exact = {
            "compute": Compute(value["compute"]),
            "startup_minutes": Decimal(value["startup_minutes"]),
            "dbu_per_hour": None if dbus is None else Decimal(dbus),
        }
        return cls(**{**value, **exact})


@dataclass(frozen=True)
class Range:
    """A figure that is at least `low`, at most `high`, and taken to be `likely`."""

    low: Decimal = Decimal(0)
    likely: Decimal = Decimal(0)
    high: Decimal = Decimal(0)

    @classmethod
    def exactly(cls, value: Decimal | int) -> Self:
        return cls(Decimal(value), Decimal(value), Decimal(value))

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def __mul__(self, other: "Range | Decimal | int") -> "Range":
        by = other if isinstance(other, Range) else Range.exactly(other)
        return Range(self.low * by.low, self.likely * by.likely, self.high * by.high)

    def quantize(self, step: Decimal) -> "Range":
        return Range(self.low.quantize(step), self.likely.quantize(step), self.high.quantize(step))


NOTHING = Range()


@dataclass(frozen=True)
class Item:
    """One line of a bill: units (`DBU`, `HOUR`) that one hour takes, and US dollars for a unit."""

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
    """What a profile costs while it is up, and what its estimate rests on.

    `nodes` are the sizes of its nodes, the driver's first; none where it is serverless.
    """

    profile: str
    cloud: str
    cluster: Cluster
    items: tuple[Item, ...]
    startup_seconds: Decimal
    idle_seconds: Decimal | None  # of all-purpose compute: it stops by itself after so long
    assumptions: tuple[str, ...] = ()
    nodes: tuple[NodeSize, ...] = ()

    @property
    def usd_per_hour(self) -> Range:
        """All items together."""
        return sum((item.per_hour * item.usd_per_unit for item in self.items), NOTHING)

    @property
    def shared(self) -> bool:
        """Whether stages of one profile share one cluster, and its start-up."""
        return self.cluster.compute is not Compute.SERVERLESS

    def to_json(self) -> dict[str, Any]:
        """Plain values; decimals are text, so that none is lost."""
        return _texts(asdict(self))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        items = tuple(
            Item(
                sku_name=item["sku_name"],
                unit=item["unit"],
                per_hour=Range(**{key: Decimal(text) for key, text in item["per_hour"].items()}),
                usd_per_unit=Decimal(item["usd_per_unit"]),
                as_of=item["as_of"],
            )
            for item in value["items"]
        )
        idle = value["idle_seconds"]
        return cls(
            profile=value["profile"],
            cloud=value["cloud"],
            cluster=Cluster.from_json(value["cluster"]),
            items=items,
            startup_seconds=Decimal(value["startup_seconds"]),
            idle_seconds=None if idle is None else Decimal(idle),
            assumptions=tuple(value["assumptions"]),
            nodes=tuple(
                NodeSize(**{**node, "memory_gb": Decimal(node["memory_gb"])}) for node in value.get("nodes", ())
            ),
        )


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _texts(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(item) for item in value]
    return str(value) if isinstance(value, Decimal) else value
