"""The endpoint that serves the champion: in the bundle, in each target, and in the validation of any bundle."""

import pytest
from databricks.bundles.model_serving_endpoints import ModelServingEndpoint
from ruamel.yaml import YAML

from stagebook.cli import call
from stagebook.config.findings import InvalidParameters
from stagebook.config.yaml_file import parse
from stagebook.databricks.validate import check

SETTINGS = (
    "tracking: {registered_model: delay}\n"
    "databricks: {catalog: main, schema: flights, serving_endpoint: {name: delay-champion%s}, "
    "targets: {dev: {}, prod: {catalog: prod}}}"
)


@pytest.fixture
def export(pipeline, tmp_path, monkeypatch):
    """`export(", version: '3'")` exports the small pipeline with an endpoint; gives the content of its two files."""
    monkeypatch.chdir(tmp_path)

    def run(endpoint_fields=""):
        pipeline(SETTINGS % endpoint_fields)
        assert call(["databricks", "export", "--params", "dev", "--out", "out"]) == 0
        read = YAML(typ="safe").load
        return read((tmp_path / "out/databricks.yml").read_text()), read(
            (tmp_path / "out/resources/demo.serving.yml").read_text()
        )

    return run


def test_the_endpoint_serves_the_champion_of_its_target(export, tmp_path):
    bundle, resources = export()
    (endpoint,) = resources["resources"]["model_serving_endpoints"].values()
    assert ModelServingEndpoint.from_dict(endpoint).as_dict() == endpoint
    assert endpoint["name"] == "delay-champion"
    assert endpoint["config"]["served_entities"] == [
        {
            "name": "champion",
            "entity_name": "${var.champion_model}",
            "entity_version": "${var.champion_version}",
            "workload_size": "Small",
            "workload_type": "CPU",
            "scale_to_zero_enabled": True,
        }
    ]
    assert bundle["variables"]["champion_model"]["default"] == "main.flights.delay"
    assert "default" not in bundle["variables"]["champion_version"], "each deployment has to set it"
    assert "variables" not in bundle["targets"]["dev"]
    assert bundle["targets"]["prod"]["variables"] == {"champion_model": "prod.flights.delay"}
    assert '--var="champion_version=' in (tmp_path / "out/README.md").read_text()
    assert call(["databricks", "validate", "out/databricks.yml"]) == 0


def test_a_version_can_be_the_default(export):
    bundle, _ = export(", version: '3', workload_size: Medium, scale_to_zero_enabled: false")
    assert bundle["variables"]["champion_version"]["default"] == "3"


def test_importing_an_export_with_an_endpoint_gives_it_back(export, tmp_path, monkeypatch):
    bundle, resources = export()
    (tmp_path / "out").rename(tmp_path / "first")
    assert call(["databricks", "import", "first/databricks.yml", "--out", "params/imported.yaml"]) == 0
    assert call(["databricks", "export", "--params", "imported", "--out", "second"]) == 0
    exported = YAML(typ="safe").load((tmp_path / "second/databricks.yml").read_text())
    assert exported["resources"]["model_serving_endpoints"] == resources["resources"]["model_serving_endpoints"]
    assert exported["variables"] == bundle["variables"]
    assert exported["targets"] == bundle["targets"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("databricks: {serving_endpoint: {name: x}}", "target 'dev' has no catalog and schema"),
        ("databricks: {serving_endpoint: {name: 'x y'}}", "serving_endpoint.name"),
        ("databricks: {serving_endpoint: {}}", "serving_endpoint.name"),
        ("databricks: {serving_endpoint: {name: x, version: latest}}", "serving_endpoint.version"),
    ],
)
def test_an_endpoint_with_wrong_settings_is_refused(pipeline, settings, message):
    with pytest.raises(InvalidParameters, match=message):
        pipeline(settings)


BUNDLE = """\
bundle: {name: b}
resources:
  model_serving_endpoints:
    a:
      name: delay
      config:
        served_entities:
          - {name: new, entity_name: a.b.c, entity_version: "2", workload_size: Small}
          - {name: old, entity_name: a.b.c, entity_version: "1", workload_size: Small}
        traffic_config:
          routes:
            - {served_entity_name: new, traffic_percentage: 90}
            - {served_entity_name: old, traffic_percentage: 10}
"""


def findings(text):
    return [str(finding) for finding in check([parse(text, "b.yml", allow_aliases=True)], frozenset()).findings]


def test_a_valid_endpoint_has_no_findings():
    assert findings(BUNDLE) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("name: delay", "naame: delay", 5, "unknown key. Did you mean 'name'"),
        ("name: delay", "description: delay", 4, "'name' is missing"),
        ("name: delay", "name: a.b", 5, "'a.b' is not the name of an endpoint"),
        ("name: old", "name: new", 9, "'new' occurs twice among the served entities"),
        ('entity_version: "1"', "entity_version: 1", 9, "1 is not text. Put it in quotes"),
        (', entity_version: "1"', "", 9, "'entity_version' is missing"),
        ('"1", workload_size: Small', '"1", workload_size: small', 9, "'small' is not a size. Did you mean 'Small'"),
        ('"1", workload_size: Small', '"1", workload_type: GPU', 9, "'GPU' is not allowed"),
        ('"1", w', '"1", min_provisioned_concurrency: 4, w', 9, "workload_size or a provisioned concurrency, not both"),
        ("entity_name: old,", "entity_name: odl,", 13, "there is no served entity 'odl'. Did you mean 'old'"),
        ("percentage: 10", "percentage: 20", 11, "the routes take 110 % of the traffic"),
        ("percentage: 10", "percent: 10", 13, "unknown key. Did you mean 'traffic_percentage'"),
    ],
)
def test_a_fault_in_an_endpoint_is_reported_with_its_line(old, new, line, message):
    assert old in BUNDLE
    reported = findings(BUNDLE.replace(old, new))
    assert any(finding.startswith(f"b.yml:{line}: ") and message in finding for finding in reported), reported


def test_an_endpoint_of_a_target_is_checked_too():
    text = (
        "bundle: {name: b}\ntargets:\n  dev:\n    resources:\n      model_serving_endpoints:\n        a: {name: a.b}\n"
    )
    assert ["not the name of an endpoint" in finding for finding in findings(text)] == [True]
