"""`stagebook calibrate`: measure this machine, so that `engine: auto` chooses for it and not for another."""

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def calibrate(
    *,
    params: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    sizes: Annotated[str, Parameter()] = "0.1,1,3",
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Measure each kind of work on each engine over sizes, and keep the result for this machine.

    Takes about five minutes on two cores. Until then, `engine: auto` stands on figures that come with the kit.

    Parameters
    ----------
    params:
        Parameter file that says where Spark computes (default: dev.yaml).
    sizes:
        Millions of rows to measure with, rising, comma-separated.
    json:
        Print the calibration on stdout, everything else on stderr.
    """
    from stagebook.calibrate.measure import calibrate as measure
    from stagebook.cli.places import pipeline
    from stagebook.errors import ConfigError
    from stagebook.execute.choosing import calibration_file
    from stagebook.storage import atomic

    try:
        rows = sorted({int(float(size) * 1_000_000) for size in sizes.split(",")})
    except ValueError:
        raise ConfigError(f"--sizes takes millions of rows such as 0.1,1,3, not '{sizes}'.") from None
    spark = pipeline(params, None, None).spark
    found = measure(spark, sizes=rows, tell=lambda text: print(text, file=sys.stderr))
    path: Path = calibration_file()
    atomic.write_json(path, found.to_json())
    print(jsonlib.dumps(found.to_json()) if json else f"kept in {path}; `engine: auto` uses it from now on")
    return 0
