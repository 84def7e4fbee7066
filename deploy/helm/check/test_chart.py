"""The chart beside the kustomizations: the same objects for the same choices."""

import re
import unittest
from functools import cache

import helm_python
import yaml

import chart
import manifests

STAND_INS = {"names": chart.NAMES, "namespace": {"create": True}}
# Values of the chart for each toggle.
VALUES = {
    "external database": {"database": {"type": "external", "external": {"cidrs": ["10.20.30.40/32"]}}},
    "no backup": {"backup": {"enabled": False}},
    "no gateway": {"gateway": {"enabled": False}},
    "no monitoring": {"monitoring": {"enabled": False}},
    "no zones": {"zones": {"enabled": False}},
    "no csi driver": {"csiDriver": {"enabled": False}},
    "agents metric": {"agentsMetric": {"enabled": True}},
    "cilium": {"cilium": {"enabled": True}},
    "collector": {"collector": {"enabled": True}},
    "external secrets": {"externalSecrets": {"enabled": True}},
    "grpc route": {"grpcRoute": {"enabled": True}},
    "openshift": {"openshift": {"enabled": True}},
    "passthrough": {"passthrough": {"enabled": True}},
    "trust manager": {"trustManager": {"enabled": True}},
}
# Toggles that change the same objects, together. The order is that of the components.
TOGETHER = [
    ("no csi driver", "openshift"),
    ("no zones", "no backup"),
    ("no zones", "external database", "no monitoring"),
    ("agents metric", "collector", "cilium", "external secrets", "passthrough", "trust manager"),
    ("no zones", "no csi driver", "grpc route", "openshift", "collector"),
]


def merged(*values: dict) -> dict:
    result: dict = {}
    for item in values:
        for key, value in item.items():
            result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def texts(values: dict, namespace: str = "graywave") -> dict[str, str]:
    with helm_python.Chart.load(str(chart.CHART)) as loaded:
        return loaded.render(values, name="graywave", namespace=namespace)


def objects(*values: dict, namespace: str = chart.NAMESPACE) -> list[dict]:
    rendered = texts(merged(*values), namespace)
    files = [text for name, text in sorted(rendered.items()) if name.endswith(".yaml")]
    return [item for text in files for item in yaml.load_all(text, manifests.Loader) if item]


def comparable(items: list[dict]) -> dict[str, dict]:
    found = {}
    for item in items:
        item = chart.without_hashes(item)
        title = manifests.title(item)
        if title in found:
            raise AssertionError(f"{title} exists twice")
        if title not in chart.LEFT_OUT:
            found[title] = item
    # The policy of Helm alone.
    for item in found.values():
        if item["metadata"].get("annotations") == {"helm.sh/resource-policy": "keep"}:
            del item["metadata"]["annotations"]
    return found


@cache
def refusal_of(name: str) -> str:
    try:
        texts(REFUSED[name][0])
    except helm_python.HelmError as error:
        return str(error)
    raise AssertionError(f"accepted: {REFUSED[name][0]}")


REFUSED = {
    "unknown key": ({"replicas": 3}, "additional properties 'replicas' not allowed"),
    "unknown key below": ({"api": {"replicas": 3}}, "at '/api': additional properties 'replicas' not allowed"),
    "name": ({"names": {"rest": "https://a.example"}}, "at '/names/rest'"),
    "number": ({"worker": {"minReplicas": 0}}, "at '/worker/minReplicas': minimum: got 0, want 1"),
    "setting": ({"api": {"settings": {"TOKENS": "x"}}}, "at '/api/settings': additional properties 'TOKENS'"),
    "setting of another type": ({"api": {"settings": {"GRAYWAVE__API__RATE_BURST": 7}}}, "got number, want string"),
    "size": ({"database": {"storage": "lots"}}, "at '/database/storage'"),
    "database": ({"database": {"type": "mysql"}}, "value must be one of 'cloudnative-pg', 'external'"),
    "address": ({"database": {"external": {"cidrs": ["db.example"]}}}, "at '/database/external/cidrs/0'"),
    "no address": ({"database": {"type": "external"}}, "database.external.cidrs is empty: set the addresses"),
    "scale": ({"api": {"minReplicas": 9}}, "api.minReplicas is 9 and api.maxReplicas is 6"),
    "route": ({"grpcRoute": {"enabled": True}, "gateway": {"enabled": False}}, "grpcRoute.enabled needs the Gateway"),
    "both routes": ({"grpcRoute": {"enabled": True}, "passthrough": {"enabled": True}}, "exclude each other"),
}


