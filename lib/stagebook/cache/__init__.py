"""The result cache: what a stage's result depends on, which earlier run has it, whether it still holds, and why not.

The planner and the executor ask `lookup.ResultCache`; `key` and `explain` are pure, `validity` reads logs and files.
"""
