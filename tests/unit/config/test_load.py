"""From parameter files to a checked pipeline: merging, precedence, and every finding at once."""

from datetime import timedelta

import pytest

from stagebook.config.findings import InvalidParameters
from stagebook.config.flags import Flags
from stagebook.config.load import load
from stagebook.errors import ConfigError

TRAIN = "seed: int = 1  # the seed\nrate: float = 0.1\nnames: list[str] = []\nmode: str = 'a'\n"


@pytest.fixture
def project(tmp_path, notebook, params):
    notebook("prep", "1", parameters="seed: int = 1")
    notebook("train", "1", parameters=TRAIN)
    notebook("bare", "1")
    params(
        "base",
        """\
        pipeline: demo
        parameters: {seed: 3}
        defaults: {max_retries: 2, min_retry_interval_millis: 500, timeout_seconds: 60}
        stages:
          prep: {notebook: notebooks/prep.ipynb, writes: [rows]}
          train:
            notebook: notebooks/train.ipynb
            depends_on: [prep]
            reads: [rows]
            parameters: {rate: 0.5, names: "{{tasks.prep.values.names}}"}
            max_retries: 0
        """,
    )
    params("dev", "extends: base.yaml\nparameters: {seed: 4}\n")
    return tmp_path


def loaded(project, *names, p=(), environ=None, **flags):
    return load(names or ("dev",), Flags(tuple(p), **flags), environ or {}, project)


def test_a_file_extends_another_and_wins(project):
    pipeline = loaded(project)
    assert pipeline.name == "demo"
    assert pipeline.params_files == ("params/base.yaml", "params/dev.yaml")
    assert pipeline.stages["prep"].parameters == {"seed": 4}
    assert pipeline.stages["train"].parameters == {
        "seed": 4,
        "rate": 0.5,
        "names": "{{tasks.prep.values.names}}",
    }
    assert pipeline.stages["prep"].retry.max_retries == 2
    assert pipeline.stages["train"].retry.max_retries == 0
    assert pipeline.stages["train"].retry.timeout == timedelta(seconds=60)


@pytest.mark.parametrize("name", ["dev", "dev.yaml", "params/dev.yaml"])
def test_a_name_is_looked_up_in_params(project, name):
    assert loaded(project, name).name == "demo"


def test_a_name_is_looked_up_from_a_folder_below(project):
    assert load(["dev"], Flags(), {}, project / "notebooks").name == "demo"


def test_later_files_win(project, params):
    params("hot", "stages: {train: {parameters: {rate: 0.9}}}")
    assert loaded(project, "dev", "hot").stages["train"].parameters["rate"] == 0.9


@pytest.mark.parametrize(
    ("environ", "flags", "train", "prep"),
    [
        ({"STAGEBOOK_PARAM_SEED": "5"}, (), 5, 5),
        ({"STAGEBOOK_PARAM_SEED": "5"}, ("seed=6",), 6, 6),
        ({"STAGEBOOK_PARAM_TRAIN__SEED": "7"}, (), 7, 4),
        ({}, ("train.seed=8",), 8, 4),
        ({}, ("seed=9", "train.seed=8"), 8, 9),
    ],
)
def test_environment_beats_files_and_flags_beat_both(project, environ, flags, train, prep):
    pipeline = loaded(project, p=flags, environ=environ)
    assert pipeline.stages["train"].parameters["seed"] == train
    assert pipeline.stages["prep"].parameters["seed"] == prep


def test_a_flag_for_all_stages_replaces_the_value_of_a_file_for_one_stage(project, params):
    params("own", "extends: dev.yaml\nstages: {train: {parameters: {seed: 1}}}")
    assert loaded(project, "own", p=("seed=2",)).stages["train"].parameters["seed"] == 2


def test_the_gate_reaches_the_stage_that_declares_it_and_can_be_set_by_a_flag(project, params, notebook):
    notebook("check", "1", parameters="gate: list[dict] = []")
    params(
        "g", "pipeline: g\nstages: {check: {notebook: notebooks/check.ipynb}}\ngate: [{metric: brier, threshold: 0.2}]"
    )
    assert loaded(project, "g").stages["check"].parameters["gate"] == [{"metric": "brier", "threshold": 0.2}]
    flag = "gate=[{metric: roc_auc, better_than: champion}]"
    assert loaded(project, "g", p=(flag,)).stages["check"].parameters["gate"] == [
        {"metric": "roc_auc", "better_than": "champion"}
    ]
    with pytest.raises(InvalidParameters, match="-p gate=.*'roc' is not allowed"):
        loaded(project, "g", p=("gate=[{metric: roc, threshold: 1}]",))


