"""What a field is stands under it in the source, and in the JSON schema of its section."""

from typing import Any

from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.config.schema import Section, field_texts


class Base(Section):
    """A section."""

    size: int
    """How large,
    in lines."""
    plain: int = 0


class Below(Base):
    """A section with one field more."""

    kind: str = "a"
    """Of what kind."""


def test_texts_of_a_section_are_those_under_its_fields_and_its_base_s() -> None:
    assert field_texts(Below) == {"size": "How large,\nin lines.", "kind": "Of what kind."}


def test_the_json_schema_says_what_each_field_is() -> None:
    def all_described(schema: dict[str, Any]) -> bool:
        return all("description" in each for each in schema["properties"].values())

    for model in (Manifest, Plan):
        schema = model.model_json_schema()
        assert all_described(schema)
        assert all(map(all_described, schema["$defs"].values()))
