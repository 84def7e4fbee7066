"""Misspelt, missing and mistyped fields are found in objects of Kubernetes and of operators."""

import copy
import unittest
from collections.abc import Callable

import schemas
from manifests import Manifests, render

# Every kind of object.
OBJECTS = [item for cluster in ("production", "options", "grpc-route") for item in render(cluster).objects]
CLEAN = Manifests(OBJECTS)


class Schemas(unittest.TestCase):
    def setUp(self):
        self.manifests: Manifests = copy.deepcopy(CLEAN)

    def found(self, kind: str, name: str, change: Callable[[dict], object]) -> str:
        item = self.manifests.named(kind, name)
        change(item)
        return "\n".join(schemas.errors(item))

    def test_the_manifests_are_valid(self):
        self.assertEqual(schemas.findings(self.manifests), [])

    def test_a_misspelt_field(self):
        found = self.found("Deployment", "graywave-api", lambda item: item["spec"].update(minReadySecond=1))
        self.assertRegex(found, "(?s)Kubernetes 1.34.*minReadySecond.*Kubernetes 1.37.*minReadySecond")

    def test_a_field_of_the_wrong_kind(self):
        found = self.found("Service", "graywave-api", lambda item: item["spec"]["ports"][0].update(port="http"))
        self.assertIn("spec.ports.0.port", found)

    def test_a_version_of_a_kind_that_is_gone(self):
        gone = {"apiVersion": "autoscaling/v2beta2"}
        self.assertIn("v2beta2", self.found("HorizontalPodAutoscaler", "graywave-api", lambda item: item.update(gone)))

    def test_an_operators_object_without_a_schema_is_not_passed_over(self):
        found = self.found("Cluster", "graywave-database", lambda item: item.update(kind="Pooler"))
        self.assertIn("Pooler", found)

    def test_the_objects_of_operators(self):
        def set_parameter(item):
            item["spec"]["postgresql"]["parameters"]["max_connections"] = 400

        for kind, name, change, word in [
            ("Cluster", "graywave-database", set_parameter, "max_connections"),
            ("Gateway", "graywave", lambda item: item["spec"]["listeners"][0].update(port="https"), "port"),
            ("HTTPRoute", "graywave-api", lambda item: item["spec"].update(host="graywave"), "host"),
            ("ServiceMonitor", "graywave", lambda item: item["spec"]["endpoints"][0].update(interval=1), "interval"),
            ("PrometheusRule", "graywave", lambda item: item["spec"]["groups"][0].update(every=1), "every"),
            ("PodMonitor", "graywave-database", lambda item: item["spec"].pop("selector"), "selector"),
            ("ClusterIssuer", "graywave", lambda item: item["spec"].update(ca={}), "secretName"),
            ("Certificate", "graywave-scheduler", lambda item: item["spec"].update(uris=["spiffe://worker"]), "uris"),
            ("Certificate", "graywave-admin", lambda item: item["spec"].update(dnsNames=["PUBLIC"]), "PUBLIC"),
            ("TLSRoute", "graywave-agents", lambda item: item["spec"].pop("hostnames"), "hostnames"),
            ("GRPCRoute", "graywave-admin", lambda item: item["spec"].update(hostnames=["PUBLIC"]), "PUBLIC"),
            ("BackendTLSPolicy", "graywave-admin", lambda item: item["spec"]["validation"].pop("hostname"), "hostname"),
            ("ScheduledBackup", "graywave-database", lambda item: item["spec"].update(schedule="0 2 * *"), "schedule"),
            ("ObjectStore", "graywave-backup", lambda item: item["spec"].update(retentionPolicy="30"), "retention"),
            ("Bundle", "graywave-ca", lambda item: item["spec"]["sources"].append({"secrets": {}}), "secrets"),
            ("ExternalSecret", "graywave-master-key", lambda item: item["spec"]["data"][0].clear(), "remoteRef"),
            ("CiliumNetworkPolicy", "graywave-worker", lambda item: item["spec"].update(podSelector={}), "podSelector"),
        ]:
            with self.subTest(kind):
                self.assertIn(word, self.found(kind, name, change))


if __name__ == "__main__":
    unittest.main()
