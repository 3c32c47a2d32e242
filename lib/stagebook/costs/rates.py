"""The hourly rate of a profile, from the price book and the terms of the purchase."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from stagebook.errors import did_you_mean
from stagebook.model.pricing import (
    ZERO,
    Cluster,
    Compute,
    ListPrice,
    NodeSize,
    NodeType,
    PriceBook,
    PriceItem,
    PurchaseTerms,
    Range,
    Rate,
)

SKUS = {
    Compute.JOBS: "JOBS_COMPUTE",
    Compute.ALL_PURPOSE: "ALL_PURPOSE_COMPUTE",
    Compute.SERVERLESS: "JOBS_SERVERLESS_COMPUTE",
}


@dataclass(frozen=True)
class PricingProblem:
    """Why a profile has no price: the key to correct, what is wrong with it, and what is allowed."""

    key: str
    message: str
    allowed: str = ""


def pricing_problems(cluster: Cluster, terms: PurchaseTerms, book: PriceBook) -> Iterator[PricingProblem]:
    """Everything that keeps a profile from being priced; nothing where it is this machine."""
    if not _is_priced(cluster):
        return
    for key in ("node_type_id", "driver_node_type_id"):
        name = getattr(cluster, key)
        if name is not None and _node(book, terms, name) is None:
            yield _unknown_node(key, name, terms, book)
    if _list_price(cluster, terms, book) is None:
        skus = sorted({price.sku_name for price in book.prices if price.cloud == terms.cloud})
        region = f" in the region {terms.region}" if terms.region else ""
        message = f"there is no list price for {sku_name(cluster, terms)} on {terms.cloud}{region}."
        yield PricingProblem("compute", message, ", ".join(skus))


def rate(name: str, cluster: Cluster, terms: PurchaseTerms, book: PriceBook) -> Rate | None:
    """The rate of a profile, or None where it is this machine or has a pricing problem.

    An hour of classic compute takes `(driver + n·worker) DBU × Photon` of the SKU and the hours of its
    machines, spot ones at `spot_factor`; an hour of serverless takes `dbu_per_hour`, machines included.
    Source: the canonical estimate of lib/README.md, "What it costs".
    """
    price = _list_price(cluster, terms, book)
    if not _is_priced(cluster) or price is None or next(pricing_problems(cluster, terms, book), None):
        return None
    if cluster.compute is Compute.SERVERLESS:
        dbus = Range.exactly(cluster.dbu_per_hour or 0)
        items, nodes, assumptions = [], (), ["serverless: no machines, no start-up, no idle time"]
    else:
        driver, worker = _machines(cluster, terms, book)
        workers = _workers(cluster)
        photon = terms.photon_factor if cluster.photon else Decimal(1)
        dbus = (Range.exactly(driver.dbu_per_hour) + workers * worker.dbu_per_hour) * photon
        items = _machine_hours(cluster, terms, driver, worker)
        nodes = tuple(map(_size, dict.fromkeys((driver, worker) if cluster.max_workers else (driver,))))
        assumptions = list(_assumptions(cluster, terms, driver, worker))
    per_dbu = price.usd_per_dbu * (1 - terms.discount)
    assumptions.append(f"{price.sku_name}: {price.usd_per_dbu} USD a DBU ({price.as_of}; {price.source})")
    if terms.discount:
        assumptions.append(f"{terms.discount:.1%} off each DBU, as negotiated (cost.discount)")
    return Rate(
        profile=name,
        cloud=terms.cloud,
        cluster=cluster,
        items=(PriceItem(price.sku_name, "DBU", dbus, per_dbu, price.as_of), *items),
        startup_seconds=Decimal(0) if cluster.compute is Compute.SERVERLESS else cluster.startup_minutes * 60,
        idle_seconds=_idle_seconds(cluster),
        assumptions=tuple(assumptions),
        nodes=nodes,
    )


def sku_name(cluster: Cluster, terms: PurchaseTerms) -> str:
    """The SKU that the profile is billed as; that of serverless compute lacks its region, which follows it."""
    photon = "_(PHOTON)" if cluster.photon and cluster.compute is not Compute.SERVERLESS else ""
    return f"{terms.tier}_{SKUS[cluster.compute]}{photon}"


def _is_priced(cluster: Cluster) -> bool:
    return cluster.compute is Compute.SERVERLESS or cluster.node_type_id is not None


def _node(book: PriceBook, terms: PurchaseTerms, name: str) -> NodeType | None:
    return next((node for node in book.nodes if (node.cloud, node.node_type_id) == (terms.cloud, name)), None)


def _unknown_node(key: str, name: str, terms: PurchaseTerms, book: PriceBook) -> PricingProblem:
    node_types = sorted({node.node_type_id for node in book.nodes if node.cloud == terms.cloud})
    clouds = sorted({node.cloud for node in book.nodes if node.node_type_id == name})
    hint = f" {clouds[0]} has it: set cost.cloud." if clouds else did_you_mean(name, node_types)
    return PricingProblem(
        key,
        f"the price book has no node type '{name}' on {terms.cloud}.{hint} Or add a row in a file of cost.prices.",
        ", ".join(node_types),
    )


def _list_price(cluster: Cluster, terms: PurchaseTerms, book: PriceBook) -> ListPrice | None:
    sku = sku_name(cluster, terms)
    regional = cluster.compute is Compute.SERVERLESS
    for price in book.prices:
        is_sku = price.sku_name == sku or (regional and price.sku_name.startswith(f"{sku}_"))
        in_region = terms.region in (None, price.region) or not regional
        if price.cloud == terms.cloud and is_sku and in_region:
            return price
    return None


def _machines(cluster: Cluster, terms: PurchaseTerms, book: PriceBook) -> tuple[NodeType, NodeType]:
    worker = _node(book, terms, str(cluster.node_type_id))
    driver = _node(book, terms, cluster.driver_node_type_id or str(cluster.node_type_id))
    assert worker and driver, "pricing_problems() has checked both"
    return driver, worker


def _size(node: NodeType) -> NodeSize:
    return NodeSize(node.node_type_id, node.vcpu, node.memory_gb, node.gpus)


def _workers(cluster: Cluster) -> Range:
    """The number of workers; a cluster that autoscales likely has the mean of its bounds."""
    low, high = Decimal(cluster.min_workers), Decimal(cluster.max_workers)
    return Range(low, (low + high) / 2, high)


def _machine_hours(cluster: Cluster, terms: PurchaseTerms, driver: NodeType, worker: NodeType) -> list[PriceItem]:
    """The hours of machines: one item for each node type, on-demand and spot apart."""
    hours: dict[tuple[str, bool], Range] = {}
    workers, on_demand_nodes = _workers(cluster), cluster.on_demand_nodes

    def add(node: NodeType, spot: bool, count: Range) -> None:
        hours[node.node_type_id, spot] = hours.get((node.node_type_id, spot), ZERO) + count

    add(driver, on_demand_nodes == 0, Range.exactly(1))
    if on_demand_nodes is None:
        add(worker, False, workers)
    else:
        limit = Decimal(max(on_demand_nodes - 1, 0))
        on_demand = Range(*(min(count, limit) for count in (workers.low, workers.likely, workers.high)))
        add(worker, False, on_demand)
        add(worker, True, workers + on_demand * -1)
    machines = {driver.node_type_id: driver, worker.node_type_id: worker}
    return [_machine_item(machines[name], spot, count, terms) for (name, spot), count in hours.items() if count != ZERO]


def _machine_item(node: NodeType, spot: bool, hours: Range, terms: PurchaseTerms) -> PriceItem:
    price = node.vm_usd_per_hour * (terms.spot_factor if spot else 1)
    return PriceItem(f"VM_{node.node_type_id}" + ("_SPOT" if spot else ""), "HOUR", hours, price, node.as_of)


def _assumptions(cluster: Cluster, terms: PurchaseTerms, driver: NodeType, worker: NodeType) -> Iterator[str]:
    for node in dict.fromkeys((driver, worker)):
        doubt = "" if node.price_check == "ok" else f"; {node.price_check}"
        yield (
            f"{node.node_type_id}: {node.dbu_per_hour} DBU and {node.vm_usd_per_hour} USD an hour "
            f"({node.as_of}{doubt}; {node.price_basis}; {node.source})"
        )
    if cluster.min_workers != cluster.max_workers:
        yield f"{cluster.min_workers} to {cluster.max_workers} workers, likely halfway between"
    if cluster.on_demand_nodes is not None:
        yield f"spot machines at {terms.spot_factor} of their price (a guess: cost.spot_factor)"
    if cluster.photon:
        yield f"Photon takes {terms.photon_factor} times the DBU (measured by others: cost.photon_factor)"
    yield f"{cluster.startup_minutes} minutes until a cluster is up"


def _idle_seconds(cluster: Cluster) -> Decimal | None:
    if cluster.compute is not Compute.ALL_PURPOSE or not cluster.idle_minutes:
        return None
    return Decimal(cluster.idle_minutes * 60)
