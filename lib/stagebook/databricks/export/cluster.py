"""Turns a workload profile into the definition of a job cluster."""

from typing import Any

from stagebook.model.deployment import ClusterProfile, Deployment

SINGLE_NODE_CONF = {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"}
SINGLE_NODE_TAGS = {"ResourceClass": "SingleNode"}

_SPOT: dict[str, dict[str, Any]] = {
    "aws": {"availability": "SPOT_WITH_FALLBACK", "first_on_demand": 1, "spot_bid_price_percent": 100},
    "azure": {"availability": "SPOT_WITH_FALLBACK_AZURE", "first_on_demand": 1, "spot_bid_max_price": -1},
    "gcp": {"availability": "PREEMPTIBLE_WITH_FALLBACK_GCP", "first_on_demand": 1},
}
_ON_DEMAND: dict[str, dict[str, Any]] = {
    "aws": {"availability": "ON_DEMAND"},
    "azure": {"availability": "ON_DEMAND_AZURE"},
    "gcp": {"availability": "ON_DEMAND_GCP"},
}


def new_cluster(name: str, profile: ClusterProfile, deployment: Deployment) -> dict[str, Any]:
    """The definition of an ephemeral cluster for the profile `name`.

    The driver is on demand even if the workers are spot instances, and so is a single node, which is all driver.
    Photon is off unless the profile asks for it.
    """
    cluster: dict[str, Any] = {"spark_version": deployment.spark_version}
    if profile.node_type_id:
        cluster["node_type_id"] = profile.node_type_id
    if profile.driver_node_type_id:
        cluster["driver_node_type_id"] = profile.driver_node_type_id
    if isinstance(profile.workers, tuple):
        min_workers, max_workers = profile.workers
        cluster["autoscale"] = {"min_workers": min_workers, "max_workers": max_workers}
    else:
        cluster["num_workers"] = profile.workers
    cluster["runtime_engine"] = "PHOTON" if profile.photon else "STANDARD"
    cluster["data_security_mode"] = deployment.data_security_mode
    if profile.single_node:
        cluster["spark_conf"] = dict(SINGLE_NODE_CONF)
    tags = {"profile": name} if deployment.attribution else {}
    tags |= SINGLE_NODE_TAGS if profile.single_node else {}
    if tags:
        cluster["custom_tags"] = tags
    spot_workers = profile.spot and not profile.single_node
    cluster[f"{deployment.cloud}_attributes"] = dict((_SPOT if spot_workers else _ON_DEMAND)[deployment.cloud])
    return cluster
