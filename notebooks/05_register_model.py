# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Registration
#
# Which version of the model is this, and is it the champion now?
#
# **Reads** the fitted model, and a few rows of `features` as its input example. **Writes** a version in the model
# registry: `candidate` always, `champion` only if the gate passed.

# %%
from flightdelay import model
from IPython.display import Markdown
from stagebook import stage

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
model_file: str = ""  # reference to the fitted model, as `train` glued it; empty means the newest
metrics: dict = {}  # figures on the hold-out, as `validate` glued them
gate_passed: bool = False  # the gate's verdict, as `validate` glued it

# %% [markdown]
# ## Register
#
# A run registers one version, however often this stage runs.

# %%
fitted = stage.load_model(model_file, trusted=model.TRUSTED_TYPES)
columns = model.features_of(fitted)
rows = stage.head(stage.read("features", columns=columns, where=[("month", "=", 12)]))
version = stage.register_model(
    fitted,
    example=model.example(rows, columns),
    metrics=metrics,
    trusted=model.TRUSTED_TYPES,
)
version

# %% [markdown]
# ## Promote

# %%
promoted = stage.promote(version.version, gate_passed=gate_passed)
stage.glue("model_name", version.name)
stage.glue("model_version", version.version)
stage.glue("promoted", promoted)

# %% [markdown]
# ## Conclusion
#
# **A version is the champion if its gate passed, and a candidate otherwise.**

# %%
conclusion = f"version {version.version} of {version.name} is {'the champion' if promoted else 'a candidate only'}"
stage.check(promoted == gate_passed, conclusion)
Markdown(f"**{conclusion}**")
