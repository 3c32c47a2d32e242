"""Opening an engine by its name, and choosing one: calibration, this machine's facts, and the decision between them.

Called by the planner, the executor, the notebook API (`stage`) and `calibrate`.
"""
