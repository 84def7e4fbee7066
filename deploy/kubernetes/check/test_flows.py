"""The evaluation of network policies matches that of Kubernetes."""

import copy
import unittest

import flows
from manifests import CLUSTERS, Manifests, render

CLEAN = {cluster: render(cluster) for cluster in CLUSTERS}


class Flows(unittest.TestCase):
    def setUp(self):
        self.manifests: Manifests = copy.deepcopy(CLEAN["production"])

    def rules(self, name: str) -> dict:
        return self.manifests.named("NetworkPolicy", name)["spec"]

    def found(self) -> list[str]:
        return flows.findings(self.manifests, "production")

    def test_the_flows_are_those_that_are_meant(self):
        for cluster, manifests in CLEAN.items():
            self.assertEqual(flows.findings(manifests, cluster), [], cluster)

    def test_a_flow_needs_the_leave_of_both_sides(self):
        self.rules("graywave-api")["egress"] = []
        self.assertEqual(self.found(), ["api -> database:5432 is intended but not allowed"])

    def test_a_peer_without_a_selector_lets_all_of_its_namespace_in(self):
        self.rules("graywave-scheduler")["ingress"][0]["from"] = [{"podSelector": {}}]
        self.assertEqual(self.found(), ["admin client -> scheduler:9090 is intended but not allowed"])
        # A flow needs both an egress and an ingress rule.
        self.rules("graywave-api")["egress"][0] = {"to": [{"podSelector": {}}], "ports": [{"port": 9090}]}
        self.assertIn("api -> scheduler:9090 is allowed but not intended", self.found())

    def test_a_rule_without_peers_lets_anybody_in(self):
        del self.rules("graywave-telemetry")["ingress"][0]["from"]
        self.assertIn("internet -> api:9100 is allowed but not intended", self.found())
        self.assertIn("any other pod -> worker:9100 is allowed but not intended", self.found())

    def test_a_rule_without_ports_is_for_all_of_them(self):
        del self.rules("graywave-worker")["ingress"][0]["ports"]
        self.assertIn("internet -> worker:1 is allowed but not intended", self.found())
        self.assertIn("internet -> worker:9100 is allowed but not intended", self.found())

    def test_a_label_less_is_a_peer_more(self):
        del self.rules("graywave-telemetry")["ingress"][0]["from"][0]["podSelector"]
        self.rules("graywave-telemetry")["ingress"][0]["from"][0]["namespaceSelector"] = {}
        self.assertIn("any other pod -> worker:9100 is allowed but not intended", self.found())

    def test_addresses_mean_no_pods_and_only_their_network(self):
        self.rules("graywave-admin")["ingress"][0]["from"] = [{"ipBlock": {"cidr": "0.0.0.0/0"}}]
        self.assertEqual(
            self.found(),
            [
                "internet -> scheduler:9091 is allowed but not intended",
                "admin client -> scheduler:9091 is intended but not allowed",
            ],
        )

    def test_dns_of_the_node_is_an_address(self):
        to = self.rules("dns")["egress"][0]["to"]
        to.remove(next(peer for peer in to if "ipBlock" in peer))
        self.assertIn("api -> DNS of the node:53 is intended but not allowed", self.found())

    def test_without_the_denial_pods_that_no_policy_selects_may_all(self):
        for name in ("deny-all", "dns", "graywave-migrate"):
            self.manifests.objects.remove(self.manifests.named("NetworkPolicy", name))
        self.assertIn("migrate -> internet:443 is allowed but not intended", self.found())
        self.assertIn("internet -> migrate:1 is allowed but not intended", self.found())
        self.assertIn("api -> DNS:53 is intended but not allowed", self.found())


if __name__ == "__main__":
    unittest.main()
