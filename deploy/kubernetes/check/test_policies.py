"""Each policy finds a violation: the manifests have none, and each change here causes the named one."""

import copy
import unittest
from collections.abc import Callable

import policies
from manifests import CLUSTERS, Manifests, render

CLEAN = {cluster: render(cluster) for cluster in CLUSTERS}
BREAKS: list[tuple[Callable, str, Callable[[Manifests], None], str]] = []


def breaks(policy: Callable, finding: str, cluster: str = "production"):
    """The change makes the policy yield a finding with these words."""

    def register(change: Callable[[Manifests], None]) -> None:
        BREAKS.append((policy, cluster, change, finding))

    return register


def deployment(manifests: Manifests, role: str) -> dict:
    return manifests.named("Deployment", f"graywave-{role}")


def pod(manifests: Manifests, role: str) -> dict:
    return deployment(manifests, role)["spec"]["template"]["spec"]


def container(manifests: Manifests, role: str) -> dict:
    return pod(manifests, role)["containers"][0]


def setting(manifests: Manifests, role: str, name: str, value: str) -> None:
    container(manifests, role).setdefault("env", []).append({"name": name, "value": value})


@breaks(policies.images_have_a_version, "Deployment graywave-api, container api")
def _(manifests):
    container(manifests, "api")["image"] = "ghcr.io/graywave/graywave:latest"


@breaks(policies.images_have_a_version, "container migrate: registry:5000/graywave")
def _(manifests):
    pod(manifests, "scheduler")["initContainers"][0]["image"] = "registry:5000/graywave"


@breaks(policies.images_have_a_version, "Cluster graywave-database: no image")
def _(manifests):
    del manifests.named("Cluster", "graywave-database")["spec"]["imageName"]


@breaks(policies.our_images_have_our_version, "graywave:0.0.1")
def _(manifests):
    container(manifests, "worker")["image"] = "ghcr.io/graywave/graywave:0.0.1"


@breaks(policies.our_images_have_our_version, "graywave-agent:0.0.1", "dev")
def _(manifests):
    desktop = manifests.named("StatefulSet", "graywave-desktop")
    desktop["spec"]["template"]["spec"]["containers"][0]["image"] = "ghcr.io/graywave/graywave-agent:0.0.1"


@breaks(policies.resources_are_bounded, "no limits of memory")
def _(manifests):
    del container(manifests, "worker")["resources"]["limits"]


@breaks(policies.resources_are_bounded, "container migrate: no requests of cpu")
def _(manifests):
    del pod(manifests, "api")["initContainers"][0]["resources"]["requests"]["cpu"]


@breaks(policies.memory_holds_the_bodies, "512Mi of memory is too little")
def _(manifests):
    container(manifests, "api")["resources"]["limits"]["memory"] = "512Mi"
    setting(manifests, "api", "GRAYWAVE__API__BODY_BUDGET_BYTES", str(2**29))


@breaks(policies.pods_are_restricted, "may run as root")
def _(manifests):
    del pod(manifests, "api")["securityContext"]["runAsNonRoot"]


@breaks(policies.pods_are_restricted, "may run as root")
def _(manifests):
    pod(manifests, "api")["securityContext"]["runAsUser"] = 0


@breaks(policies.pods_are_restricted, "no seccomp profile")
def _(manifests):
    pod(manifests, "api")["securityContext"]["seccompProfile"]["type"] = "Unconfined"


@breaks(policies.pods_are_restricted, "hostNetwork")
def _(manifests):
    pod(manifests, "worker")["hostNetwork"] = True


@breaks(policies.pods_are_restricted, "volume node has a forbidden type")
def _(manifests):
    pod(manifests, "worker")["volumes"].append({"name": "node", "hostPath": {"path": "/"}})


@breaks(policies.pods_are_restricted, "may gain privileges")
def _(manifests):
    del container(manifests, "worker")["securityContext"]["allowPrivilegeEscalation"]


@breaks(policies.pods_are_restricted, "keeps capabilities")
def _(manifests):
    container(manifests, "worker")["securityContext"]["capabilities"]["add"] = ["NET_BIND_SERVICE"]