FINDINGS = [
    (
        "stages: {train: {max_retrys: 1}}",
        r"x.yaml:2: stages.train.max_retrys: unknown key. Did you mean 'max_retries'",
    ),
    ("stages: {train: {max_retries: many}}", r"x.yaml:2: stages.train.max_retries: 'many': .*integer"),
    ("stages: {train: {max_retries: true}}", r"x.yaml:2: stages.train.max_retries: True: .*integer"),
    ("stages: {train: {run_if: ALL_SUCCES}}", r"'ALL_SUCCES' is not allowed. Did you mean 'ALL_SUCCESS'"),
    ("stages: {train: {depends_on: [perp]}}", r"there is no stage 'perp'. Did you mean 'prep'"),
    ("stages: {prep: {depends_on: [train]}}", r"in a circle: (prep → train → prep|train → prep → train)"),
    ("stages: {train: {notebook: notebooks/trian.ipynb}}", r"trian.ipynb: there is no such notebook"),
    (
        "stages: {train: {parameters: {sed: 1}}}",
        r"x.yaml:2: .*stage 'train' has no parameter 'sed'. Did you mean 'seed'",
    ),
    ("parameters: {sede: 1}", r"x.yaml:2: parameters.sede: no notebook declares 'sede'. Did you mean 'seed'"),
    ("stages: {train: {parameters: {rate: fast}}}", r"stages.train.parameters.rate: 'fast' is not float"),
    ("stages: {train: {parameters: {names: [a, 1]}}}", r"is not list\[str\] \(at \[1\]"),
    ("parameters: {seed: '3'}", r"parameters.seed: '3' is not int, as the notebook of stage 'prep'"),
    (
        "stages: {prep: {parameters: {seed: '{{tasks.train.values.x}}'}}}",
        r"stage 'train' is not upstream of 'prep'",
    ),
    (
        "stages: {train: {parameters: {seed: '{{tasks.trian.values.x}}'}}}",
        r"there is no stage 'trian'. Did you mean",
    ),
    (
        "stages: {train: {parameters: {seed: '{{task.prep.values.x}}'}}}",
        r"is not a reference that is known here",
    ),
    ("stages: {train: {only_if: 'yes'}}", r"only_if: 'yes' is not a reference"),
    ("stages: {train: {depends_on: []}}", r"'rows' is written by 'prep', which is not upstream"),
    (
        "pools: {memory_gb: 8}\nstages: {train: {pools: {memory: 2}}}",
        r"x.yaml:3: .*there is no pool 'memory'. Did you mean 'memory_gb'",
    ),
    (
        "pools: {memory_gb: 8}\nstages: {train: {pools: {memory_gb: 9.5}}}",
        r"x.yaml:3: .*takes 9.5, and the pool holds 8",
    ),
    ("stages: {train: {profile: big}}", r"there is no profile 'big'"),
    ("stages: {train: {parameters: {names: .nan}}}", r"nan is not list\[str\]"),
    ("stages: {train: {parameters: {'a b': 1}}}", r"'a b' is not a Python name"),
    ("tables: {engin: pandas}", r"tables.engin: unknown key. Did you mean 'engine'"),
    (
        "tables: {external: {bookings: foreign/bokings}}",
        r"x.yaml:2: tables.external.bookings: there is no folder .*/foreign",
    ),
    ("tables: {external: {bookings: notebooks}}", r"x.yaml:2: tables.external.bookings: .* is no Delta table"),
    ("tables: {external: {bookings: 's3://a/b'}}", r"x.yaml:2: .*'s3://a/b' is an address: only folders are read"),
    (
        "tables: {external: {rows: notebooks}}",
        r"base.yaml:5: stages.prep.writes: 'rows' is an external table .*never written",
    ),
    ("gate: [{metric: roc_acu, threshold: 0.6}]", r"'roc_acu' is not allowed. Did you mean 'roc_auc'"),
    ("gate: [{metric: roc_auc}]", r"a rule has either `threshold` or `better_than`"),
    (
        "profiles:\n  big: {node_type_id: i3.xlarg}",
        r"x.yaml:3: profiles.big.node_type_id: .*no node type 'i3.xlarg' on AWS. Did you mean 'i3.xlarge'",
    ),
    ("profiles: {p: {autoscale: {min_workers: 3, max_workers: 2}}}", r"`min_workers` is more than `max_workers`"),
    ("profiles: {p: {num_workers: 1, autoscale: {min_workers: 0, max_workers: 2}}}", r"either `num_workers` or `auto"),
    ("profiles: {p: {compute: serverless}}", r"serverless compute has `dbu_per_hour`"),
    ("profiles: {p: {compute: job}}", r"'job' is not allowed. Did you mean 'jobs'"),
    ("cost: {discount: 1}", r"x.yaml:2: cost.discount: 1: .*less than 1"),
    ("cost: {spot_factor: cheap}", r"cost.spot_factor: 'cheap'"),
    ("cost: {prices: [mine.csv]}", r"x.yaml:2: cost.prices: there is no file '.*mine.csv'"),
]


