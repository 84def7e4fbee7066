"""Rendered manifests of the clusters, and queries on them."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

KUBERNETES = Path(__file__).resolve().parent.parent
ROOT = KUBERNETES.parent.parent


@dataclass(frozen=True)
class Cluster:
    """Directories that are applied together. `add` and `without` name components that an operator changes in a
    copy of the first directory."""

    directories: list[str]
    add: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


PRODUCTION = ["overlays/production", "issuer"]
# Each described cluster, so that every component is part of one. The base alone lacks a database
# and is not a cluster.
CLUSTERS = {
    "dev": Cluster(["overlays/dev"]),
    "production": Cluster(PRODUCTION),
    "options": Cluster(
        PRODUCTION,
        add=("agents-metric", "collector", "cilium", "external-secrets", "passthrough", "trust-manager"),
    ),
    "grpc-route": Cluster(PRODUCTION, add=("grpc-route",)),
    "openshift": Cluster(PRODUCTION, add=("openshift",)),
    "openshift without driver": Cluster(PRODUCTION, add=("openshift",), without=("csi-driver",)),
    "recovery": Cluster(PRODUCTION, add=("recovery",)),
    "external-postgres": Cluster(PRODUCTION, add=("external-postgres",), without=("cloudnative-pg", "backup")),
    "cell a": Cluster(["examples/cells/a", "examples/cells/shared"]),
    "cell b": Cluster(["examples/cells/b", "examples/cells/shared"]),
}


@dataclass(frozen=True)
class Pod:
    """Pods of a workload; `spec` is None if an operator creates them."""

    owner: str
    labels: dict
    spec: dict | None
    replicas: int

    def containers(self) -> Iterator[dict]:
        for key in ("initContainers", "containers"):
            yield from (self.spec or {}).get(key, [])


class Manifests:
    """The objects of one cluster."""

    def __init__(self, objects: list[dict]):
        self.objects = objects

    def of(self, *kinds: str) -> list[dict]:
        return [item for item in self.objects if item["kind"] in kinds]

    def named(self, kind: str, name: str) -> dict | None:
        return next((item for item in self.of(kind) if item["metadata"]["name"] == name), None)

    def pods(self) -> list[Pod]:
        pods = []
        for item in self.of("Deployment", "StatefulSet", "CronJob"):
            template = (item["spec"]["jobTemplate"]["spec"] if item["kind"] == "CronJob" else item["spec"])["template"]
            labels = template["metadata"]["labels"]
            pods.append(Pod(title(item), labels, template["spec"], self.replicas(item)))
        for item in self.of("Cluster"):
            name = item["metadata"]["name"]
            labels = {"cnpg.io/cluster": name, "cnpg.io/podRole": "instance"}
            pods.append(Pod(title(item), labels, None, item["spec"]["instances"]))
        return pods

    def replicas(self, workload: dict) -> int:
        """Minimum number of pods: the minimum of an autoscaler, or else the replicas."""
        scaler = self.scaler(workload)
        return scaler["spec"]["minReplicas"] if scaler else workload["spec"].get("replicas", 1)

    def namespace(self) -> str:
        """Namespace of the roles."""
        return self.of("Deployment")[0]["metadata"]["namespace"]

    def scaler(self, workload: dict) -> dict | None:
        target = (workload["kind"], workload["metadata"]["name"])
        for item in self.of("HorizontalPodAutoscaler"):
            reference = item["spec"]["scaleTargetRef"]
            if (reference["kind"], reference["name"]) == target:
                return item
        return None

    def environment(self, container: dict) -> dict[str, str]:
        """Variables with values in the manifests."""
        variables = {}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                config = self.named("ConfigMap", source["configMapRef"]["name"])
                variables |= config["data"] if config else {}
        variables |= {item["name"]: item["value"] for item in container.get("env", []) if "value" in item}
        return variables


class Loader(yaml.CSafeLoader):
    """Reads times as texts, as Kubernetes does."""

    yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for letter, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def title(item: dict) -> str:
    return f"{item['kind']} {item['metadata']['name']}"


@cache
def render(cluster: str) -> Manifests:
    """Renders a cluster. All callers share the objects; copy them before a change."""
    return Manifests(rendered(CLUSTERS[cluster]))


def rendered(cluster: Cluster, names: dict[str, str] | None = None) -> list[dict]:
    """Renders a cluster; `names` replaces values of names.yaml and the namespace."""
    overlay, *others = [KUBERNETES / directory for directory in cluster.directories]
    with tempfile.TemporaryDirectory() as directory:
        if cluster.add or cluster.without or names:
            overlay = variant(overlay, cluster, Path(directory).resolve() / "overlay", names)
        return [item for path in (overlay, *others) for item in kustomize(path)]


def variant(overlay: Path, cluster: Cluster, copy: Path, names: dict[str, str] | None = None) -> Path:
    """Copies an overlay and changes its components and names, as an operator does."""
    shutil.copytree(overlay, copy)
    path = copy / "kustomization.yaml"
    document = yaml.safe_load(path.read_text())
    components = [item for item in document["components"] if Path(item).name not in cluster.without]
    components += [f"../../components/{name}" for name in cluster.add]
    document["components"] = [moved(item, overlay, copy) for item in components]
    document["resources"] = [moved(item, overlay, copy) for item in document["resources"]]
    if names:
        document["namespace"] = names["namespace"]
        public = yaml.safe_load((copy / "names.yaml").read_text())
        public["data"] |= names
        (copy / "names.yaml").write_text(yaml.safe_dump(public))
    path.write_text(yaml.safe_dump(document))
    return copy


def moved(reference: str, old: Path, new: Path) -> str:
    """A reference to another directory, from a new place."""
    return os.path.relpath(old / reference, new) if reference.startswith("..") else reference


def kustomize(directory: Path) -> list[dict]:
    """Runs kubectl of the requirements, not an installed one, and without access to any cluster."""
    kubectl = Path(sys.executable).parent / "kubectl"
    with tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "PATH": os.environ["PATH"]}
        command = [kubectl, "kustomize", directory]
        text = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE).stdout
    return [item for item in yaml.load_all(text, Loader) if item]


def workspace_version() -> str:
    with (ROOT / "Cargo.toml").open("rb") as file:
        return tomllib.load(file)["workspace"]["package"]["version"]


def documented_settings() -> dict[str, object]:
    """Each `section.key` of docs/configuration.md with its default."""
    text = (ROOT / "docs/configuration.md").read_text()
    return settings(text.split("```toml\n", 1)[1].split("```", 1)[0])


def settings(block: str) -> dict[str, object]:
    """Each `section.key` of a block of TOML. A line `# key = value` shows a key too, as an alternative."""
    block = re.sub(r"(?m)^# ([a-z_]+ = )", r"\1", block)
    return {
        f"{section}.{key}": value for section, values in tomllib.loads(block).items() for key, value in values.items()
    }


def matches(selector: dict, labels: dict) -> bool:
    """Whether labels match a Kubernetes label selector; an empty selector matches all."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] != "In":
            raise ValueError(f"unsupported operator {expression['operator']}")
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


def quantity(text: str | int) -> float:
    """Bytes of a memory quantity."""
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    text = str(text)
    return float(text[:-2]) * units[text[-2:]] if text[-2:] in units else float(text)
