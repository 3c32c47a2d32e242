"""A Databricks job as a workspace would run it, on one machine: for tests of what `stagebook export` writes.

It reads the exported bundle and never the pipeline file, so that what is tested is what would be deployed.

- `bundle`: the files of a bundle for a target → jobs
- `references`: parameters and dynamic value references, strings only
- `rules`: what a task's upstream tasks mean for it, conditions, the job's own result
- `schedule`: tasks in order, with conditions, loops and retries; who executes a notebook is given
- `workspace`: notebooks in processes of their own, `/Volumes` and the model registry in a folder
- `task_process`: one of these processes, with stand-ins for what Databricks puts into a notebook
"""
