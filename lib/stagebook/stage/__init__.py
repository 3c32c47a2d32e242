"""A notebook's entrance to its run: tables, scraps, files, models and claims.

    from stagebook import stage

    flights = stage.read("flights", columns=["carrier", "arr_delay_min"])
    stage.glue("rows", len(flights))

The same calls work in JupyterLab with nothing set up (newest table versions, `params/dev.yaml`), under
the runner (pinned versions, one commit per run and stage), and on Databricks (widgets, task values, three-level
names, volumes).
"""

from stagebook.stage.files import load_saved_model, save_file, save_model
from stagebook.stage.given import parameter, secret
from stagebook.stage.models import champion, champion_version, judge, promote, register_model
from stagebook.stage.scraps import claim, glue, glue_gate
from stagebook.stage.tables import (
    cache,
    count,
    fingerprint,
    fingerprints,
    frame,
    head,
    join,
    read,
    stale,
    to_pandas,
    write,
)

__all__ = [
    "cache",
    "champion",
    "champion_version",
    "claim",
    "count",
    "fingerprint",
    "fingerprints",
    "frame",
    "glue",
    "glue_gate",
    "head",
    "join",
    "judge",
    "load_saved_model",
    "parameter",
    "promote",
    "read",
    "register_model",
    "save_file",
    "save_model",
    "secret",
    "stale",
    "to_pandas",
    "write",
]
