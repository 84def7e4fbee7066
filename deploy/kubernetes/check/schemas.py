"""Each object against its schema: Kubernetes' official ones, and those in check/schemas for what operators know."""

from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

from manifests import Manifests, title

# The oldest version that is promised (in it a sleeping preStop hook is stable) and the newest that is known.
VERSIONS = ["1.34", "1.37"]

# By hand, and only as far as our manifests go. What else there is they refuse, so that a new field is looked up first.
OPERATORS = {
    schema["title"]: schema
    for path in sorted((Path(__file__).parent / "schemas").glob("*.yaml"))
    for schema in yaml.safe_load_all(path.read_text())
}


def findings(manifests: Manifests) -> list[str]:
    return [f"{title(item)}: {error}" for item in manifests.objects for error in errors(item)]


def errors(item: dict) -> list[str]:
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
