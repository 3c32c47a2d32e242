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
# **Reads** `flights`, `weather` and `planes`. **Writes** `features`: one row per scheduled flight, with the label;
# only the months that are missing, or whose inputs have changed.

# %%
from flightdelay import facts, features, figures, months, schema
from stagebook import stage

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
late_after_min: int = 15  # minutes after schedule at arrival that count as late; only for the figure
rebuild: bool = False  # build all months again, although nothing has changed

# %% [markdown]
# ## Read what is known

# %%
flights = months.numbered(stage.read("flights", columns=features.READS["flights"]), "dep_date_local")
weather = months.numbered(stage.read("weather", columns=features.READS["weather"]), "date_local")
planes = stage.read("planes", columns=features.READS["planes"])

# %% [markdown]
# ## Which months
#
# The features of a month follow from its flights and those of the month before, its weather, the aircraft, and the
# code. **Only where one of these has changed** is the month built again.

# %%
parts = features.parts(
    flights=stage.fingerprints(flights, by="yyyymm"),
    weather=stage.fingerprints(weather, by="yyyymm"),
    planes=stage.fingerprint(planes),
)
stale = stage.stale(schema.FEATURES, parts, everything=rebuild)
months.table(stale.why)

# %% [markdown]
# ## Build
#
# Schedule, aircraft, weather in the hour of departure, and the recent delays of carrier, airport, route and
# aircraft: taken only from flights that **had landed before** the scheduled departure.

# %%
built = stage.cache(features.build(flights, weather, planes, months=stale.to_make))

# %% [markdown]
# **One row per scheduled flight** of these months: no join has lost or doubled one.

# %%
built_rows = stage.count(built)
stage.claim(built_rows == stage.count(months.only(flights, stale.to_make)), "one row of features per scheduled flight")
stage.claim(facts.repeated(built, schema.FEATURES.key) == 0, "the key is unique")
stage.head(built)

# %% [markdown]
# ## Write
#
# In one commit, which says what every month was made from. The months that it leaves alone count too: **the table
# has one row for each flight**.

# %%
stage.write(built, schema.FEATURES, stale=stale)
table = stage.read("features", columns=["origin_3h_delay_min", "arr_delay_min"], where=features.of_version())
rows = stage.count(table)
stage.claim(rows == stage.count(flights), "one row of features per scheduled flight, in the whole table")

# %% [markdown]
# An airport that runs late goes on running late: flights leave a delay to those that come after, so the late
# rate of the tenth with the **largest recent delay is at least twice** that of the smallest.

# %%
by_delay = figures.late_by_tenth(table, "origin_3h_delay_min", late_after_min=late_after_min)
stage.claim(by_delay["late_rate"].iloc[-1] >= 2 * by_delay["late_rate"].iloc[0], "recent delay tells of delay")
figures.late_rate_by(table, "origin_3h_delay_min", unit="min", late_after_min=late_after_min)

# %% [markdown]
# ## Hand on

# %%
stage.glue("rows", rows)
stage.glue("built_rows", built_rows)
stage.glue("built_months", stale.to_make)
stage.glue("features", list(schema.MODEL_FEATURES))
stage.glue("feature_version", features.version())
