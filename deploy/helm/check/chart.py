"""The Helm chart, made from the kustomizations: deploy/helm/graywave/templates.

Each toggle of the values is a component of kustomize. The chart has the objects of the overlay for production, and
between `if` and `end` the lines that a component adds, changes or removes. So both say the same, and test_chart.py
compares the rendered objects."""

import copy
import difflib
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

import manifests

CHART = manifests.ROOT / "deploy/helm/graywave"
TEMPLATES = CHART / "templates"
PRODUCTION = "overlays/production"
ISSUER = "issuer"
HEADER = "{{- /* Made by `cargo xtask helm --write` from deploy/kubernetes. */ -}}\n"

# Values that stand in the overlay for values of the chart, and where the chart has them.
NAMESPACE = "namespace-of-the-release"
NAMES = {"rest": "rest.names.invalid", "admin": "admin.names.invalid", "agents": "agents.names.invalid"}


@dataclass(frozen=True)
class Toggle:
    """A value that adds or removes components. `condition` holds where the chart differs from the overlay."""

    condition: str
    add: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


def on(value: str, *components: str) -> Toggle:
    return Toggle(f".Values.{value}.enabled", add=components)


def off(value: str, *components: str) -> Toggle:
    return Toggle(f"not .Values.{value}.enabled", without=components)


TOGGLES = {
    "external database": Toggle(
        'eq .Values.database.type "external"', add=("external-postgres",), without=("cloudnative-pg", "backup")
    ),
    "no backup": off("backup", "backup"),
    "no gateway": off("gateway", "gateway"),
    "no monitoring": off("monitoring", "monitoring"),
    "no zones": off("zones", "zones"),
    "no csi driver": off("csiDriver", "csi-driver"),
    "agents metric": on("agentsMetric", "agents-metric"),
    "cilium": on("cilium", "cilium"),
    "collector": on("collector", "collector"),
    "external secrets": on("externalSecrets", "external-secrets"),
    "grpc route": on("grpcRoute", "grpc-route"),
    "openshift": on("openshift", "openshift"),
    "passthrough": on("passthrough", "passthrough"),
    "trust manager": on("trustManager", "trust-manager"),
}

# Objects that the chart makes only on request, beside their component.
REQUESTED = {
    "Namespace graywave": ".Values.namespace.create",
    "ClusterIssuer graywave": ".Values.issuer.create",
    "PriorityClass graywave": ".Values.zones.createPriorityClass",
}
# Read by components of kustomize alone.
LEFT_OUT = {"ConfigMap graywave-names"}
ROLES = ("api", "scheduler", "worker")


class Expression(str):
    """Text of a template, which stands in YAML as it is."""


