"""The runner's entrance: from a request to a finished record, report, tracking and notices.

`pipeline.run_pipeline` is the main path; the command line, sweeps and the queue call it, notebooks never do.
"""