class ChartTest(unittest.TestCase):
    maxDiff = 4_000

    def compare(self, items: list[dict], expected: list[dict]):
        items, expected = comparable(items), comparable(expected)
        self.assertEqual(sorted(items), sorted(expected))
        for title, item in items.items():
            self.assertEqual(item, expected[title], title)

    def test_templates_are_made_from_the_kustomizations(self):
        self.assertEqual(chart.difference(), [], "run `cargo xtask helm --write`")

    def test_defaults_are_the_overlay_for_production(self):
        rendered = objects({"namespace": {"create": True}}, namespace="graywave")
        self.compare(rendered, manifests.render("production").objects)

    def test_each_toggle_is_its_component(self):
        self.assertEqual(set(VALUES), set(chart.TOGGLES))
        for name, values in VALUES.items():
            with self.subTest(name):
                self.compare(objects(STAND_INS, values), chart.kustomized(name))

    def test_toggles_together_are_their_components(self):
        for names in TOGETHER:
            with self.subTest(names):
                toggles = [chart.TOGGLES[name] for name in names]
                add = tuple(component for toggle in toggles for component in toggle.add)
                without = tuple(component for toggle in toggles for component in toggle.without)
                expected = chart.of_components(add, without)
                self.compare(objects(STAND_INS, *(VALUES[name] for name in names)), expected)

    def test_invalid_values_are_refused_with_their_place(self):
        for name, (_, reason) in REFUSED.items():
            with self.subTest(name):
                self.assertIn(reason, refusal_of(name))

    def test_chart_inside_another_gets_its_keys(self):
        objects({"global": {"region": "eu"}, "enabled": True})

    def test_lint_has_no_finding(self):
        found = helm_python.lint(str(chart.CHART))
        # Severity 1 is a recommendation: the chart has no icon.
        self.assertEqual(found["errors"], [])
        self.assertEqual([it["error"] for it in found["messages"]], ["icon is recommended"])

    def test_versions_are_those_of_the_workspace(self):
        described = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
        version = manifests.workspace_version()
        self.assertEqual((described["version"], described["appVersion"]), (version, version))

    def test_setting_renames_its_config_map_and_its_readers(self):
        def names(items: list[dict]) -> set[str]:
            return set(re.findall(r"graywave-(?:api|common|scheduler|worker)-[a-z0-9]{10}", yaml.safe_dump(items)))

        before = names(objects(namespace="graywave"))
        changed = objects({"api": {"settings": {"GRAYWAVE__API__RATE_BURST": "7"}}}, namespace="graywave")
        after = names(changed)
        self.assertEqual(len(before), 4)
        self.assertEqual([name.rsplit("-", 1)[0] for name in after - before], ["graywave-api"])
        data = next(item["data"] for item in changed if item["metadata"]["name"] in after - before)
        self.assertEqual(data["GRAYWAVE__API__RATE_BURST"], "7")
        self.assertEqual(data["GRAYWAVE__API__INSECURE"], "true")

    def test_values_of_the_cluster_reach_every_pod(self):
        items = objects(
            {
                "image": {"repository": "registry.example/graywave", "digest": "sha256:" + "0" * 64},
                "imagePullSecrets": [{"name": "registry"}],
                "nodeSelector": {"pool": "graywave"},
                "tolerations": [{"key": "graywave", "operator": "Exists"}],
                "database": {"storageClass": "fast"},
            }
        )
        pods = [pod for item in items for pod in chart.pod_specs(item)]
        self.assertEqual(len(pods), 4)
        for pod in pods:
            self.assertEqual(pod["imagePullSecrets"], [{"name": "registry"}])
            self.assertEqual(pod["nodeSelector"], {"pool": "graywave"})
            self.assertEqual(len(pod["tolerations"]), 1)
            for container in pod.get("initContainers", []) + pod["containers"]:
                self.assertEqual(container["image"], "registry.example/graywave@sha256:" + "0" * 64)
        database = next(item["spec"] for item in items if item["kind"] == "Cluster")
        self.assertEqual(database["storage"], {"size": "100Gi", "storageClass": "fast"})

    def test_notes_name_the_secrets_and_warn_of_examples(self):
        notes = texts({})["graywave/templates/NOTES.txt"]
        self.assertIn("WARNING: names.rest is graywave.example.com, an example", notes)
        self.assertIn("kubectl -n graywave create secret generic graywave-master-key", notes)
        own = {"names": {"rest": "gw.corp.net"}, "externalSecrets": {"enabled": True}}
        notes = texts(own)["graywave/templates/NOTES.txt"]
        self.assertNotIn("WARNING", notes)
        self.assertNotIn("graywave-master-key", notes)


if __name__ == "__main__":
    unittest.main()
