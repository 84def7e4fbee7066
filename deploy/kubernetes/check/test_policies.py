"""Each policy finds a violation: the manifests have none, and each change here causes the named one."""

import copy
import unittest
from collections.abc import Callable
from pathlib import Path

import yaml

import policies
from manifests import CLUSTERS, KUBERNETES, Manifests, render, settings

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


@breaks(policies.memory_holds_the_bodies, "Deployment graywave-scheduler, container scheduler: 512Mi of memory")
def _(manifests):
    for config in manifests.of("ConfigMap"):
        config["data"].pop("GRAYWAVE__API__BODY_BUDGET_BYTES", None)


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


@breaks(policies.pods_are_restricted, "CronJob graywave-migrate, container migrate: may write")
def _(manifests):
    job = manifests.named("CronJob", "graywave-migrate")["spec"]["jobTemplate"]
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


@breaks(policies.hung_containers_are_killed_soon, "livenessProbe kills after the grace period of the pod")
def _(manifests):
    del container(manifests, "worker")["livenessProbe"]["terminationGracePeriodSeconds"]


@breaks(policies.hung_containers_are_killed_soon, "Deployment graywave-api: startupProbe kills after 80")
def _(manifests):
    container(manifests, "api")["startupProbe"]["terminationGracePeriodSeconds"] = 80


@breaks(policies.stops_have_the_time_they_need, "killed after 589 s, but needs 590 s")
def _(manifests):
    pod(manifests, "worker")["terminationGracePeriodSeconds"] = 589


@breaks(policies.stops_have_the_time_they_need, "a grace of 630 s, but the cluster autoscaler kills earlier")
def _(manifests):
    pod(manifests, "worker")["terminationGracePeriodSeconds"] = 630


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


@breaks(policies.new_pods_wait_for_the_migration, "Deployment graywave-api: does not migrate first")
def _(manifests):
    del pod(manifests, "api")["initContainers"]


@breaks(policies.new_pods_wait_for_the_migration, "Deployment graywave-scheduler: does not migrate")
def _(manifests):
    pod(manifests, "scheduler")["initContainers"][0]["image"] = "ghcr.io/graywave/graywave:0.0.1"


@breaks(policies.new_pods_wait_for_the_migration, "Deployment graywave-worker: is ready before a scheduler")
def _(manifests):
    container(manifests, "worker")["readinessProbe"]["httpGet"]["path"] = "/healthz"


