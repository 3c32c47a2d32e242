"""`stagebook accept`: take the present result of a stage for current."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def accept(
    *stages: str,
    params: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    parameter: Annotated[tuple[str, ...], Parameter(name="-p", negative=())] = (),
    runs_dir: Path | None = None,
    warehouse: Path | None = None,
) -> int:
    """Take the newest results of these stages for current, so that the next run does not run them again.

    For changes that do not change a result, such as a renamed variable. What has gone since is made again all
    the same.

    Parameters
    ----------
    stages:
        Stages, as in `stagebook run --only`.
    params:
        Parameter file, as for `stagebook run`.
    parameter:
        One parameter, name=value, as for `stagebook run`.
    runs_dir:
        Folder of the run records.
    warehouse:
        Folder of tables, files and tracking data.
    """
    from stagebook.errors import ConfigError
    from stagebook.params.load import Flags
    from stagebook.run.display import Silent
    from stagebook.run.pipeline import Surface
    from stagebook.run.pipeline import accept as take
    from stagebook.run.request import RunRequest

    if not stages:
        raise ConfigError("accept: name the stages whose results are current, such as `stagebook accept train`.")
    flags = Flags(parameter, runs_dir=runs_dir, warehouse=warehouse)
    surface = Surface(Silent(), warn=lambda text: print(text, file=sys.stderr))
    print("\n".join(take(stages, RunRequest(params=params or ("dev.yaml",), flags=flags), surface)))
    return 0
