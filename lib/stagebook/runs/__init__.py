"""What a run leaves on disk: its journal, the record folded from it, its folder and lock, and the history of runs.

The runner writes here through `recorder.RunRecorder`; everybody else reads.
"""
