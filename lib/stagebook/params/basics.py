"""What the models of parameter files are made of."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_-]{0,99}$")
Name = Annotated[str, Field(pattern=NAME.pattern)]


class Strict(BaseModel):
    """Unknown keys are findings, values are never coerced, and nothing changes after parsing."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AutoscaleSpec(Strict):
    """How many workers a cluster may have."""

    min_workers: int = Field(ge=0, description="at least")
    max_workers: int = Field(ge=1, description="at most")

    @model_validator(mode="after")
    def _in_order(self) -> "AutoscaleSpec":
        if self.min_workers > self.max_workers:
            raise ValueError("`min_workers` is more than `max_workers`")
        return self
