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
from flightdelay import evaluate, figures, model
from IPython.display import Markdown
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

# %% [markdown]
# ## The same flights for all
#
# The champion scores **the same rows** as the candidate, now.

# %%
scored = stage.to_pandas(stage.read("holdout_scores"))
champion = stage.champion(trusted=model.TRUSTED_TYPES)
scores = {"model": scored["score"], "baseline": scored["baseline_score"]}
if champion is not None:
    days = stage.read("features", where=[("dep_date_local", ">=", scored["dep_date_local"].min())])
    scores["champion"] = model.score(champion, evaluate.align(stage.to_pandas(days), scored))
metrics = {name: evaluate.metrics(scored["late"], of_model) for name, of_model in scores.items()}
metrics

# %% [markdown]
# ## How well they rank
#
# What the weather and the traffic of a day will do is not known before departure: an honest model reaches
# about 0.75, whatever the number of its trees, and stays **below 0.78**; above, something has leaked from the future.

# %%
area = metrics["model"]["roc_auc"]
claim = f"nothing has leaked from the future: the model's ROC AUC is {area:.3f}, below 0.78"
stage.check(area < 0.78, claim)
curves = {name: evaluate.ranking_curve(scored["late"], of_model) for name, of_model in scores.items()}
figures.ranking(curves, metrics, scored["late"].mean(), claim=claim)

# %% [markdown]
# ## Whether scores are probabilities
#
# The curve of a calibrated model lies on the diagonal. In any case **a higher score means more late flights**.

# %%
curves = {name: evaluate.calibration_curve(scored["late"], of_model) for name, of_model in scores.items()}
lowest, highest = curves["model"]["late_rate"].iloc[0], curves["model"]["late_rate"].iloc[-1]
claim = f"a higher score means more late flights: {lowest:.0%} are late where it is lowest, {highest:.0%} where highest"
stage.check(lowest < highest, claim)
figures.calibration(curves, scores, claim=claim)

# %% [markdown]
# ## Slices
#
# A model may be good on the whole and bad at one airport. **Every flight is in one slice** of each column; bars are
# 95 % intervals.

# %%
slices = {name: evaluate.slice_metrics(scored, of_model) for name, of_model in scores.items()}
sliced_rows = sum(row["rows"] for row in slices["model"])
claim = f"each of the {len(scored):,} flights is in one slice of each column"
stage.check(sliced_rows == len(scored) * len(evaluate.SLICES), claim)
figures.slices(slices, evaluate.SLICES, claim=claim)

# %% [markdown]
# ## The gate

# %%
verdict = stage.evaluate_gate(
    gate,
    model=metrics["model"],
    baseline=metrics["baseline"],
    champion=metrics.get("champion"),
    slices=slices["model"],
)
stage.glue("metrics", metrics["model"])
stage.glue("baseline", metrics["baseline"])
verdict.to_json()["rules"]

# %% [markdown]
# ## Conclusion
#
# **A model that passes the gate tells late flights from punctual ones better than the table of rates.**

# %%
conclusion = (
    f"the gate {'lets the model pass' if verdict.passed else 'refuses the model'}: its ROC AUC is {area:.3f}, "
    f"that of the table of rates {metrics['baseline']['roc_auc']:.3f}"
)
stage.check(area > metrics["baseline"]["roc_auc"] or not verdict.passed, conclusion)
Markdown(f"**{conclusion}**")
