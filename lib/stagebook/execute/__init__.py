"""Executing stages: one worker process per attempt, papermill inside it, truth about how it ended.

The runner's side is `run_all` → `attempts` → `supervise`; the worker's side is `worker` → `engine`.
"""
