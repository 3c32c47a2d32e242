"""From a checked pipeline to the files of a Declarative Automation Bundle, each built by one module.

`bundle.files` is the entrance, called by `stagebook databricks export`; the importer derives jobs by it too.
"""
