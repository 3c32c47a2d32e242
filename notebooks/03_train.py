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
# # Training
#
# Does a model tell late flights from punctual ones, learning only from earlier ones?
#
# **Reads** `features`. **Writes** `holdout_scores`, and saves the fitted model for the stages after it.

# %%
from flightdelay import baseline, evaluate, figures, model, schema, split
from IPython.display import Markdown
from stagebook import stage

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
features: list[str] = []  # columns to learn from; empty means all that are known before departure
late_after_min: int = 15  # minutes after schedule at arrival that count as late
train_from: str = "2013-01-01"  # first day of the training
calibrate_from: str = "2013-10-01"  # first day of the calibration; everything before it trains
holdout_from: str = "2013-11-01"  # first day of the hold-out
seed: int = 13  # fixes all randomness
learning_rate: float = 0.1  # how much each tree corrects the ones before
max_iter: int = 50  # number of trees
max_leaf_nodes: int = 31  # leaves of a tree at most

# %% [markdown]
# ## Split by time
#
# The model learns from the past, is calibrated on what comes next, and is judged on what comes last. Flights
# that never arrived are neither late nor punctual: they are **dropped, and counted**.

# %%
columns = features or list(schema.MODEL_FEATURES)
parts = split.by_time(
    stage.to_pandas(stage.read("features", where=[("dep_date_local", ">=", train_from)])),
    calibrate_from=calibrate_from,
    holdout_from=holdout_from,
    late_after_min=late_after_min,
)
for name, count in parts.counts.items():
    stage.glue(name, count)
parts.counts

# %% [markdown]
# **The model is judged on later flights than it learns from**, not on a random part of the year: flights of one day
# share its weather, so that those in the training would give away those in the hold-out.

# %%
last, first = parts.calibrate["dep_date_local"].max(), parts.holdout["dep_date_local"].min()
claim = f"the model is judged on later flights than it learns from: until {last} it learns, from {first} it is judged"
stage.check(parts.train["dep_date_local"].max() < last < first, claim)
figures.split_by_month({"train": parts.train, "calibrate": parts.calibrate, "hold out": parts.holdout}, claim=claim)

# %% [markdown]
# ## Fit
#
# The baseline is the late rate of the carrier in this hour of the day; the model is gradient-boosted trees.

# %%
rates = baseline.fit(parts.train)
fitted = model.fit(
    parts.train,
    parts.calibrate,
    columns,
    seed=seed,
    learning_rate=learning_rate,
    max_iter=max_iter,
    max_leaf_nodes=max_leaf_nodes,
)
stage.glue("model", stage.save_model(fitted, "model", trusted=model.TRUSTED_TYPES))

# %% [markdown]
# ## Score the hold-out
#
# Every flight of the hold-out has a **probability between 0 and 1**.

# %%
scores = evaluate.holdout_scores(fitted, rates, parts.holdout)
stage.check(scores["score"].between(0, 1).all(), "scores are probabilities")
stage.write(scores, schema.HOLDOUT_SCORES)
scores[["score", "baseline_score"]].describe()

# %% [markdown]
# ## What the model looks at
#
# The values of one feature are shuffled among the flights of the hold-out, and the model scores them again: what its
# ranking loses is what this feature contributes. **No feature gives the outcome away**; without one that leaks from the
# future, the model would lose nearly all that it can do.

# %%
importance = evaluate.feature_importance(fitted, parts.holdout, seed=seed)
top = importance.iloc[0]
claim = f"no feature gives the outcome away: without {top['feature']} the ROC AUC falls most, by {top['cost']:.3f}"
stage.check(top["cost"] < 0.2, claim)
figures.importance(importance, claim=claim)

# %% [markdown]
# ## Conclusion
#
# **Yes**: of a late and a punctual flight, the model gives the late one the higher score more often than not, although
# it has seen neither. The next stage compares it with the baseline and the champion.

# %%
ranked = {name: evaluate.metrics(scores["late"], scores[name])["roc_auc"] for name in ("score", "baseline_score")}
conclusion = (
    f"the model tells late flights from punctual ones: it ranks {ranked['score']:.1%} of all pairs rightly, "
    f"the table of rates {ranked['baseline_score']:.1%}, chance half of them"
)
stage.check(ranked["score"] > 0.5, conclusion)
Markdown(f"**{conclusion}**")
