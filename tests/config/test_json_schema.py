"""The JSON schema of a section says what each field is, as its docstring does."""

from typing import Any

import pytest

from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.config.schema import Section


@pytest.mark.parametrize("model", [Manifest, Plan])
def test_the_json_schema_says_what_each_field_is(model: type[Section]) -> None:
    def all_described(schema: dict[str, Any]) -> bool:
        return all("description" in each for each in schema["properties"].values())

    schema = model.model_json_schema()
    assert all_described(schema)
    assert all(map(all_described, schema["$defs"].values()))
    assert schema["properties"]["name"]["description"] == model.field_docs()["name"]
