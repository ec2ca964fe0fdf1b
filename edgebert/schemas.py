"""The JSON Schemas that `edgebert schema` publishes."""

from __future__ import annotations

from typing import Any

from edgebert.artifact import FORMAT_VERSION, Manifest


def schema_of(what: str) -> dict[str, Any]:
    """The schema of `recipe`, `manifest` or `report` (JSON Schema 2020-12)."""
    if what == "recipe":
        from edgebert.recipe import recipe_schema

        return recipe_schema()
    if what == "report":
        from edgebert.report import report_schema

        return report_schema()
    return manifest_schema()


def manifest_schema() -> dict[str, Any]:
    """The schema of an artifact's `manifest.json`."""
    from edgebert.report import codec

    body = codec.schema(Manifest)
    added = {
        "format_version": {"const": FORMAT_VERSION, "description": "of this layout"},
        "checksum": {
            "type": "string",
            "description": "SHA-256 of the manifest's canonical JSON without this key",
        },
    }
    body["properties"] |= added
    body["required"] = sorted(set(body["properties"]) - {"tokenizer_graph"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "edgebert manifest"} | body
