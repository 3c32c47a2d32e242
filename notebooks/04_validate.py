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
# # Validation
#
# Is the model good enough: by itself, against a table of rates, and against the champion?
#
# **Reads** `holdout_scores`, and `features` for the champion. **Writes** no table: it hands on the verdict of the gate.

# %%
from flightdelay import evaluate, features, figures, model
from stagebook import stage

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
gate: list[dict] = [  # rules that must all hold; a metric against a threshold, the baseline or the champion
    {"metric": "roc_auc", "threshold": 0.6},
    {"metric": "log_loss", "better_than": "baseline"},
    {"metric": "roc_auc", "better_than": "champion"},
    {"metric": "roc_auc", "slices": ["origin"], "threshold": 0.55, "min_slice_rows": 500},
]  # empty is refused: a gate without rules would let every model pass
feature_version: str = ""  # version of the code whose features are read; empty means that of the code at hand

# %% [markdown]
# ## The same flights for all
#
# The champion scores **the same rows** as the candidate, now.

# %%
scored = stage.to_pandas(stage.read("holdout_scores"))
champion = stage.champion(trusted=model.TRUSTED_TYPES)
candidates = {"model": scored["score"], "baseline": scored["baseline_score"]}
if champion is not None:
    since = ("dep_date_local", ">=", scored["dep_date_local"].min())
    days = stage.read("features", where=[*features.of_version(feature_version), since])
    candidates["champion"] = model.score(champion, evaluate.align(stage.to_pandas(days), scored))

# %%
metrics = {name: evaluate.metrics(scored["late"], scores) for name, scores in candidates.items()}
metrics

# %% [markdown]
# What the weather and the traffic of a day will do is not known before departure: an honest model reaches
# about 0.75, whatever the number of its trees, and stays **below 0.78**; above, something has leaked from the future.

# %%
stage.claim(metrics["model"]["roc_auc"] < 0.78, "nothing has leaked from the future")
figures.calibration({name: evaluate.calibration_curve(scored["late"], scores) for name, scores in candidates.items()})

# %% [markdown]
# ## Slices
#
# A model may be good on the whole and bad at one airport. **Every flight is in one slice** of each column; bars are
# 95 % intervals.

# %%
slices = {name: evaluate.slice_metrics(scored, scores) for name, scores in candidates.items()}
sliced_rows = sum(row["rows"] for row in slices["model"])
stage.claim(sliced_rows == len(scored) * len(evaluate.SLICES), "every flight is in one slice of each column")
figures.slices(slices, "origin")

# %%
figures.slices(slices, "carrier")

# %%
figures.slices(slices, "dep_hour_local")

# %% [markdown]
# ## The gate

# %%
verdict = stage.judge(
    gate,
    model=metrics["model"],
    baseline=metrics["baseline"],
    champion=metrics.get("champion"),
    slices=slices["model"],
)
stage.glue_gate(verdict)
[(rule.rule, rule.passed, rule.why) for rule in verdict.rules]

# %%
stage.glue("metrics", metrics["model"])
stage.glue("baseline", metrics["baseline"])
