"""The reference of parameter files: a JSON Schema for editors and a page of all keys, both made from the models."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from stagebook.notebooks.parameters import Parameter

JsonSchema = dict[str, Any]


@dataclass(frozen=True)
class ProjectNames:
    """The names of a project that an editor completes: stages with their notebooks' parameters, tables, profiles."""

    parameters: Mapping[str, Mapping[str, Parameter]] = field(default_factory=dict)
    tables: Sequence[str] = ()
    profiles: Sequence[str] = ()


def json_schema(model: type[BaseModel], names: ProjectNames = ProjectNames()) -> JsonSchema:
    """The JSON Schema of a parameter file; any key may be missing, since files extend each other.

    With the names of a project, editors complete its stages, their parameters, tables and profiles.
    """
    schema = model.model_json_schema(by_alias=True)
    schema.pop("required", None)
    schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "The parameter file below this one; keys of this file win.",
        "examples": ["base.yaml"],
    }
    stage = schema.get("$defs", {}).get("StageSpec")
    if stage is not None:
        stage.pop("required", None)
        _suggest(stage["properties"]["depends_on"]["items"], list(names.parameters))
        reads_by_table, reads_by_name = stage["properties"]["reads"]["anyOf"]
        reads_by_table["properties"] = {table: {"$ref": "#/$defs/ReadSpec"} for table in names.tables}
        for tables in (reads_by_name, stage["properties"]["writes"]):
            _suggest(tables["items"], names.tables)
        schema["properties"]["stages"]["properties"] = {
            name: _stage_schema(parameters) for name, parameters in names.parameters.items()
        }
        schema["properties"]["stages"].pop("minProperties", None)
        _suggest(stage["properties"]["profile"]["anyOf"][0], names.profiles)
        shared = {
            name: _parameter_schema(parameter) for own in names.parameters.values() for name, parameter in own.items()
        }
        schema["properties"]["parameters"]["properties"] = dict(sorted(shared.items()))
    return schema


def _suggest(schema: JsonSchema, values: Sequence[str]) -> None:
    """Let editors complete these values, and accept all others."""
    if values:
        kept = dict(schema)
        schema.clear()
        schema["anyOf"] = [{"enum": list(values)}, kept]


def _stage_schema(parameters: Mapping[str, Parameter]) -> JsonSchema:
    known = {name: _parameter_schema(parameter) for name, parameter in parameters.items()}
    return {"allOf": [{"$ref": "#/$defs/StageSpec"}, {"properties": {"parameters": {"properties": known}}}]}


def _parameter_schema(parameter: Parameter) -> JsonSchema:
    annotation = f"{parameter.annotation}: " if parameter.annotation else ""
    schema: JsonSchema = {"description": f"{annotation}{parameter.comment or 'a parameter of the notebook'}"}
    try:
        json.dumps(parameter.default, allow_nan=False)
    except (TypeError, ValueError):
        return schema
    return schema | {"default": parameter.default}


def key_tables(model: type[BaseModel]) -> str:
    """Every key as Markdown: a section for each model, with a table of key, type, default, meaning and example."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    sections = [("", schema), *_sections(schema, definitions)]
    return "\n\n".join(_section(path, section, definitions) for path, section in sections)


def _sections(
    schema: JsonSchema, definitions: Mapping[str, JsonSchema], path: str = ""
) -> Iterator[tuple[str, JsonSchema]]:
    """Each nested model with the dotted path of its keys, in the order of the fields, once."""
    for name, value in schema["properties"].items():
        for suffix, reference in _references(value):
            nested = definitions[reference]
            if "properties" in nested:
                yield f"{path}{name}{suffix}", nested
                yield from _sections(nested, definitions, f"{path}{name}{suffix}.")


def _references(value: JsonSchema, suffix: str = "") -> Iterator[tuple[str, str]]:
    if "$ref" in value:
        yield suffix, value["$ref"].rpartition("/")[2]
    for option in value.get("anyOf", ()):
        yield from _references(option, suffix)
    if isinstance(value.get("items"), dict):
        yield from _references(value["items"], f"{suffix}[]")
    for entry in (value.get("additionalProperties"), *value.get("patternProperties", {}).values()):
        if isinstance(entry, dict):
            yield from _references(entry, f"{suffix}.<name>")


def _section(path: str, section: JsonSchema, definitions: Mapping[str, JsonSchema]) -> str:
    """A table of a model's keys; `path` is the dotted path of the model, empty for the file itself."""
    required, prefix = section.get("required", []), f"{path}." if path else ""
    lines = ["| key | type | default | meaning | example |", "|---|---|---|---|---|"]
    for name, value in section["properties"].items():
        default = "required" if name in required else _default(value)
        examples = "<br>".join(f"`{_flow(example)}`" for example in value.get("examples", ())[:2])
        # pydantic leaves a field's description out where it is that of the model
        meaning = value.get("description") or definitions[value["$ref"].rpartition("/")[2]]["description"]
        cells = (f"`{name}`", _type(value, f"{prefix}{name}", definitions), default, meaning, examples)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    heading = [f"### `{path}`"] if path else []
    return "\n\n".join([*heading, section["description"], "\n".join(lines)])


def _default(value: JsonSchema) -> str:
    default = value.get("default")
    return "" if default is None or default in ({}, []) else f"`{_flow(default)}`"


def _type(value: JsonSchema, path: str, definitions: Mapping[str, JsonSchema]) -> str:
    """The type in words: `text`, `list of text`, the allowed values, or a link to the section of its keys."""
    if "enum" in value or "const" in value:
        return ", ".join(f"`{_flow(option)}`" for option in value.get("enum", [value.get("const")]))
    if "$ref" in value:
        definition = definitions[value["$ref"].rpartition("/")[2]]
        if "enum" in definition:
            return _type(definition, path, definitions)
        return f"[section](#{re.sub(r'[^a-z0-9_-]', '', path.lower())})"
    if "anyOf" in value:
        options = [option for option in value["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(_type(option, path, definitions) for option in options))
    match value.get("type"):
        case "array":
            items = value.get("items")
            return f"list of {_type(items, f'{path}[]', definitions)}" if items else "list"
        case "object":
            entry = value.get("additionalProperties") or next(iter(value.get("patternProperties", {}).values()), None)
            if not isinstance(entry, dict) or not entry:
                return "mapping"
            return f"mapping to {_type(entry, f'{path}.<name>', definitions)}"
        case str(kind):
            return {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(kind, kind)
        case _:
            return "any value"


def _flow(value: Any) -> str:
    """A value as it stands in YAML, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, str) and not any(character in value for character in "{}[],:#&*?|>'\"%@`"):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