class Dumper(yaml.SafeDumper):
    """Writes each list item and key on a line of its own, so that lines of two versions compare."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data):
        return True


def represent_text(dumper: yaml.Dumper, text: str) -> yaml.Node:
    if "\n" in text:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    has_value = NAMESPACE in text or any(name in text for name in NAMES.values())
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if has_value else None)


Dumper.add_representer(str, represent_text)
Dumper.add_representer(Expression, lambda dumper, text: dumper.represent_scalar("!expression", text, style='"'))


def dump(item: dict) -> list[str]:
    text = yaml.dump(item, Dumper=Dumper, sort_keys=False, width=10_000)

    # An expression of the chart is one line. Braces elsewhere are of others, such as Prometheus.
    def replaced(found: re.Match) -> str:
        return yaml.safe_load(f'"{found[1]}"') if found[1] else f'{{{{ "{found[0]}" }}}}'

    return re.sub(r'!expression "((?:[^"\\]|\\.)*)"|\{\{|\}\}', replaced, text).splitlines()


@cache
def kustomized(name: str | None) -> list[dict]:
    """Objects of the overlay with one toggle. Callers copy them before a change."""
    toggle = TOGGLES[name] if name else Toggle("")
    return of_components(toggle.add, toggle.without)


def of_components(add: tuple[str, ...], without: tuple[str, ...]) -> list[dict]:
    """Objects of the overlay with other components, under the stand-ins of the names."""
    cluster = manifests.Cluster([PRODUCTION, ISSUER], add, without)
    return [without_hashes(item) for item in manifests.rendered(cluster, {"namespace": NAMESPACE, **NAMES})]


def variant(name: str | None) -> dict[str, dict]:
    """Objects of the overlay with one toggle and with values of the chart, by title."""
    found = {}
    for item in copy.deepcopy(kustomized(name)):
        item = prepared(item)
        if NAMESPACE in item["metadata"]["name"]:
            found["Namespace graywave"] = item
        elif manifests.title(item) not in LEFT_OUT:
            found[manifests.title(item)] = item
    return found


def without_hashes(value):
    """Replaces the hash that kustomize adds to names of settings by the sign of the role."""
    if isinstance(value, dict):
        return {key: without_hashes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_hashes(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"^(graywave-(?:api|common|scheduler|worker))-[a-z0-9]{10}$", r"\1-HASH", value)
    return value


def prepared(item: dict) -> dict:
    """Puts values of the chart into an object."""
    kind, name = item["kind"], item["metadata"]["name"]
    for pod in pod_specs(item):
        for container in pod.get("initContainers", []) + pod["containers"]:
            repository = container["image"].rpartition(":")[0]
            if repository != "ghcr.io/graywave/graywave":
                raise ValueError(f"{kind} {name}: no value of the chart for the image {container['image']}")
            container["image"] = Expression('{{ include "graywave.image" . }}')
            if container["name"] in ROLES:
                container["resources"] = {f"@@resources.{container['name']}": None}
        for key in ("imagePullSecrets", "nodeSelector", "tolerations"):
            pod[f"@@{key}"] = None
    spec = item.get("spec", {})
    role = name.removeprefix("graywave-")
    if kind == "HorizontalPodAutoscaler":
        spec["minReplicas"] = value_of(f"{role}.minReplicas")
        spec["maxReplicas"] = value_of(f"{role}.maxReplicas")
    elif kind == "Deployment" and "replicas" in spec:
        spec["replicas"] = value_of(f"{role}.replicas")
    elif kind == "Cluster":
        spec["instances"] = value_of("database.instances")
        spec["storage"]["size"] = value_of("database.storage", quoted=True)
        if "storageClass" in spec["storage"]:
            raise ValueError("the chart sets the storage class")
        spec["storage"]["@@storageClass"] = None
        spec["walStorage"]["size"] = value_of("database.walStorage", quoted=True)
        spec["walStorage"]["@@storageClass"] = None
        spec["imageName"] = value_of("database.image", quoted=True)
        spec["resources"] = {"@@resources.database": None}
        item["metadata"]["@@keep"] = None
    elif kind == "ObjectStore":
        spec["configuration"]["destinationPath"] = value_of("backup.destinationPath", quoted=True)
        spec["configuration"]["@@endpointURL"] = None
        spec["retentionPolicy"] = value_of("backup.retention", quoted=True)
    elif kind == "Gateway":
        spec["gatewayClassName"] = value_of("gateway.className", quoted=True)
    elif kind == "NetworkPolicy" and name == "graywave-external-database":
        spec["egress"] = [{"to": [{"@@database.external.cidrs": None}], "ports": [{"port": value_of("database.external.port")}]}]
    elif kind == "ConfigMap" and name.endswith("-HASH"):
        # The data come last, where they are cut off.
        item["data"] = item.pop("data")
    return item


def value_of(path: str, quoted: bool = False) -> Expression:
    return Expression(f"{{{{ .Values.{path}{' | quote' if quoted else ''} }}}}")


def pod_specs(item: dict) -> list[dict]:
    spec = item.get("spec", {})
    match item["kind"]:
        case "Deployment":
            return [spec["template"]["spec"]]
        case "CronJob":
            return [spec["jobTemplate"]["spec"]["template"]["spec"]]
        case _:
            return []


# Lines in place of the markers. INDENT is the indent of the marker.
MARKERS = {
    "keep": "{{- if .Values.database.keep }}\nINDENTannotations:\nINDENT  helm.sh/resource-policy: keep\n{{- end }}",
    "imagePullSecrets": "{{- with .Values.imagePullSecrets }}\nINDENTimagePullSecrets: {{- toYaml . | nindent DEPTH }}\n{{- end }}",
    "nodeSelector": "{{- with .Values.nodeSelector }}\nINDENTnodeSelector: {{- toYaml . | nindent DEPTH }}\n{{- end }}",
    "tolerations": "{{- with .Values.tolerations }}\nINDENTtolerations: {{- toYaml . | nindent DEPTH }}\n{{- end }}",
    "storageClass": "{{- with .Values.database.storageClass }}\nINDENTstorageClass: {{ . | quote }}\n{{- end }}",
    "endpointURL": "{{- with .Values.backup.endpointURL }}\nINDENTendpointURL: {{ . | quote }}\n{{- end }}",
}


def marker(indent: str, name: str) -> str:
    if name.startswith("resources."):
        return f"{indent}{{{{- toYaml .Values.{name.removeprefix('resources.')}.resources | nindent {len(indent)} }}}}"
    return MARKERS[name].replace("INDENT", indent).replace("DEPTH", str(len(indent) + 2))


@dataclass
class Edit:
    """Lines of the base that differ under a condition."""

    begin: int
    end: int
    lines: list[str]
    conditions: list[str]
    inner: list["Edit"] = field(default_factory=list)


def edits(base: list[str], versions: dict[str, list[str]]) -> list[Edit]:
    """Differences of all versions from the base, nested where one is in the other."""
    found: list[Edit] = []
    for name, lines in versions.items():
        matcher = difflib.SequenceMatcher(a=base, b=lines, autojunk=False)
        for tag, begin, end, first, last in matcher.get_opcodes():
            if tag == "equal":
                continue
            same = next((it for it in found if (it.begin, it.end, it.lines) == (begin, end, lines[first:last])), None)
            if same:
                same.conditions.append(TOGGLES[name].condition)
            else:
                found.append(Edit(begin, end, lines[first:last], [TOGGLES[name].condition]))
    outer: list[Edit] = []
    for edit in sorted(found, key=lambda it: (it.begin - it.end, it.begin)):
        nest(outer, edit)
    return outer


def nest(siblings: list[Edit], edit: Edit):
    for other in siblings:
        is_inside = other.begin <= edit.begin and edit.end <= other.end
        if is_inside and (edit.begin < edit.end or other.begin < edit.begin < other.end):
            nest(other.inner, edit)
            return
        if edit.begin < other.end and other.begin < edit.end:
            raise ValueError(f"changes of {edit.conditions} and {other.conditions} overlap")
    siblings.append(edit)
    siblings.sort(key=lambda it: (it.begin, it.end))


def template(base: list[str], changes: list[Edit], begin: int, end: int) -> list[str]:
    """Lines of the base from `begin` to `end`, with their changes between `if` and `end`."""
    lines, place = [], begin
    for edit in changes:
        lines += base[place : edit.begin]
        unchanged = template(base, edit.inner, edit.begin, edit.end)
        if edit.lines:
            lines += [f"{{{{- if {either(edit.conditions)} }}}}", *edit.lines]
            lines += ["{{- else }}", *unchanged] if unchanged else []
        else:
            lines += [f"{{{{- if {negated(either(edit.conditions))} }}}}", *unchanged]
        lines.append("{{- end }}")
        place = edit.end
    return lines + base[place:end]


def either(conditions: list[str]) -> str:
    return conditions[0] if len(conditions) == 1 else "or " + " ".join(f"({condition})" for condition in conditions)


def both(conditions: list[str]) -> str:
    return conditions[0] if len(conditions) == 1 else "and " + " ".join(f"({condition})" for condition in conditions)


def finish(title: str, lines: list[str]) -> str:
    text = []
    for line in lines:
        found = re.fullmatch(r"(\s*)(- )?'?@@([\w.]+)'?: null", line)
        if found and found[3] == "database.external.cidrs":
            text.append(
                f"{found[1]}{{{{- range .Values.database.external.cidrs }}}}\n{found[1]}- ipBlock:\n"
                f"{found[1]}    cidr: {{{{ . | quote }}}}\n{found[1]}{{{{- end }}}}"
            )
        elif found:
            text.append(marker(found[1], found[3]))
        else:
            text.append(line)
    result = "\n".join(text)
    result = result.replace(NAMESPACE, "{{ .Release.Namespace }}")
    for name, stand_in in NAMES.items():
        result = result.replace(stand_in, f"{{{{ .Values.names.{name} }}}}")
    return re.sub(r"graywave-(\w+)-HASH", r'graywave-\1-{{ include "graywave.hash.\1" . }}', result)


def render() -> dict[str, str]:
    """Texts of all templates that are made, by file name."""
    base = variant(None)
    others = {name: variant(name) for name in TOGGLES}
    titles = dict.fromkeys([*base, *(title for objects in others.values() for title in objects)])
    files = {}
    for title in titles:
        conditions = [REQUESTED[title]] if title in REQUESTED else []
        versions = {name: objects[title] for name, objects in others.items() if title in objects}
        if title in base:
            item = base[title]
            gone = [TOGGLES[name].condition for name, objects in others.items() if title not in objects]
            conditions += [negated(condition) for condition in gone]
        else:
            item = next(iter(versions.values()))
            conditions.append(either([TOGGLES[name].condition for name in versions]))
        lines = dump(item)
        changed = {name: dump(other) for name, other in versions.items() if other != item}
        body = finish(title, template(lines, edits(lines, changed), 0, len(lines)))
        if item["metadata"]["name"].endswith("-HASH"):
            body, helper = settings_of(item, body)
            files["_settings.tpl"] = files.get("_settings.tpl", HEADER) + helper
        if conditions:
            body = f"{{{{- if {both(conditions)} }}}}\n{body}\n{{{{- end }}}}"
        files[file_name(item)] = HEADER + body + "\n"
    return files


def settings_of(item: dict, body: str) -> tuple[str, str]:
    """Splits settings into a named template, whose hash is in the name, and the object."""
    role = item["metadata"]["name"].removeprefix("graywave-").removesuffix("-HASH")
    head, _, data = body.partition("\ndata:\n")
    data = re.sub(r"(?m)^  ", "", data)
    helper = f"""{{{{- define "graywave.data.{role}" -}}}}
{{{{- $settings := include "graywave.settings.{role}" . | fromYaml -}}}}
{{{{- toYaml (mergeOverwrite $settings .Values.{role}.settings) -}}}}
{{{{- end }}}}
{{{{- define "graywave.hash.{role}" -}}}}
{{{{- include "graywave.data.{role}" . | sha256sum | trunc 10 -}}}}
{{{{- end }}}}
{{{{- define "graywave.settings.{role}" -}}}}
{data}
{{{{- end }}}}
"""
    return f'{head}\ndata: {{{{- include "graywave.data.{role}" . | nindent 2 }}}}', helper


def negated(condition: str) -> str:
    return condition.removeprefix("not ") if condition.startswith("not .") else f"not ({condition})"


def file_name(item: dict) -> str:
    name = item["metadata"]["name"].removesuffix("-HASH").replace(NAMESPACE, "graywave")
    return f"{item['kind'].lower()}-{name}.yaml"


def difference() -> list[str]:
    """Names of templates in the chart that differ from those made now."""
    made = render()
    marked = {path.name: path.read_text() for path in TEMPLATES.glob("*") if path.read_text().startswith(HEADER)}
    return sorted(name for name in made.keys() | marked.keys() if made.get(name) != marked.get(name))


def write():
    made = render()
    for path in TEMPLATES.glob("*"):
        if path.read_text().startswith(HEADER):
            path.unlink()
    for name, text in made.items():
        (TEMPLATES / name).write_text(text)
    print(f"{len(made)} templates in {TEMPLATES.relative_to(manifests.ROOT)}")


def main() -> int:
    if "--write" in sys.argv[1:]:
        write()
        return 0
    different = difference()
    for name in different:
        print(f"deploy/helm/graywave/templates/{name} differs from deploy/kubernetes: cargo xtask helm --write")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
