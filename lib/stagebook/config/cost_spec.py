"""The models of what computing costs: workload profiles, prices and the budget."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from stagebook.config.structure import FilePath, Strict
from stagebook.model.pricing import Compute


def _exact(value: Any) -> Any:
    """A number of a parameter file as the decimal number that was written."""
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


Exact = Annotated[Decimal, BeforeValidator(_exact, json_schema_input_type=float)]


class AutoscaleSpec(Strict):
    """How many workers a cluster may have."""

    min_workers: int = Field(ge=0, description="The lowest number of workers.", examples=[1])
    max_workers: int = Field(ge=1, description="The highest number of workers.", examples=[4])

    @model_validator(mode="after")
    def _in_order(self) -> "AutoscaleSpec":
        if self.min_workers > self.max_workers:
            raise ValueError("`min_workers` is more than `max_workers`")
        return self


class AwsSpec(Strict):
    """Which machines of a cluster may be spot machines, on AWS."""

    availability: Literal["ON_DEMAND", "SPOT", "SPOT_WITH_FALLBACK"] = Field(
        default="ON_DEMAND",
        description="Whether machines are spot machines, which cost `cost.spot_factor` of their price.",
        examples=["SPOT_WITH_FALLBACK"],
    )
    first_on_demand: int = Field(
        default=1, ge=0, description="How many nodes, the driver first, are not spot machines.", examples=[2]
    )


class AzureSpec(Strict):
    """Which machines of a cluster may be spot machines, on Azure."""

    availability: Literal["ON_DEMAND_AZURE", "SPOT_AZURE", "SPOT_WITH_FALLBACK_AZURE"] = Field(
        default="ON_DEMAND_AZURE",
        description="Whether machines are spot machines, which cost `cost.spot_factor` of their price.",
        examples=["SPOT_WITH_FALLBACK_AZURE"],
    )
    first_on_demand: int = Field(
        default=1, ge=0, description="How many nodes, the driver first, are not spot machines.", examples=[2]
    )


class ProfileSpec(Strict):
    """A workload profile: the cluster that a stage would run on."""

    node_type_id: str | None = Field(
        default=None,
        description="The node type of the workers. Without one, the profile is this machine and costs nothing.",
        examples=["r5.4xlarge"],
    )
    driver_node_type_id: str | None = Field(
        default=None, description="The node type of the driver. Default: `node_type_id`.", examples=["m5.large"]
    )
    num_workers: int | None = Field(
        default=None, ge=0, description="How many workers the cluster has; 0 (default) is a single node.", examples=[4]
    )
    autoscale: AutoscaleSpec | None = Field(
        default=None,
        description="The lowest and highest number of workers, instead of `num_workers`.",
        examples=[{"min_workers": 1, "max_workers": 4}],
    )
    aws_attributes: AwsSpec | None = Field(
        default=None,
        description="Which machines are spot machines, on AWS. Default: none.",
        examples=[{"availability": "SPOT_WITH_FALLBACK", "first_on_demand": 1}],
    )
    azure_attributes: AzureSpec | None = Field(
        default=None,
        description="Which machines are spot machines, on Azure. Default: none.",
        examples=[{"availability": "SPOT_WITH_FALLBACK_AZURE", "first_on_demand": 1}],
    )
    runtime_engine: Literal["STANDARD", "PHOTON"] = Field(
        default="STANDARD",
        description="`PHOTON` uses the Photon engine, at `cost.photon_factor` times the DBU.",
        examples=["PHOTON"],
    )
    compute: Compute = Field(
        default=Compute.JOBS,
        strict=False,
        description="The kind of compute, by which it is billed.",
        examples=["serverless"],
    )
    dbu_per_hour: Exact | None = Field(
        default=None, gt=0, description="The DBU an hour that serverless compute is assumed to use.", examples=[4]
    )
    startup_minutes: Exact = Field(
        default=Decimal(5),
        ge=0,
        description="Minutes until a cluster is up; serverless compute has none.",
        examples=[3.5],
    )
    autotermination_minutes: int | None = Field(
        default=None,
        ge=0,
        description="Idle minutes until the cluster stops by itself; also those of the Spark server on this machine.",
        examples=[10],
    )
    custom_tags: dict[str, str] = Field(
        default_factory=dict,
        description="Tags of the cluster, by which costs can be grouped.",
        examples=[{"team": "operations"}],
    )
    driver_memory_gb: float | None = Field(
        default=None,
        gt=0,
        description="The heap of the Spark server on this machine, in GB. Default: a third of the machine's memory.",
        examples=[8],
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "ProfileSpec":
        if self.num_workers is not None and self.autoscale is not None:
            raise ValueError("a profile has either `num_workers` or `autoscale`; set the other one to null")
        if self.aws_attributes is not None and self.azure_attributes is not None:
            raise ValueError("a profile has either `aws_attributes` or `azure_attributes`")
        if self.compute is Compute.SERVERLESS and (self.node_type_id is not None or self.dbu_per_hour is None):
            raise ValueError("serverless compute has `dbu_per_hour` and no `node_type_id`")
        return self


class CostSpec(Strict):
    """Where computing is bought, and at which prices. Sources of the factors: lib/README.md."""

    cloud: Literal["AWS", "AZURE"] = Field(
        default="AWS", description="The cloud whose machines are priced.", examples=["AZURE"]
    )
    tier: Literal["STANDARD", "PREMIUM", "ENTERPRISE"] = Field(
        default="PREMIUM", description="The pricing tier of the workspace.", examples=["ENTERPRISE"]
    )
    region: str | None = Field(
        default=None,
        description="The region of serverless prices. Default: the first region in the price list.",
        examples=["us-east-1"],
    )
    prices: list[FilePath] = Field(
        default_factory=list,
        description="CSV files with your own prices, with the columns of `params/prices/*.csv`. They win over those.",
        examples=[["prices/contract.csv"]],
    )
    discount: Exact = Field(
        default=Decimal(0), ge=0, lt=1, description="The negotiated share off the price of a DBU.", examples=[0.1]
    )
    photon_factor: Exact = Field(
        default=Decimal("2.0"), ge=1, description="How many times the DBU a cluster uses with Photon.", examples=[2.9]
    )
    spot_factor: Exact = Field(
        default=Decimal("0.4"),
        gt=0,
        le=1,
        description="The price of a spot machine as a share of the full price.",
        examples=[0.3],
    )


class BudgetSpec(Strict):
    """What the pipeline may cost, in US dollars; a run that is expected to exceed it is not started."""

    max_usd_per_run: Exact | None = Field(
        default=None,
        ge=0,
        description="The highest cost of one run in US dollars, resumptions included. `--max-cost` replaces it.",
        examples=[5],
    )
    max_usd_per_month: Exact | None = Field(
        default=None,
        ge=0,
        description="The highest cost in US dollars of all runs of the pipeline in this `runs_dir` in one calendar"
        " month, UTC.",
        examples=[200],
    )
