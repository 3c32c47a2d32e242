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
# What is known of a flight before it is scheduled to leave, and does it say anything about delay?
#
# **Reads** `flights`, `weather` and `planes`, and `airlines` for their names. **Writes** `features`: one row per
# scheduled flight, with the label; only the months that are missing, or whose inputs or code have changed.

# %%
from flightdelay import facts, features, figures, schema
from IPython.display import Markdown
from stagebook import stage

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
late_after_min: int = 15  # minutes after schedule at arrival that count as late; only for the figures
rebuild: bool = False  # build all months again, although nothing has changed

# %% [markdown]
# ## Build
#
# Schedule, aircraft, weather in the hour of departure, and the recent delays of carrier, airport, route and
# aircraft: taken only from flights that **had landed before** the scheduled departure. A month is built from its
# flights and those of the month before, its weather, and all aircraft (`features.SOURCES`).

# %%
build = stage.build_partitions(
    schema.FEATURES, features.build, by="dep_month", sources=features.SOURCES, rebuild=rebuild
)
build

# %% [markdown]
# The months that were not built count too: **the table has one row for each scheduled flight**. No join has lost or
# doubled one.

# %%
flights = stage.read("flights", columns=["flight"])
columns = [*schema.FLIGHT_KEY, "dep_hour_local", "origin_3h_delay_min", "arr_delay_min"]
table = stage.cache(stage.read("features", columns=columns))
rows = stage.count(table)
stage.check(rows == stage.count(flights), "the table has one row for each scheduled flight")
stage.check(facts.repeated(table, schema.FEATURES.key) == 0, "no flight is in the table twice")
stage.head(table)

# %% [markdown]
# ## The label
#
# Flights that never arrived have no delay. Of the others, **late ones are the exception**: calling all of them punctual
# would be right most of the time, so the share of right answers is no measure of a model.

# %%
delays = facts.delay_counts(table)
late_share = facts.late_share(delays, late_after_min=late_after_min)
claim = f"late is the exception: {late_share:.0%} of the flights arrived {late_after_min} min or more behind schedule"
stage.check(0 < late_share < 0.5, claim)
figures.delays(delays, late_after_min=late_after_min, claim=claim)

# %% [markdown]
# ## What is known long before: the schedule
#
# An aircraft takes its delay along to its next flight, so delays pile up over the day: the hour with the
# **most late flights comes after the hour with the fewest**.

# %%
by_hour = facts.lateness_by(table, "dep_hour_local", late_after_min=late_after_min)
best, worst = facts.least_and_most_late(by_hour)
claim = (
    f"delays pile up over the day: {best['late_rate']:.0%} of the flights at {best['value']}:00 arrive late, "
    f"{worst['late_rate']:.0%} of those at {worst['value']}:00"
)
stage.check(best["value"] < worst["value"], claim)
figures.lateness_by_hour(by_hour, claim=claim)

# %% [markdown]
# Airlines differ **by more than chance**: of those with a hundredth of the flights or more, the 95 % intervals of the
# most and the least punctual one do not overlap.

# %%
by_carrier = facts.lateness_by(table, "carrier", late_after_min=late_after_min)
names = stage.to_pandas(stage.read("airlines")).set_index("carrier")["name"].to_dict()
best, worst = facts.least_and_most_late(by_carrier)
claim = (
    f"the larger airlines differ: {best['late_rate']:.0%} of the flights of {names[best['value']]} arrive late, "
    f"{worst['late_rate']:.0%} of those of {names[worst['value']]}"
)
stage.check(best["high"] < worst["low"], claim)
figures.lateness_by_carrier(by_carrier, names, claim=claim)

# %% [markdown]
# ## What is known just before: recent delays
#
# An airport that runs late goes on running late: the late rate of the tenth of the flights with the **largest recent
# delay is at least twice** that of the tenth with the smallest.

# %%
by_delay = facts.late_by_tenth(table, "origin_3h_delay_min", late_after_min=late_after_min)
lowest, highest = by_delay["late_rate"].iloc[0], by_delay["late_rate"].iloc[-1]
claim = (
    f"an airport that runs late goes on running late: {lowest:.0%} of the flights are late after small delays, "
    f"{highest:.0%} after large ones"
)
stage.check(highest >= 2 * lowest, claim)
figures.late_rate_by_tenth(by_delay, xlabel="mean delay of its flights that landed in the last 3 h (min)", claim=claim)

# %% [markdown]
# ## Hand on

# %%
stage.glue("rows", rows)
stage.glue("built_rows", build.built_rows)
stage.glue("built_months", build.built)
stage.glue("features", list(schema.MODEL_FEATURES))

# %% [markdown]
# ## Conclusion
#
# **Recent delays say something about delay before a flight leaves.** The model shows how much can be said from all
# features together.

# %%
conclusion = (
    f"the table has what was known before departure for all {rows:,} flights, and that says something about delay: "
    f"with the recent delay at the airport alone, the late rate goes from {lowest:.0%} to {highest:.0%}"
)
stage.check(lowest < late_share < highest, conclusion)
Markdown(f"**{conclusion}**")
