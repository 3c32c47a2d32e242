"""Ending a stage before its last cell."""

import os
from typing import NoReturn

from stagebook.errors import StageEnd
from stagebook.model.context import VARIABLE
from stagebook.stage.databricks import databricks_notebook

executed_by_us = False
"""Whether the kit executes the cells of this notebook in this process, as it does for a task on Databricks."""


def end(reason: str) -> NoReturn:
    """End the stage here, successfully: its remaining cells do not run, and stages that need its result are skipped.

    Tables that the stage declares need not have been written. In JupyterLab "Run all" stops here; on Databricks it is
    `dbutils.notebook.exit(reason)`, after which tasks downstream run.

    Args:
        reason: why there is nothing more to do.
    Example:
        >>> stage.end("nothing today")
        Traceback (most recent call last):
        stagebook.errors.StageEnd: nothing today
    """
    notebook = databricks_notebook()
    if notebook is not None and VARIABLE not in os.environ and not executed_by_us:
        notebook.exit(str(reason))
    raise StageEnd(str(reason))
