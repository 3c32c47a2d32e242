"""`stagebook calibrate`: measure this machine, so that `engine: auto` chooses for it."""

import json as jsonlib
import sys

from stagebook.cli.options import JsonFlag, ParamsOptions


def calibrate(
    *,
    options: ParamsOptions = ParamsOptions(),
    sizes: str = "0.1,1,3",
    json: JsonFlag = False,
) -> int:
    """Measure each kind of work on each engine over sizes, and keep the result for this machine.

    Takes about five minutes on two cores. Until then, `engine: auto` uses figures that come with the kit.

    Parameters
    ----------
    sizes:
        Millions of rows to measure with, rising, comma-separated.
    json:
        Print the calibration on stdout, everything else on stderr.
    """
    from stagebook import atomic
    from stagebook.calibrate.measure import calibrate as measure
    from stagebook.engines.facts import calibration_file
    from stagebook.errors import ConfigError

    try:
        rows = sorted({int(float(size) * 1_000_000) for size in sizes.split(",")})
    except ValueError:
        raise ConfigError(f"--sizes takes millions of rows such as 0.1,1,3, not '{sizes}'.") from None
    calibration = measure(options.load().spark, sizes=rows, report=lambda text: print(text, file=sys.stderr))
    path = calibration_file()
    atomic.write_json(path, calibration.to_json())
    print(jsonlib.dumps(calibration.to_json()) if json else f"written to {path}; `engine: auto` uses it from now on")
    return 0
