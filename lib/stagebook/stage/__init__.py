"""A notebook's entrance to its run: tables, scraps, files, models and checks.

    from stagebook import stage

    flights = stage.read("flights", columns=["carrier", "arr_delay_min"])
    stage.glue("rows", stage.count(flights))

The same calls work in JupyterLab with nothing set up (newest table versions, `params/dev.yaml`), under
the runner (pinned versions, one commit per run and stage), and on Databricks (widgets, task values, three-level
names, volumes).
"""

from stagebook.stage.ending import end
from stagebook.stage.files import load_model, save_file, save_model
from stagebook.stage.inputs import parameter, secret
from stagebook.stage.models import champion, champion_version, evaluate_gate, promote, register_model
from stagebook.stage.partitions import build_partitions
from stagebook.stage.scraps import check, glue
from stagebook.stage.tables import cache, count, from_local, head, join, read, to_pandas, write

__all__ = [
    "build_partitions",
    "cache",
    "champion",
    "champion_version",
    "check",
    "count",
    "end",
    "evaluate_gate",
    "from_local",
    "glue",
    "head",
    "join",
    "load_model",
    "parameter",
    "promote",
    "read",
    "register_model",
    "save_file",
    "save_model",
    "secret",
    "to_pandas",
    "write",
]
