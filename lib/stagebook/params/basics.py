"""What the models of parameter files are made of."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_-]{0,99}$")
Name = Annotated[str, Field(pattern=NAME.pattern)]


class Strict(BaseModel):
    """Unknown keys are findings, values are never coerced, and nothing changes after parsing."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AutoscaleSpec(Strict):
    """How many workers a cluster may have."""

    min_workers: int = Field(ge=0, description="at least")
    max_workers: int = Field(ge=1, description="at most")