@pytest.mark.parametrize(("text", "finding"), FINDINGS, ids=[text for text, _ in FINDINGS])
def test_a_mistake_is_a_finding_before_anything_starts(project, params, text, finding):
    params("x", f"extends: base.yaml\n{text}\n")
    with pytest.raises(InvalidParameters, match=finding):
        loaded(project, "x")


def test_all_findings_come_in_one_go_in_the_order_of_the_file(project, params):
    params(
        "x",
        "extends: base.yaml\nstages:\n  train:\n    max_retrys: 1\n    parameters: {sed: 1, rate: fast}\n",
    )
    with pytest.raises(InvalidParameters, match="3 findings, nothing was started") as caught:
        loaded(project, "x")
    text = str(caught.value)
    assert text.index("max_retrys") < text.index("'sed'") < text.index("fast") or text.index("max_retrys") < text.index(
        "fast"
    )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("flag", "finding"),
    [
        ("trian.seed=1", "there is no stage 'trian'. Did you mean 'train'"),
        ("train.sede=1", "-p train.sede=1: .*has no parameter 'sede'. Did you mean 'seed'"),
        ("sede=1", "-p sede=1: .*no notebook declares 'sede'"),
        ("seed", "this is not name=value"),
        ("seed=[1", "not YAML"),
        ("seed=many", "-p seed=many: .*'many' is not int"),
    ],
)
def test_a_mistake_in_a_flag_is_reported_with_the_flag(project, flag, finding):
    with pytest.raises(InvalidParameters, match=finding):
        loaded(project, p=(flag,))


def test_a_mistake_in_an_environment_variable_is_reported_with_it(project):
    with pytest.raises(InvalidParameters, match="STAGEBOOK_PARAM_SEDE: .*no notebook declares 'sede'"):
        loaded(project, environ={"STAGEBOOK_PARAM_SEDE": "1"})


def test_a_notebook_without_a_parameters_cell_gets_what_its_stage_sets(project, params):
    params("y", "pipeline: y\nstages: {bare: {notebook: notebooks/bare.ipynb, parameters: {anything: [1]}}}")
    assert loaded(project, "y").stages["bare"].parameters == {"anything": [1]}


def test_a_missing_parameter_file_gets_the_nearest_name(project):
    with pytest.raises(ConfigError, match="there is no parameter file 'dve'. Did you mean 'dev'"):
        loaded(project, "dve")


def test_files_that_extend_each_other_are_refused(project, params):
    params("a", "extends: b.yaml\n")
    params("b", "extends: a.yaml\n")
    with pytest.raises(ConfigError, match="extend each other in a circle: a.yaml → b.yaml → a.yaml"):
        loaded(project, "a")


def test_paths_are_set_by_file_environment_and_flag(project, params, tmp_path):
    params("z", "extends: base.yaml\nruns_dir: r\nwarehouse: w\n")
    paths = loaded(project, "z").paths
    assert (paths.runs, paths.warehouse, paths.tables) == (
        tmp_path / "r",
        tmp_path / "w",
        tmp_path / "w/tables",
    )
    moved = loaded(project, "z", environ={"STAGEBOOK_WAREHOUSE": str(tmp_path / "e")}).paths
    assert moved.tables == tmp_path / "e" / "tables"
    flagged = loaded(project, "z", environ={"STAGEBOOK_WAREHOUSE": "/e"}, warehouse=tmp_path / "f").paths
    assert flagged.warehouse == tmp_path / "f"


