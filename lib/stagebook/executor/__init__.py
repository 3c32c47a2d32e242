"""Executing the stages of a run: one worker process per attempt, with papermill and a kernel of its own.

The runner calls `run_all`, which goes through `attempts` to `supervise`; in the worker process `worker` uses
`papermill_engine`.
"""
