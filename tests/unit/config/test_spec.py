"""Every key of parameter files and sweep files has a description and an example that may be written so."""

import json
import re
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from stagebook.config.spec import PipelineSpec
from stagebook.config.sweeps import SweepSpec


def models_in(annotation: Any) -> set[type[BaseModel]]:
    """The models that an annotation contains, and those that their fields contain."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        return {annotation}.union(*(models_in(field.annotation) for field in fields))
    return set().union(*(models_in(argument) for argument in get_args(annotation)))


FIELDS = [
    pytest.param(model, name, field, id=f"{model.__name__}.{name}")
    for model in sorted(models_in(PipelineSpec) | models_in(SweepSpec), key=lambda model: model.__name__)
    for name, field in model.model_fields.items()
]


def test_the_fields_of_all_sections_are_checked():
    sections = {parameter.values[0].__name__ for parameter in FIELDS}
    assert {"StageSpec", "AutoscaleSpec", "TargetSpec", "PermissionSpec", "DrawSpec", "SweepSpec"} <= sections


@pytest.mark.parametrize(("model", "name", "field"), FIELDS)
def test_a_field_has_a_description_in_one_or_two_sentences(model: type[BaseModel], name: str, field: FieldInfo):
    description = field.description or ""
    assert re.fullmatch(r"[A-Z`].{15,}\.", description)
    assert len(description) <= 220
    assert "see " not in description.lower(), "a description explains, it does not refer"


@pytest.mark.parametrize(("model", "name", "field"), FIELDS)
def test_a_field_has_an_example_that_fits_its_section(model: type[BaseModel], name: str, field: FieldInfo):
    key = field.alias or name
    assert field.examples
    for example in field.examples:
        assert json.loads(json.dumps(example)) == example, "as YAML gives it: no tuples, enums or decimals"
        assert errors_at(model, key, example) == []
        assert example != field.default, "an example shows something else than the default"


def test_an_example_that_does_not_fit_would_be_noticed():
    assert errors_at(PipelineSpec, "gate", [{"metric": "roc_auc"}])
    assert errors_at(PipelineSpec, "schedule", {"quartz_cron_expression": "0 30 2 * *"})
    assert errors_at(PipelineSpec, "stages", {"a": {"notebook": "a.py", "max_retrys": 1}})


def errors_at(model: type[BaseModel], key: str, value: object) -> list[str]:
    """The errors of one key; those of other keys, which are missing here, are none of its."""
    try:
        model.model_validate({key: value})
    except ValidationError as error:
        return [detail["msg"] for detail in error.errors() if detail["loc"][:1] == (key,)]
    return []