@breaks(
    policies.budgets_fit_what_is_lost, "PodDisruptionBudget graywave-worker: AlwaysAllow instead of IfHealthyBudget"
)
def _(manifests):
    budget = manifests.named("PodDisruptionBudget", "graywave-worker")
    budget["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow"


@breaks(policies.budgets_fit_what_is_lost, "PodDisruptionBudget graywave-api: IfHealthyBudget instead of AlwaysAllow")
def _(manifests):
    del manifests.named("PodDisruptionBudget", "graywave-api")["spec"]["unhealthyPodEvictionPolicy"]


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


@breaks(policies.pods_are_spread, "Deployment graywave-worker: no priority class graywave")
def _(manifests):
    manifests.objects.remove(manifests.named("PriorityClass", "graywave"))


@breaks(policies.database_has_the_priority_of_its_callers, "Cluster graywave-database: priority None")
def _(manifests):
    del manifests.named("Cluster", "graywave-database")["spec"]["priorityClassName"]


@breaks(policies.assigned_groups_read_certificates, "tls belongs to the group 65532, the pods have None", "openshift")
def _(manifests):
    volume = next(volume for volume in pod(manifests, "worker")["volumes"] if volume["name"] == "tls")
    volume["csi"]["volumeAttributes"]["csi.cert-manager.io/fs-group"] = "65532"


@breaks(policies.database_is_verified, "does not verify the database", "external-postgres")
def _(manifests):
    env = container(manifests, "api")["env"]
    env.remove(next(item for item in env if item["name"] == "GRAYWAVE__DATABASE__CA_FILE"))


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


@breaks(policies.services_lead_to_ports, "TLSRoute graywave-admin: no service graywave-admin:9091", "options")
def _(manifests):
    manifests.named("TLSRoute", "graywave-admin")["spec"]["rules"][0]["backendRefs"][0]["port"] = 9091


@breaks(policies.services_lead_to_ports, "BackendTLSPolicy graywave-admin: no Service other", "grpc-route")
def _(manifests):
    policy = manifests.named("BackendTLSPolicy", "graywave-admin")
    policy["spec"]["targetRefs"][0]["name"] = "other"


@breaks(policies.urls_lead_to_services, "container worker: https://graywave-scheduler:9090 is no service")
def _(manifests):
    # As a namePrefix does.
    manifests.named("Service", "graywave-scheduler")["metadata"]["name"] = "eu-graywave-scheduler"


@breaks(policies.urls_lead_to_services, "https://graywave-agents:443 is no service", "dev")
def _(manifests):
    desktop = manifests.named("StatefulSet", "graywave-desktop")["spec"]["template"]["spec"]["containers"][0]
    desktop["env"][0]["value"] = "https://graywave-agents:443"


@breaks(policies.certificates_have_the_names_of_their_services, "Certificate graywave-scheduler: not for localhost")
def _(manifests):
    manifests.named("Certificate", "graywave-scheduler")["spec"]["dnsNames"] = ["graywave-scheduler"]


@breaks(policies.certificates_have_the_names_of_their_services, "not for graywave-admin.graywave.svc")
def _(manifests):
    manifests.named("Certificate", "graywave-admin")["spec"]["dnsNames"].remove("graywave-admin.graywave.svc")


@breaks(policies.certificates_have_the_names_of_their_services, "graywave-worker: not for agents.", "openshift without driver")
def _(manifests):
    manifests.named("Certificate", "graywave-worker")["spec"]["dnsNames"] = ["graywave-agents"]


@breaks(policies.certificates_have_the_names_of_their_services, "no ClusterIssuer graywave-c", "cell a")
def _(manifests):
    manifests.named("Certificate", "graywave-signer")["spec"]["issuerRef"]["name"] = "graywave-c"


@breaks(policies.public_names_are_in_one_place, "the namespace is graywave-b", "cell b")
def _(manifests):
    manifests.named("ConfigMap", "graywave-names")["data"]["namespace"] = "graywave-a"


@breaks(policies.public_names_are_in_one_place, "TLSRoute graywave-agents: ['a.example.com'] instead", "options")
def _(manifests):
    manifests.named("TLSRoute", "graywave-agents")["spec"]["hostnames"] = ["a.example.com"]


@breaks(policies.public_names_are_in_one_place, "Deployment graywave-worker: PUBLIC instead of agents.graywave")
def _(manifests):
    volume = next(volume for volume in pod(manifests, "worker")["volumes"] if volume["name"] == "tls")
    volume["csi"]["volumeAttributes"]["csi.cert-manager.io/dns-names"] = "PUBLIC"


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


@breaks(policies.workers_have_memory_for_their_agents, "does not scale by its agents")
def _(manifests):
    target = manifests.named("HorizontalPodAutoscaler", "graywave-worker")["spec"]["metrics"][1]["resource"]["target"]
    target["type"] = "Utilization"


@breaks(policies.workers_have_memory_for_their_agents, "too little memory for 12000 agents")
def _(manifests):
    container(manifests, "worker")["resources"]["requests"]["memory"] = "512Mi"


@breaks(policies.workers_have_memory_for_their_agents, "too little memory for 20000 agents", "options")
def _(manifests):
    scaler = manifests.named("HorizontalPodAutoscaler", "graywave-worker")
    scaler["spec"]["metrics"][1]["pods"]["target"]["averageValue"] = "20000"


@breaks(policies.workers_have_memory_for_their_agents, "worker.max_agents 50000 does not fit 2560Mi")
def _(manifests):
    setting(manifests, "worker", "GRAYWAVE__WORKER__MAX_AGENTS", "50000")


@breaks(policies.exporters_reach_their_collector, "no network policy leads to http://collector.tracing:4317")
def _(manifests):
    setting(manifests, "api", "GRAYWAVE__TELEMETRY__OTLP_ENDPOINT", "http://collector.tracing:4317")


@breaks(policies.exporters_reach_their_collector, "leads to http://opentelemetry-collector", "options")
def _(manifests):
    manifests.objects.remove(manifests.named("NetworkPolicy", "graywave-collector"))


@breaks(policies.secrets_are_files_that_change, "container api: DATABASE_URL is a variable")
def _(manifests):
    reference = {"secretKeyRef": {"name": "graywave-database-app", "key": "uri"}}
    container(manifests, "api")["env"].append({"name": "DATABASE_URL", "valueFrom": reference})


@breaks(policies.secrets_are_files_that_change, "container scheduler: master-key is mounted by subPath")
def _(manifests):
    mounts = container(manifests, "scheduler")["volumeMounts"]
    next(mount for mount in mounts if mount["name"] == "master-key")["subPath"] = "keys"


@breaks(policies.files_are_mounted, "GRAYWAVE__DATABASE__CA_FILE is /etc/graywave/database-ca/ca.crt, where")
def _(manifests):
    mounts = container(manifests, "api")["volumeMounts"]
    mounts.remove(next(mount for mount in mounts if mount["name"] == "database-ca"))


@breaks(policies.files_are_mounted, "which the volume database-owner does not have", "dev")
def _(manifests):
    volumes = pod(manifests, "api")["volumes"]
    next(volume for volume in volumes if volume["name"] == "database-owner")["secret"]["items"][0]["path"] = "url"


@breaks(policies.database_is_verified, "CronJob graywave-migrate, container migrate: does not verify the database")
def _(manifests):
    job = manifests.named("CronJob", "graywave-migrate")["spec"]["jobTemplate"]
    environment = job["spec"]["template"]["spec"]["containers"][0]["env"]
    environment.remove(next(item for item in environment if item["name"] == "GRAYWAVE__DATABASE__CA_FILE"))


@breaks(policies.database_is_verified, "Deployment graywave-api: gets the key of the database's CA")
def _(manifests):
    volume = next(volume for volume in pod(manifests, "api")["volumes"] if volume["name"] == "database-ca")
    del volume["secret"]["items"]


@breaks(policies.backups_lead_somewhere, "ScheduledBackup graywave-database: no Cluster graywave")
def _(manifests):
    manifests.named("ScheduledBackup", "graywave-database")["spec"]["cluster"]["name"] = "graywave"


@breaks(policies.backups_lead_somewhere, "Cluster graywave-database: archives nothing")
def _(manifests):
    del manifests.named("Cluster", "graywave-database")["spec"]["plugins"]


@breaks(policies.backups_lead_somewhere, "no ObjectStore graywave-backup", "recovery")
def _(manifests):
    manifests.objects.remove(manifests.named("ObjectStore", "graywave-backup"))


@breaks(policies.backups_lead_somewhere, "archives over the backup that it comes from", "recovery")
def _(manifests):
    del manifests.named("Cluster", "graywave-database")["spec"]["plugins"][0]["parameters"]["serverName"]


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


@breaks(policies.references_lead_somewhere, "no Secret graywave-database-app", "dev")
def _(manifests):
    # The migration's name for the Secret, as long as names had a hash in this overlay.
    secret = manifests.named("Secret", "graywave-database-app")
    secret["metadata"]["name"] += "-2b9f5c7mkd"


@breaks(policies.references_lead_somewhere, "Deployment graywave-worker: no ConfigMap graywave-cas")
def _(manifests):
    volume = next(volume for volume in pod(manifests, "worker")["volumes"] if volume["name"] == "ca")
    volume["configMap"]["name"] = "graywave-cas"


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


class Overlays(unittest.TestCase):
    def test_all_images_get_their_version_from_one_file(self):
        places = [path for path in KUBERNETES.rglob("kustomization.yaml") if "newTag" in path.read_text()]
        self.assertEqual(places, [KUBERNETES / "components/version/kustomization.yaml"])

    def test_production_needs_no_collector_and_no_adapter(self):
        production = CLEAN["production"]
        self.assertNotIn("GRAYWAVE__TELEMETRY__OTLP_ENDPOINT", str(production.of("ConfigMap")))
        scalers = production.of("HorizontalPodAutoscaler")
        kinds = {metric["type"] for item in scalers for metric in item["spec"]["metrics"]}
        self.assertEqual(kinds, {"Resource"})

    def test_every_component_is_part_of_a_cluster(self):
        components = {path.name for path in (KUBERNETES / "components").iterdir()}
        used = {component for cluster in CLUSTERS.values() for component in cluster.add}
        for path in [*KUBERNETES.rglob("overlays/*/kustomization.yaml"), KUBERNETES / "base/kustomization.yaml"]:
            used |= {Path(item).name for item in yaml.safe_load(path.read_text())["components"]}
        for name in list(used):
            nested = yaml.safe_load((KUBERNETES / "components" / name / "kustomization.yaml").read_text())
            used |= {Path(item).name for item in nested.get("components", [])}
        self.assertEqual(components, used)

    def test_a_recovery_starts_neither_schedulers_nor_workers(self):
        started = [item for item in CLEAN["recovery"].of("Deployment") if item["spec"].get("replicas") != 0]
        self.assertEqual([item["metadata"]["name"] for item in started], ["graywave-api"])

    def test_settings_that_are_shown_as_alternatives_are_known(self):
        text = '[a]\nb = 1   # kept\n# b_file = "x"   # instead\n   # more about it\n# a remark\n'
        self.assertEqual(settings(text), {"a.b": 1, "a.b_file": "x"})

    def test_a_migration_is_applied_and_started_alone(self):
        for cluster, manifests in CLEAN.items():
            label = ("app.kubernetes.io/component", "migrate")
            ours = [item for item in manifests.objects if label in item["metadata"].get("labels", {}).items()]
            self.assertEqual({item["kind"] for item in ours}, {"ServiceAccount", "CronJob", "NetworkPolicy"}, cluster)
            self.assertIs(manifests.named("CronJob", "graywave-migrate")["spec"]["suspend"], True)

    def test_cells_share_nothing_but_their_gateway(self):
        cells = [CLEAN["cell a"], CLEAN["cell b"]]
        for of_one in (projects, issuers, backups, agents, cell_names, Manifests.namespace):
            first, second = ({of_one(cell)} if isinstance(of_one(cell), str) else of_one(cell) for cell in cells)
            self.assertTrue(first and second, of_one.__name__)
            self.assertEqual(first & second, set(), of_one.__name__)

    def test_the_map_of_haproxy_has_the_projects_of_the_routes(self):
        lines = (KUBERNETES / "examples/cells/cells.map").read_text().splitlines()
        mapped = {tuple(line.split()) for line in lines if not line.startswith("#")}
        routed = {(project, f"cell-{cell}") for cell in "ab" for project in projects(CLEAN[f"cell {cell}"])}
        self.assertEqual(mapped, routed)


def projects(cell: Manifests) -> set[str]:
    """Projects whose calls a cell gets; each by both of its paths."""
    matches = [match for item in cell.of("HTTPRoute") for rule in item["spec"]["rules"] for match in rule["matches"]]
    paths = {match["path"]["value"] for match in matches}
    found = {path.rsplit("/", 1)[1] for path in paths}
    assert paths == {prefix + project for project in found for prefix in ("/v2/", "/v1/projects/")}, paths
    return found


def issuers(cell: Manifests) -> set[str]:
    return {item["spec"]["issuerRef"]["name"] for item in cell.of("Certificate")} | {
        volume["csi"]["volumeAttributes"]["csi.cert-manager.io/issuer-name"]
        for volume in pod(cell, "worker")["volumes"]
        if "csi" in volume
    }


def backups(cell: Manifests) -> set[str]:
    return {item["spec"]["configuration"]["destinationPath"] for item in cell.of("ObjectStore")}


def agents(cell: Manifests) -> str:
    return cell.named("ConfigMap", "graywave-names")["data"]["agents"]


def cell_names(cell: Manifests) -> set[str]:
    roles = [container(cell, role) for role in ("api", "scheduler", "worker")]
    return {cell.environment(role)["GRAYWAVE__TELEMETRY__CELL"] for role in roles}


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
