"""Runs a Databricks job on one machine as a workspace would: for tests of what `stagebook databricks export` writes.

It reads the exported bundle and never the pipeline file, so that tests run what would be deployed.

- `bundle`: the files of a bundle for a target → jobs
- `references`: parameters and dynamic value references, strings only
- `rules`: when a task starts, which way a condition goes, and how a job ends
- `schedule`: tasks in order, with conditions, loops and retries; a `Runner` executes the notebooks
- `workspace`: the `Runner` with a process per notebook; `/Volumes` and the model registry are in a folder
- `task_process`: one of these processes, with the dbutils shim
"""
