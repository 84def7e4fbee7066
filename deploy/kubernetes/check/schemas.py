"""Validates objects against Kubernetes' official schemas, and operators' objects against check/schemas."""

import json
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

from manifests import Manifests, title

# Oldest supported version (its preStop sleep is stable) and newest known version.
VERSIONS = ["1.34", "1.37"]

# Written by hand for the fields that the manifests use. Unknown fields are refused, so a new field
# needs a lookup first.
OPERATORS = {
    schema["title"]: schema
    for path in sorted((Path(__file__).parent / "schemas").glob("*.yaml"))
    for schema in yaml.safe_load_all(path.read_text())
}


def findings(manifests: Manifests) -> list[str]:
    return [f"{title(item)}: {error}" for item in manifests.objects for error in errors(item)]


def errors(item: dict) -> list[str]:
    return errors_of(json.dumps(item, sort_keys=True))


# Most objects are the same in several clusters, and the validator reads its schema for each one.
@cache
def errors_of(text: str) -> list[str]:
    item = json.loads(text)
    schema = OPERATORS.get(f"{item['apiVersion']} {item['kind']}")
    if schema:
        validator = jsonschema.Draft202012Validator(schema)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(item)]
    found = []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError as error:
            found.append(error.message)
    return found
