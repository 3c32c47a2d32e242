"""The runner's entrance: from a request to a finished record, report, tracking and notices."""