def test_an_external_table_is_a_folder_of_the_project_or_an_absolute_one(project, params, tmp_path):
    for folder in ("bookings/_delta_log", "elsewhere/fares/_delta_log"):
        (tmp_path / folder).mkdir(parents=True)
    params("e", f"extends: base.yaml\ntables: {{external: {{b: bookings, f: '{tmp_path}/elsewhere/fares'}}}}\n")
    moved = loaded(project, "e", environ={"STAGEBOOK_WAREHOUSE": "/e"}).paths
    assert moved.external == {"b": tmp_path / "bookings", "f": tmp_path / "elsewhere/fares"}
    assert loaded(project).paths.external == {}


def test_a_missing_folder_of_an_external_table_gets_the_nearest_name(project, params, tmp_path):
    (tmp_path / "foreign/bookings/_delta_log").mkdir(parents=True)
    params("x", "extends: base.yaml\ntables: {external: {b: foreign/bokings}}\n")
    with pytest.raises(InvalidParameters, match="there is no folder .*/foreign/bokings. Did you mean 'bookings'"):
        loaded(project, "x")


def test_the_tracking_database_lies_in_the_warehouse_unless_a_uri_is_given(project, params, tmp_path):
    assert loaded(project).tracking.uri == f"sqlite:///{tmp_path / 'warehouse/mlflow.db'}"
    params("t", "extends: base.yaml\ntracking: {uri: 'http://localhost:5000'}\n")
    assert loaded(project, "t").tracking.uri == "http://localhost:5000"


NODE = (
    "cloud,node_type_id,category,vcpu,memory_gb,gpus,dbu_per_hour,vm_usd_per_hour,price_basis,price_check,as_of,source"
)
PRICE = "cloud,sku_name,usd_per_dbu,tier,as_of,region,source"


def test_own_price_rows_win_over_the_shipped_ones(project, params):
    (project / "mine.csv").write_text(f"{NODE}\nAWS,own.large,general,2,8,0,1.5,0.1,ours,ok,2026-11,contract\n")
    (project / "deal.csv").write_text(f"{PRICE}\nAWS,PREMIUM_JOBS_COMPUTE,0.11,PREMIUM,2026-11,us,contract\n")
    params(
        "x",
        "extends: base.yaml\nprofiles: {own: {node_type_id: own.large}}\n"
        "cost: {prices: [mine.csv, deal.csv], discount: 0.1}",
    )
    rate = loaded(project, "x").rates["own"]
    assert str(rate.usd_per_hour.likely) == "0.2485"  # 1.5 × 0.11 × 0.9 + 0.1
    assert any("contract" in assumption for assumption in rate.assumptions)


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (f"{NODE}\nAWS,own.large,general,two,8,0,1.5,-1,ours,ok,2026-11,x", r"mine.csv:2: vcpu: 'two': .*integer"),
        (
            f"{NODE}\nAWS,own.large,general,2,8,0,1.5,-1,ours,ok,2026-11,x",
            r"mine.csv:2: vm_usd_per_hour: '-1': .*greater",
        ),
        (f"{NODE}\nAWS,own.large", r"mine.csv:2: category: None"),
        (f"{NODE}\nAWS,a,b,1,1,1,1,1,a,b,c,d,too,much", r"mine.csv:2: "),
        (f"{PRICE}\nGCP,A,1,PREMIUM,2026,us,x", r"mine.csv:2: cloud: 'GCP'"),
        (f"{PRICE}\nAWS,A,NaN,PREMIUM,2026,us,x", r"mine.csv:2: usd_per_dbu: 'NaN'"),
        ("a,b\n1,2", r"mine.csv:1: its columns are those of no price file"),
        ("", r"mine.csv:1: its columns are those of no price file"),
    ],
)
def test_a_bad_row_of_a_price_file_is_reported_with_its_line(project, params, content, finding):
    (project / "mine.csv").write_text(content)
    params("x", "extends: base.yaml\ncost: {prices: [mine.csv]}")
    with pytest.raises(InvalidParameters, match=finding):
        loaded(project, "x")
