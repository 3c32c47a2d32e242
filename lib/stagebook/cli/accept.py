"""`stagebook accept`: take the present result of a stage for current."""

from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from stagebook.cli.options import DEFAULT_PARAMS, ProjectOptions, quiet_environment


def accept(
    *stages: str,
    options: ProjectOptions = ProjectOptions(),
    parameter: Annotated[tuple[str, ...], Parameter(name="-p", negative=(), show_default=False)] = (),
) -> int:
    """Take the newest results of these stages for current, so that the next run does not run them again.

    For changes that do not change a result, such as a renamed variable. A result whose tables or files are gone is
    made again all the same.

    Parameters
    ----------
    stages:
        Stages, as in `stagebook run --only`.
    parameter:
        One parameter, name=value, as for `stagebook run`.
    """
    from stagebook.config.request import RunRequest
    from stagebook.errors import ConfigError
    from stagebook.runner.prepare import accept as accept_results

    if not stages:
        raise ConfigError("accept: name the stages whose results are current, such as `stagebook accept train`.")
    flags = replace(options.flags, parameters=parameter)
    request = RunRequest(params=options.params or (DEFAULT_PARAMS,), flags=flags)
    print("\n".join(accept_results(stages, request, quiet_environment())))
    return 0