@breaks(policies.pods_are_restricted, "Job graywave-migrate, container migrate: may write")
def _(manifests):
    job = manifests.named("Job", "graywave-migrate")
    del job["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]


@breaks(policies.pods_are_restricted, "overrides its pod")
def _(manifests):
    container(manifests, "api")["securityContext"]["runAsUser"] = 0


@breaks(policies.pods_are_restricted, "uses a port of the node")
def _(manifests):
    container(manifests, "worker")["ports"][0]["hostPort"] = 9443


@breaks(policies.namespace_enforces_restricted, "Namespace graywave")
def _(manifests):
    labels = manifests.named("Namespace", "graywave")["metadata"]["labels"]
    labels["pod-security.kubernetes.io/enforce"] = "baseline"


@breaks(policies.all_is_in_the_namespace, "Service graywave-api")
def _(manifests):
    manifests.named("Service", "graywave-api")["metadata"]["namespace"] = "default"


@breaks(policies.nobody_has_rights, "RoleBinding reader")
def _(manifests):
    manifests.objects.append({"kind": "RoleBinding", "metadata": {"name": "reader"}})


@breaks(policies.nobody_has_rights, "ServiceAccount graywave-worker: the token is mounted")
def _(manifests):
    del manifests.named("ServiceAccount", "graywave-worker")["automountServiceAccountToken"]


@breaks(policies.nobody_has_rights, "Deployment graywave-worker: a token is mounted")
def _(manifests):
    pod(manifests, "worker")["automountServiceAccountToken"] = True


@breaks(policies.nobody_has_rights, "Deployment graywave-worker: no dedicated service account")
def _(manifests):
    del pod(manifests, "worker")["serviceAccountName"]


@breaks(policies.services_are_not_told_by_variables, "Deployment graywave-api")
def _(manifests):
    del pod(manifests, "api")["enableServiceLinks"]


@breaks(policies.containers_are_probed, "container scheduler: no readinessProbe")
def _(manifests):
    del container(manifests, "scheduler")["readinessProbe"]


@breaks(policies.probes_ask_ports_that_answer, "livenessProbe uses absent")
def _(manifests):
    container(manifests, "api")["livenessProbe"]["httpGet"]["port"] = "absent"


@breaks(policies.probes_ask_ports_that_answer, "the port has TLS", "dev")
def _(manifests):
    container(manifests, "scheduler")["livenessProbe"] = {"grpc": {"port": 9090}}


@breaks(policies.stops_have_the_time_they_need, "killed after 619 s, but needs 620 s")
def _(manifests):
    pod(manifests, "worker")["terminationGracePeriodSeconds"] = 619


@breaks(policies.stops_have_the_time_they_need, "Deployment graywave-scheduler: no preStop")
def _(manifests):
    del container(manifests, "scheduler")["lifecycle"]


@breaks(policies.stops_have_the_time_they_need, "preStop is shorter than the time limit")
def _(manifests):
    container(manifests, "api")["lifecycle"]["preStop"]["sleep"]["seconds"] = 59


@breaks(policies.stops_have_the_time_they_need, "has no drain timeout")
def _(manifests):
    setting(manifests, "worker", "GRAYWAVE__WORKER__DRAIN_TIMEOUT_MS", "0")


@breaks(policies.updates_take_nothing_away_first, "Deployment graywave-worker")
def _(manifests):
    deployment(manifests, "worker")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = 1


@breaks(policies.disruptions_are_budgeted, "Deployment graywave-api: 0 budgets")
def _(manifests):
    manifests.objects.remove(manifests.named("PodDisruptionBudget", "graywave-api"))


@breaks(policies.disruptions_are_budgeted, "the budget allows no disruption", "dev")
def _(manifests):
    manifests.named("PodDisruptionBudget", "graywave-scheduler")["spec"]["maxUnavailable"] = 0


@breaks(policies.disruptions_are_budgeted, "the budget allows no disruption")
def _(manifests):
    budget = manifests.named("PodDisruptionBudget", "graywave-scheduler")["spec"]
    del budget["maxUnavailable"]
    budget["minAvailable"] = 2


@breaks(policies.pods_are_spread, "Deployment graywave-api: not spread over kubernetes.io/hostname")
def _(manifests):
    pod(manifests, "api")["topologySpreadConstraints"].pop()


@breaks(policies.pods_are_spread, "Deployment graywave-api: not spread over topology.kubernetes.io/zone")
def _(manifests):
    selector = pod(manifests, "api")["topologySpreadConstraints"][0]["labelSelector"]
    selector["matchLabels"]["app.kubernetes.io/component"] = "worker"


@breaks(policies.selectors_select, "NetworkPolicy graywave-telemetry")
def _(manifests):
    policy = manifests.named("NetworkPolicy", "graywave-telemetry")
    policy["spec"]["podSelector"]["matchLabels"]["graywave.dev/metrics"] = "yes"


@breaks(policies.selectors_select, "Service graywave-agents")
def _(manifests):
    manifests.named("Service", "graywave-agents")["spec"]["selector"]["app.kubernetes.io/component"] = "agents"


@breaks(policies.selectors_select, "ServiceMonitor graywave")
def _(manifests):
    manifests.named("ServiceMonitor", "graywave")["spec"]["endpoints"][0]["port"] = "http"


@breaks(policies.services_lead_to_ports, "Service graywave-api: Deployment graywave-api has no port rest")
def _(manifests):
    manifests.named("Service", "graywave-api")["spec"]["ports"][0]["targetPort"] = "rest"


@breaks(policies.services_lead_to_ports, "HTTPRoute graywave-api: no service graywave-api:80")
def _(manifests):
    manifests.named("HTTPRoute", "graywave-api")["spec"]["rules"][0]["backendRefs"][0]["port"] = 80


@breaks(policies.services_lead_to_ports, "HTTPRoute graywave-api: no gateway other")
def _(manifests):
    manifests.named("HTTPRoute", "graywave-api")["spec"]["parentRefs"][0]["name"] = "other"


@breaks(policies.all_is_denied_by_default, "no network policy")
def _(manifests):
    manifests.named("NetworkPolicy", "deny-all")["spec"]["policyTypes"].remove("Egress")


@breaks(policies.autoscalers_scale_something, "no Deployment graywave-workers")
def _(manifests):
    scaler = manifests.named("HorizontalPodAutoscaler", "graywave-worker")
    scaler["spec"]["scaleTargetRef"]["name"] = "graywave-workers"


@breaks(policies.autoscalers_scale_something, "HorizontalPodAutoscaler graywave-api: each apply")
def _(manifests):
    deployment(manifests, "api")["spec"]["replicas"] = 2


@breaks(policies.secrets_hold_no_secrets, "Secret real: keys")
def _(manifests):
    secret = {"kind": "Secret", "metadata": {"name": "real"}, "stringData": {"keys": "8c1f" * 16}}
    manifests.objects.append(secret)


@breaks(policies.secrets_hold_no_secrets, "Secret graywave-database-app", "dev")
def _(manifests):
    secret = next(item for item in manifests.of("Secret") if "uri" in item["data"])
    secret["data"]["uri"] = "cG9zdGdyZXM6Ly9hOmJAYy9k"  # postgres://a:b@c/d


@breaks(policies.secrets_hold_no_secrets, "GRAYWAVE__API__TOKENS does not come from a Secret")
def _(manifests):
    setting(manifests, "api", "GRAYWAVE__API__TOKENS", "project:a-long-secret-token")


@breaks(policies.who_has_certificates_signs_orders, "no GRAYWAVE__ORDERS__KEY_FILE")
def _(manifests):
    config = next(item for item in manifests.of("ConfigMap") if "graywave-scheduler" in item["metadata"]["name"])
    del config["data"]["GRAYWAVE__ORDERS__KEY_FILE"]


@breaks(policies.settings_are_known, "GRAYWAVE__WORKER__DRAIN_MS")
def _(manifests):
    config = next(item for item in manifests.of("ConfigMap") if "graywave-worker" in item["metadata"]["name"])
    config["data"]["GRAYWAVE__WORKER__DRAIN_MS"] = "1"


@breaks(policies.settings_are_known, "GRAYWAVE__SCHEDULER__LEASE_MS is not a number: 30s")
def _(manifests):
    setting(manifests, "scheduler", "GRAYWAVE__SCHEDULER__LEASE_MS", "30s")


@breaks(policies.references_lead_somewhere, "no ConfigMap graywave-common")
def _(manifests):
    manifests.objects.remove(next(item for item in manifests.of("ConfigMap") if "common" in item["metadata"]["name"]))


@breaks(policies.references_lead_somewhere, "not used by any pod")
def _(manifests):
    del container(manifests, "worker")["envFrom"][1]


@breaks(policies.references_lead_somewhere, "no Secret graywave-scheduler-tls")
def _(manifests):
    manifests.objects.remove(manifests.named("Certificate", "graywave-scheduler"))


@breaks(policies.root_key_is_elsewhere, "its CA is in the namespace of the roles")
def _(manifests):
    manifests.named("ClusterIssuer", "graywave")["kind"] = "Issuer"


@breaks(policies.root_key_is_elsewhere, "holds the key of a CA")
def _(manifests):
    metadata = {"name": "graywave-ca", "namespace": "graywave"}
    manifests.objects.append({"kind": "Secret", "metadata": metadata, "data": {"ca.key": ""}})


@breaks(policies.each_worker_has_its_own_identity, "its pods share a certificate")
def _(manifests):
    volume = next(volume for volume in pod(manifests, "worker")["volumes"] if volume["name"] == "tls")
    del volume["csi"]
    volume["secret"] = {"secretName": "graywave-worker-tls"}


@breaks(policies.database_has_connections_for_all, "but up to 2200 are needed")
def _(manifests):
    manifests.named("HorizontalPodAutoscaler", "graywave-api")["spec"]["maxReplicas"] = 48


@breaks(policies.database_loses_nothing, "a failover may lose")
def _(manifests):
    database = manifests.named("Cluster", "graywave-database")
    database["spec"]["postgresql"]["synchronous"]["dataDurability"] = "preferred"


@breaks(policies.database_loses_nothing, "the loss of one standby")
def _(manifests):
    manifests.named("Cluster", "graywave-database")["spec"]["instances"] = 2


class Policies(unittest.TestCase):
    def test_the_manifests_break_none(self):
        for cluster, manifests in CLEAN.items():
            self.assertEqual(policies.findings(manifests), [], cluster)

    def test_each_change_breaks_the_policy_that_it_names(self):
        for policy, cluster, change, finding in BREAKS:
            with self.subTest(f"{policy.__name__}: {finding}"):
                manifests = copy.deepcopy(CLEAN[cluster])
                change(manifests)
                self.assertIn(finding, "\n".join(policy(manifests)))

    def test_each_policy_is_broken_once_at_least(self):
        self.assertEqual(set(policies.POLICIES), {policy for policy, *_ in BREAKS})


if __name__ == "__main__":
    unittest.main()
