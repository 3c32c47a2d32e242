"""MLflow, behind three doors: its database, what a run tells it, and the model registry."""
