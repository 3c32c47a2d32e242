"""The kernel host for a run: started, or told what to import next, while the run itself is being started."""

import os
from collections.abc import Sequence

from stagebook import dag
from stagebook.execute.host import preload
from stagebook.execute.host.client import Host, NoHost
from stagebook.model.pipeline import Pipeline
from stagebook.notebook.outline import outline


def prepare(pipeline: Pipeline, stages: Sequence[str]) -> Host | None:
    """The host for these stages, which holds nobody up; where no kernel is to be forked, one that is there, or None."""
    order = dag.order({name: stage.depends_on for name, stage in pipeline.stages.items()})
    warm = [pipeline.stages[name] for name in order if name in stages and pipeline.stages[name].kernel == "auto"]
    if not warm:
        return Host.there(dict(os.environ))
    outlines = [outline(path) for path in dict.fromkeys(stage.notebook for stage in warm)]
    try:
        return Host.of(dict(os.environ), [*preload.modules(outlines), *preload.CLERK])
    except NoHost:
        return None
