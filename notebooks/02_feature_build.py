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
# # Features
#
# What is known of a flight before it is scheduled to leave?
#
# **Reads** `flights`, `weather` and `planes`. **Writes** `features`: one row per scheduled flight, with the label.

# %%
from flightdelay import facts, features, figures, schema
from stagebook import stage

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
late_after_min: int = 15  # minutes after schedule at arrival that count as late; only for the figure

# %% [markdown]
# ## Read what is known

# %%
flights = stage.read("flights")
weather = stage.read("weather")
planes = stage.read("planes")

# %% [markdown]
# ## Build
#
# Schedule, aircraft, weather in the hour of departure, and the recent delays of carrier, airport, route and
# aircraft: taken only from flights that **had landed before** the scheduled departure.

# %%
built = stage.cache(features.build(flights, weather, planes))

# %% [markdown]
# **One row per scheduled flight**: no join has lost or doubled one.

# %%
stage.claim(stage.count(built) == stage.count(flights), "one row of features per scheduled flight")
stage.claim(facts.repeated(built, schema.FLIGHT_KEY) == 0, "the key is unique")
stage.head(built)

# %% [markdown]
# An airport that runs late goes on running late: flights leave a delay to those that come after, so the late
# rate of the tenth with the **largest recent delay is at least twice** that of the smallest.

# %%
by_delay = figures.late_by_tenth(built, "origin_3h_delay_min", late_after_min=late_after_min)
stage.claim(by_delay["late_rate"].iloc[-1] >= 2 * by_delay["late_rate"].iloc[0], "recent delay tells of delay")
figures.late_rate_by(built, "origin_3h_delay_min", unit="min", late_after_min=late_after_min)

# %% [markdown]
# ## Write

# %%
commit = stage.write(built, schema.FEATURES)
stage.glue("rows", commit.rows)
stage.glue("features", list(schema.MODEL_FEATURES))
