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
# # Deployment
#
# Which flights of the newest month will arrive late, according to the champion?
#
# **Reads** the champion from the registry, `features` and `holdout_scores`. **Writes** `predictions` (once per model
# version and month), `thresholds`, the model card and the consumer's schema.

# %%
from flightdelay import card, evaluate, figures, model, schema, serve
from IPython.display import Markdown
from stagebook import stage

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
month: str = "2013-12"  # month to score, by local day of departure
late_after_min: int = 15  # minutes after schedule at arrival that count as late; for the model card

# %% [markdown]
# ## Score
#
# The champion comes from the registry, into a process that has never seen it being trained.

# %%
champion = stage.champion(trusted=model.TRUSTED_TYPES)
stage.check(champion is not None, "there is a champion")
version = stage.champion_version()
flights = stage.to_pandas(stage.read("features", where=serve.month_filter(month)))
predictions = serve.predictions(champion, flights, model_version=version, month=month)
predictions.head()

# %% [markdown]
# Scores **equal those of the training process**, to the last bit that matters.

# %%
scored = stage.to_pandas(stage.read("holdout_scores"))
shared, gap = serve.largest_gap(predictions, scored)
stage.check(shared > 0, "the hold-out reaches into this month")
stage.check(gap <= 1e-12, "scores equal those of the training process")
shared, gap

# %%
stage.write(
    predictions,
    schema.PREDICTIONS,
    replace=[("model_version", "=", version), ("month", "=", month)],
)
stage.glue("scored_rows", len(predictions))

# %% [markdown]
# ## What a consumer needs
#
# What flagging from a threshold on brings, the model card, and the columns of the table. **A higher threshold flags
# fewer flights, and fewer of the late ones**: which one is right depends on what a false alarm costs the consumer.

# %%
table = serve.threshold_table(scored["late"], scored["score"], model_version=version)
stage.write(table, schema.THRESHOLDS, replace=[("model_version", "=", version)])
claim = "a higher threshold flags fewer flights, and fewer of the late ones"
stage.check(table["flagged_share"].is_monotonic_decreasing and table["recall"].is_monotonic_decreasing, claim)
figures.thresholds(table, claim=claim)

# %%
page = card.model_card(
    name="flight_delay",
    model_version=version,
    month=month,
    features=model.features_of(champion),
    metrics=evaluate.metrics(scored["late"], scored["score"]),
    baseline=evaluate.metrics(scored["late"], scored["baseline_score"]),
    slices=evaluate.slice_metrics(scored, columns=("origin",)),
    thresholds=table,
    late_after_min=late_after_min,
    holdout=(scored["dep_date_local"].min(), scored["dep_date_local"].max(), len(scored)),
)
stage.glue("model_card", stage.save_file("model_card.md", page))
stage.glue("consumer_schema", stage.save_file("predictions.md", card.consumer_schema(schema.PREDICTIONS)))
Markdown(page)

# %% [markdown]
# ## Conclusion
#
# **Every scheduled flight of the month has a score**, also those that will be cancelled.

# %%
conclusion = f"all {len(predictions):,} flights scheduled in {month} have a score from version {version} of the model"
stage.check(len(predictions) == len(flights) and predictions["score"].notna().all(), conclusion)
Markdown(f"**{conclusion}**")
