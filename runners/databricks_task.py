# Databricks notebook source
# MAGIC %md
# MAGIC # One stage through papermill
# MAGIC
# MAGIC The job says by widgets which notebook, with which parameters. It runs in this process, is kept executed on
# MAGIC the volume, and what it glued becomes task values.

# COMMAND ----------

from stagebook.stage import papermill_task

print(papermill_task.run())
