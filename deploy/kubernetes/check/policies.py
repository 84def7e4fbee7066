"""Rules for the manifests. Each yields the violations in one cluster and has a test that violates it."""

import base64
import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from manifests import Manifests, Pod, documented_settings, matches, quantity, title, workspace_version

Policy = Callable[[Manifests], Iterator[str]]
POLICIES: list[Policy] = []

# Seconds a role needs after SIGTERM, without a drain: last responses, a worker's deregistration.
LAST_WORDS_SECONDS = 10
# The cluster autoscaler kills the pods of a node that it removes after this time, by default.
AUTOSCALER_GRACE_SECONDS = 600
# Time in which a hung process is killed.
HUNG_GRACE_SECONDS = 10
# Memory of a worker: for each agent, for everything else as usual, and at most. docs/configuration.md
# derives `worker.max_agents` from the first and the last one: idle agents fill a share of the rest.
AGENT_BYTES = 64 * 2**10
AGENTS_SHARE = 3 / 4
WORKER_BYTES = 150 * 2**20
WORKER_MAX_BYTES = 384 * 2**20
# Objects that belong to the whole Kubernetes cluster.
CLUSTER_KINDS = ("Namespace", "ClusterIssuer", "Bundle", "PriorityClass")


def policy(function: Policy) -> Policy:
    POLICIES.append(function)
    return function


def findings(manifests: Manifests) -> list[str]:
    return [f"{rule.__name__}: {finding}" for rule in POLICIES for finding in rule(manifests)]


def containers(manifests: Manifests) -> Iterator[tuple[Pod, dict, str]]:
    for pod in manifests.pods():
        for container in pod.containers():
            yield pod, container, f"{pod.owner}, container {container['name']}"


def role_of(pod: Pod) -> str | None:
    """Role that the pods run: the argument of their main container."""
    for container in (pod.spec or {}).get("containers", []):
        return next(iter(container.get("args", [])), None)
    return None


def names(manifests: Manifests) -> dict[str, str]:
    """Public names and the namespace, of the overlay."""
    config = manifests.named("ConfigMap", "graywave-names")
    return config["data"] if config else {}


def written(manifests: Manifests) -> list[Pod]:
    """Pods in the manifests, without those that operators create."""
    return [pod for pod in manifests.pods() if pod.spec]


@policy
def images_have_a_version(manifests: Manifests) -> Iterator[str]:
    images = [(where, container["image"]) for _, container, where in containers(manifests)]
    images += [(title(item), item["spec"].get("imageName", "")) for item in manifests.of("Cluster")]
    for where, image in images:
        tag = re.search(r":([^/:@]+)(@sha256:[0-9a-f]{64})?$", image)
        if not tag or tag[1] == "latest":
            yield f"{where}: {image or 'no image'}"


@policy
def our_images_have_our_version(manifests: Manifests) -> Iterator[str]:
    version = workspace_version()
    for _, container, where in containers(manifests):
        image = container["image"]
        if image.startswith("ghcr.io/graywave/") and not image.endswith(f":{version}"):
            yield f"{where}: {image}, but Cargo.toml has {version}"


@policy
def resources_are_bounded(manifests: Manifests) -> Iterator[str]:
    bounded = [(where, container) for _, container, where in containers(manifests)]
    bounded += [(title(item), item["spec"]) for item in manifests.of("Cluster")]
    for where, item in bounded:
        resources = item.get("resources", {})
        for kind, resource in [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")]:
            if resource not in resources.get(kind, {}):
                yield f"{where}: no {kind} of {resource}"


@policy
def memory_holds_the_bodies(manifests: Manifests) -> Iterator[str]:
    """Bodies are in memory twice: as received and as parsed. Schedulers get them on the admin listener."""
    default = documented_settings()["api.body_budget_bytes"]
    for _, container, where in containers(manifests):
        if container.get("args") not in (["api"], ["scheduler"]):
            continue
        budget = manifests.environment(container).get("GRAYWAVE__API__BODY_BUDGET_BYTES", default)
        limit = container.get("resources", {}).get("limits", {}).get("memory")
        if limit and quantity(limit) < 2 * int(budget):
            yield f"{where}: {limit} of memory is too little for bodies of {budget} bytes"


@policy
def pods_are_restricted(manifests: Manifests) -> Iterator[str]:
    """The "restricted" Pod Security Standard, and a read-only root file system."""
    for pod in written(manifests):
        context = pod.spec.get("securityContext", {})
        # Without a user id, that of the image counts, or the platform assigns one.
        if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
            yield f"{pod.owner}: may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod.owner}: no seccomp profile"
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(key):
                yield f"{pod.owner}: {key}"
        for volume in pod.spec.get("volumes", []):
            is_certificate = volume.get("csi", {}).get("driver") == "csi.cert-manager.io"
            if not is_certificate and not volume.keys() & {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}:
                yield f"{pod.owner}: volume {volume['name']} has a forbidden type"
    for _, container, where in containers(manifests):
        context = container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
            yield f"{where}: may gain privileges"
        capabilities = context.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
            yield f"{where}: keeps capabilities"
        if context.get("readOnlyRootFilesystem") is not True:
            yield f"{where}: may write to its root file system"
        if context.keys() & {"runAsUser", "runAsNonRoot", "seccompProfile", "procMount"}:
            yield f"{where}: overrides its pod"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{where}: uses a port of the node"


@policy
def namespace_enforces_restricted(manifests: Manifests) -> Iterator[str]:
    for item in manifests.of("Namespace"):
        if item["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield title(item)


@policy
def all_is_in_the_namespace(manifests: Manifests) -> Iterator[str]:
    namespaces = [item["metadata"]["name"] for item in manifests.of("Namespace")]
    for item in manifests.objects:
        if item["kind"] in CLUSTER_KINDS:
            continue
        if item["metadata"].get("namespace") not in namespaces:
            yield title(item)


@policy
def root_key_is_elsewhere(manifests: Manifests) -> Iterator[str]:
    """The key of the CA can be every role, so it is in no Secret of the namespace of the roles."""
    for item in manifests.of("Issuer"):
        if "ca" in item["spec"]:
            yield f"{title(item)}: its CA is in the namespace of the roles"
    for item in manifests.of("Secret"):
        if "ca.key" in {**item.get("data", {}), **item.get("stringData", {})}:
            yield f"{title(item)}: holds the key of a CA"


@policy
def each_worker_has_its_own_identity(manifests: Manifests) -> Iterator[str]:
    """One stolen worker is denied alone. Without cert-manager's CSI driver, all share a certificate: the overlay
    has decided so if it has one, or no certificate at all."""
    certificates = [uri for item in manifests.of("Certificate") for uri in item["spec"].get("uris", [])]
    if not certificates or any(uri.startswith("graywave://role/worker/") for uri in certificates):
        return
    for pod in written(manifests):
        if not any(container.get("args") == ["worker"] for container in pod.containers()):
            continue
        uris = [
            volume["csi"]["volumeAttributes"].get("csi.cert-manager.io/uri-sans", "")
            for volume in pod.spec.get("volumes", [])
            if "csi" in volume
        ]
        if uris != ["graywave://role/worker/${POD_NAME}"]:
            yield f"{pod.owner}: its pods share a certificate"


@policy
def nobody_has_rights(manifests: Manifests) -> Iterator[str]:
    for item in manifests.of("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
        yield title(item)
    for item in manifests.of("ServiceAccount"):
        if item.get("automountServiceAccountToken") is not False:
            yield f"{title(item)}: the token is mounted"
    for pod in written(manifests):
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.owner}: a token is mounted"
        if not manifests.named("ServiceAccount", pod.spec.get("serviceAccountName", "default")):
            yield f"{pod.owner}: no dedicated service account"


@policy
def services_are_not_told_by_variables(manifests: Manifests) -> Iterator[str]:
    for pod in written(manifests):
        if pod.spec.get("enableServiceLinks") is not False:
            yield pod.owner


@policy
def containers_are_probed(manifests: Manifests) -> Iterator[str]:
    for item in manifests.of("Deployment"):
        for container in item["spec"]["template"]["spec"]["containers"]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if probe not in container:
                    yield f"{title(item)}, container {container['name']}: no {probe}"


@policy
def probes_ask_ports_that_answer(manifests: Manifests) -> Iterator[str]:
    """With TLS a kubelet's gRPC probe always fails, because kubelets do not support TLS."""
    for _, container, where in containers(manifests):
        has_tls = "GRAYWAVE__TLS__CERT_FILE" in manifests.environment(container)
        ports = container.get("ports", [])
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container.get(kind, {})
            port = probe.get("grpc", probe.get("httpGet", {})).get("port")
            if port and not any(port in (item["name"], item["containerPort"]) for item in ports):
                yield f"{where}: {kind} uses {port}, which is not a port of the container"
            if "grpc" in probe and has_tls:
                yield f"{where}: {kind} uses gRPC, but the port has TLS"


@policy
def hung_containers_are_killed_soon(manifests: Manifests) -> Iterator[str]:
    """A probe's kill has the grace period of the pod otherwise, which for a worker is that of a drain."""
    for item in manifests.of("Deployment"):
        for container in item["spec"]["template"]["spec"]["containers"]:
            for kind in ("startupProbe", "livenessProbe"):
                grace = container.get(kind, {}).get("terminationGracePeriodSeconds")
                if grace is None or grace > HUNG_GRACE_SECONDS:
                    yield f"{title(item)}: {kind} kills after {grace or 'the grace period of the pod'}"


@policy
def stops_have_the_time_they_need(manifests: Manifests) -> Iterator[str]:
    """During preStop new traffic goes elsewhere; then current requests or a worker's scripts finish."""
    for item in manifests.of("Deployment"):
        spec = item["spec"]["template"]["spec"]
        for container in spec["containers"]:
            variables = manifests.environment(container)
            sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            drain = int(variables.get("GRAYWAVE__WORKER__DRAIN_TIMEOUT_MS", 0)) / 1000
            request = int(variables.get("GRAYWAVE__API__REQUEST_TIMEOUT_MS", 0)) / 1000
            needed = sleep + drain + LAST_WORDS_SECONDS
            grace = spec.get("terminationGracePeriodSeconds", 30)
            if grace > AUTOSCALER_GRACE_SECONDS:
                yield f"{title(item)}: a grace of {grace} s, but the cluster autoscaler kills earlier"
            if sleep == 0:
                yield f"{title(item)}: no preStop"
            if sleep < request:
                yield f"{title(item)}: preStop is shorter than the time limit of a request"
            if grace < needed:
                yield f"{title(item)}: killed after {grace} s, but needs {needed:g} s"
            if container["args"] == ["worker"] and not drain:
                yield f"{title(item)}: has no drain timeout"


@policy
def updates_take_nothing_away_first(manifests: Manifests) -> Iterator[str]:
    for item in manifests.of("Deployment"):
        rolling = item["spec"].get("strategy", {}).get("rollingUpdate", {})
        if rolling.get("maxUnavailable") != 0 or rolling.get("maxSurge", 0) == 0:
            yield title(item)


@policy
def new_pods_wait_for_the_migration(manifests: Manifests) -> Iterator[str]:
    """Roles with the database migrate first; a worker is ready when a scheduler of its version has answered."""
    for pod in written(manifests):
        role = role_of(pod)
        if role in ("api", "scheduler"):
            first = next(iter(pod.spec.get("initContainers", [])), {})
            if first.get("args", [None])[0] != "migrate" or first["image"] != pod.spec["containers"][0]["image"]:
                yield f"{pod.owner}: does not migrate first, with its own image"
        elif role == "worker":
            probe = pod.spec["containers"][0].get("readinessProbe", {})
            if probe.get("httpGet", {}).get("path") != "/readyz":
                yield f"{pod.owner}: is ready before a scheduler of its version is"


@policy
def budgets_fit_what_is_lost(manifests: Manifests) -> Iterator[str]:
    """A worker that is not ready may hold agents, and not all may go. API and schedulers that are not ready do
    nothing, and must not block the drain of a node."""
    for pod in written(manifests):
        role = role_of(pod)
        wanted = {"worker": "IfHealthyBudget", "api": "AlwaysAllow", "scheduler": "AlwaysAllow"}.get(role)
        for budget in manifests.of("PodDisruptionBudget"):
            policy = budget["spec"].get("unhealthyPodEvictionPolicy", "IfHealthyBudget")
            if wanted and matches(budget["spec"]["selector"], pod.labels) and policy != wanted:
                yield f"{title(budget)}: {policy} instead of {wanted}"


@policy
def disruptions_are_budgeted(manifests: Manifests) -> Iterator[str]:
    budgets = manifests.of("PodDisruptionBudget")
    for item in manifests.of("Deployment"):
        labels = item["spec"]["template"]["metadata"]["labels"]
        replicas = manifests.replicas(item)
        ours = [budget["spec"] for budget in budgets if matches(budget["spec"]["selector"], labels)]
        if replicas > 1 and len(ours) != 1:
            yield f"{title(item)}: {len(ours)} budgets"
        for budget in ours:
            # Such a budget would block every eviction from a node. Without pods there is nothing to evict.
            if replicas and (budget.get("maxUnavailable", 1) == 0 or budget.get("minAvailable", 0) >= replicas):
                yield f"{title(item)}: the budget allows no disruption"


@policy
def pods_are_spread(manifests: Manifests) -> Iterator[str]:
    for item in manifests.of("Deployment"):
        template = item["spec"]["template"]
        constraints = template["spec"].get("topologySpreadConstraints", [])
        keys = {
            constraint["topologyKey"]
            for constraint in constraints
            if matches(constraint["labelSelector"], template["metadata"]["labels"])
        }
        for key in sorted({"topology.kubernetes.io/zone", "kubernetes.io/hostname"} - keys):
            yield f"{title(item)}: not spread over {key}"
        priority = template["spec"].get("priorityClassName")
        if priority and not manifests.named("PriorityClass", priority):
            yield f"{title(item)}: no priority class {priority}"


@policy
def database_has_the_priority_of_its_callers(manifests: Manifests) -> Iterator[str]:
    wanted = {pod.spec.get("priorityClassName") for pod in written(manifests) if role_of(pod) == "scheduler"}
    for item in manifests.of("Cluster"):
        priority = item["spec"].get("priorityClassName")
        if wanted != {priority}:
            yield f"{title(item)}: priority {priority}, but its schedulers have {wanted}"


@policy
def assigned_groups_read_certificates(manifests: Manifests) -> Iterator[str]:
    """The driver gives its files to the group in its attributes, so the pods must be in that group. Without the
    attribute they belong to group 0."""
    for pod in written(manifests):
        own = pod.spec.get("securityContext", {}).get("fsGroup")
        for volume in pod.spec.get("volumes", []):
            group = volume.get("csi", {}).get("volumeAttributes", {}).get("csi.cert-manager.io/fs-group")
            if "csi" in volume and group != (None if own is None else str(own)):
                yield f"{pod.owner}: volume {volume['name']} belongs to the group {group}, the pods have {own}"


@policy
def selectors_select(manifests: Manifests) -> Iterator[str]:
    """Network policies, budgets, services and monitors without a target are mistakes."""
    pods = manifests.pods()
    for item in manifests.of("NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "Service"):
        spec = item["spec"]
        selector = spec.get("podSelector", spec.get("selector"))
        if item["kind"] == "Service":
            selector = {"matchLabels": selector}
        if not any(matches(selector, pod.labels) for pod in pods):
            yield title(item)
    for item in manifests.of("ServiceMonitor"):
        for endpoint in item["spec"]["endpoints"]:
            if not any(
                matches(item["spec"]["selector"], service["metadata"].get("labels", {}))
                and endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
                for service in manifests.of("Service")
            ):
                yield title(item)


@policy
def services_lead_to_ports(manifests: Manifests) -> Iterator[str]:
    for service in manifests.of("Service"):
        for pod in written(manifests):
            if not matches({"matchLabels": service["spec"]["selector"]}, pod.labels):
                continue
            names = {port["name"] for container in pod.containers() for port in container.get("ports", [])}
            for port in service["spec"].get("ports", []):
                if port["targetPort"] not in names:
                    yield f"{title(service)}: {pod.owner} has no port {port['targetPort']}"
    for route in manifests.of("HTTPRoute", "TLSRoute", "GRPCRoute"):
        for reference in [item for rule in route["spec"]["rules"] for item in rule["backendRefs"]]:
            service = manifests.named("Service", reference["name"])
            if not service or reference["port"] not in [port["port"] for port in service["spec"]["ports"]]:
                yield f"{title(route)}: no service {reference['name']}:{reference['port']}"
        for reference in route["spec"]["parentRefs"]:
            if not manifests.named("Gateway", reference["name"]):
                yield f"{title(route)}: no gateway {reference['name']}"
    for item in manifests.of("BackendTLSPolicy"):
        for reference in item["spec"]["targetRefs"]:
            if not manifests.named(reference["kind"], reference["name"]):
                yield f"{title(item)}: no {reference['kind']} {reference['name']}"


@policy
def urls_lead_to_services(manifests: Manifests) -> Iterator[str]:
    """Kustomize changes the names of Services, with a namePrefix for example, but not names in URLs."""
    for _, container, where in containers(manifests):
        variables = manifests.environment(container)
        urls = variables.get("GRAYWAVE__WORKER__SCHEDULER_URLS", "").split(",")
        urls += [variables.get("GRAYWAVE_AGENT_WORKER", "")]
        for url in filter(None, urls):
            service = manifests.named("Service", urlsplit(url).hostname)
            if not service or urlsplit(url).port not in [port["port"] for port in service["spec"]["ports"]]:
                yield f"{where}: {url} is no service"


@policy
def certificates_have_the_names_of_their_services(manifests: Manifests) -> Iterator[str]:
    """Callers in the namespace, in other namespaces, through a forwarded port and from outside."""
    for item in manifests.of("Certificate"):
        name, public = item["metadata"]["name"], names(manifests)
        issuer = item["spec"]["issuerRef"]
        if not manifests.named(issuer["kind"], issuer["name"]):
            yield f"{title(item)}: no {issuer['kind']} {issuer['name']}"
        if "server auth" not in item["spec"].get("usages", []):
            continue
        wanted = {public.get("agents")}
        if manifests.named("Service", name):
            namespace = item["metadata"]["namespace"]
            wanted = {name, f"{name}.{namespace}", f"{name}.{namespace}.svc", "localhost", public.get("admin")}
        for missing in sorted(map(str, wanted - set(item["spec"].get("dnsNames", [])))):
            yield f"{title(item)}: not for {missing}"


@policy
def public_names_are_in_one_place(manifests: Manifests) -> Iterator[str]:
    public = names(manifests)
    if not public:
        return
    if public.get("namespace") != manifests.namespace():
        yield f"ConfigMap graywave-names: the namespace is {manifests.namespace()}"
    for item in manifests.of("TLSRoute", "GRPCRoute", "HTTPRoute"):
        wanted = public.get({"graywave-api": "rest", "graywave-admin": "admin"}.get(item["metadata"]["name"], "agents"))
        # Cells share a Gateway, whose name is none of theirs.
        if item["metadata"]["name"] != "graywave-projects" and item["spec"]["hostnames"] != [wanted]:
            yield f"{title(item)}: {item['spec']['hostnames']} instead of {wanted}"
    for pod in written(manifests):
        for volume in pod.spec.get("volumes", []):
            agents = volume.get("csi", {}).get("volumeAttributes", {}).get("csi.cert-manager.io/dns-names")
            if agents and agents != public.get("agents"):
                yield f"{pod.owner}: {agents} instead of {public.get('agents')}"


@policy
def all_is_denied_by_default(manifests: Manifests) -> Iterator[str]:
    if not any(
        item["spec"]["podSelector"] == {}
        and set(item["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not item["spec"].get("ingress")
        and not item["spec"].get("egress")
        for item in manifests.of("NetworkPolicy")
    ):
        yield "no network policy denies traffic by default"


@policy
def autoscalers_scale_something(manifests: Manifests) -> Iterator[str]:
    for item in manifests.of("HorizontalPodAutoscaler"):
        reference = item["spec"]["scaleTargetRef"]
        target = manifests.named(reference["kind"], reference["name"])
        if not target:
            yield f"{title(item)}: no {reference['kind']} {reference['name']}"
        # With 0 the autoscaler does nothing, on purpose.
        elif target["spec"].get("replicas", 0) != 0:
            yield f"{title(item)}: each apply would reset the replicas of the target"


@policy
def workers_have_memory_for_their_agents(manifests: Manifests) -> Iterator[str]:
    """At the size at which the autoscaler adds a worker, agents fit the request; twice as many fit the limit, for
    the loss of one of two workers."""
    for item in manifests.of("Deployment"):
        container = item["spec"]["template"]["spec"]["containers"][0]
        if container["args"] != ["worker"]:
            continue
        resources = container["resources"]
        request, limit = quantity(resources["requests"]["memory"]), quantity(resources["limits"]["memory"])
        most = manifests.environment(container).get("GRAYWAVE__WORKER__MAX_AGENTS")
        most_bytes = (limit - WORKER_MAX_BYTES) * AGENTS_SHARE
        if most and most_bytes < int(most) * AGENT_BYTES:
            yield f"{title(item)}: worker.max_agents {most} does not fit {resources['limits']['memory']}"
        agents = agents_at_target(manifests.scaler(item))
        if agents is None:
            yield f"{title(item)}: does not scale by its agents"
        elif request < WORKER_BYTES + agents * AGENT_BYTES or most_bytes < 2 * agents * AGENT_BYTES:
            yield f"{title(item)}: too little memory for {agents:.0f} agents"


def agents_at_target(scaler: dict | None) -> float | None:
    """Agents of a worker at which the autoscaler adds another one."""
    for metric in (scaler or {"spec": {"metrics": []}})["spec"]["metrics"]:
        if metric.get("pods", {}).get("metric", {}).get("name") == "graywave_agents_connected":
            return float(metric["pods"]["target"]["averageValue"])
        # A share of the request would change with the request, which agents do not.
        memory = metric.get("resource", {})
        if memory.get("name") == "memory" and memory["target"]["type"] == "AverageValue":
            return (quantity(memory["target"]["averageValue"]) - WORKER_BYTES) / AGENT_BYTES
    return None


@policy
def exporters_reach_their_collector(manifests: Manifests) -> Iterator[str]:
    """A role whose collector does not answer logs warnings, so one is named only where a rule leads to it."""
    for pod, container, where in containers(manifests):
        endpoint = manifests.environment(container).get("GRAYWAVE__TELEMETRY__OTLP_ENDPOINT")
        if not endpoint or container in (pod.spec or {}).get("initContainers", []):
            continue
        namespace, port = urlsplit(endpoint).hostname.split(".")[1], urlsplit(endpoint).port
        rules = [
            rule
            for item in manifests.of("NetworkPolicy")
            if matches(item["spec"]["podSelector"], pod.labels)
            for rule in item["spec"].get("egress", [])
        ]
        leads = any(
            peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name") == namespace
            and port in [item["port"] for item in rule["ports"]]
            for rule in rules
            for peer in rule["to"]
        )
        if not leads:
            yield f"{where}: no network policy leads to {endpoint}"


@policy
def secrets_are_files_that_change(manifests: Manifests) -> Iterator[str]:
    """Graywave reads files again. A variable stays as at the start, and so does a file mounted by subPath."""
    for _, container, where in containers(manifests):
        for item in container.get("env", []):
            if "secretKeyRef" in item.get("valueFrom", {}):
                yield f"{where}: {item['name']} is a variable"
        for mount in container.get("volumeMounts", []):
            if "subPath" in mount:
                yield f"{where}: {mount['name']} is mounted by subPath"


@policy
def files_are_mounted(manifests: Manifests) -> Iterator[str]:
    """Each setting that names a file leads to a key of a mounted Secret or ConfigMap."""
    for pod, container, where in containers(manifests):
        volumes = {volume["name"]: volume for volume in (pod.spec or {}).get("volumes", [])}
        mounts = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", [])}
        for name, value in manifests.environment(container).items():
            if not name.endswith("_FILE") or not value.startswith("/"):
                continue
            directory, file = value.rsplit("/", 1)
            volume = volumes.get(mounts.get(directory, ""))
            if volume is None:
                yield f"{where}: {name} is {value}, where nothing is mounted"
                continue
            items = volume.get("secret", volume.get("configMap", {})).get("items")
            if items and file not in [item["path"] for item in items]:
                yield f"{where}: {name} is {value}, which the volume {volume['name']} does not have"


@policy
def database_is_verified(manifests: Manifests) -> Iterator[str]:
    """The CA of the database is mounted, without its key, wherever the database is used. The plain Postgres in
    the manifests of dev has none."""
    if manifests.of("StatefulSet") and not manifests.of("Cluster"):
        return
    authorities = {"graywave-database-ca"}
    for _, container, where in containers(manifests):
        variables = manifests.environment(container)
        if "GRAYWAVE__DATABASE__URL_FILE" in variables and "GRAYWAVE__DATABASE__CA_FILE" not in variables:
            yield f"{where}: does not verify the database"
    for pod in written(manifests):
        for volume in pod.spec.get("volumes", []):
            secret = volume.get("secret", {})
            keys = [item["key"] for item in secret.get("items", [])]
            if secret.get("secretName") in authorities and keys != ["ca.crt"]:
                yield f"{pod.owner}: gets the key of the database's CA"


@policy
def backups_lead_somewhere(manifests: Manifests) -> Iterator[str]:
    for item in manifests.of("ScheduledBackup"):
        if not manifests.named("Cluster", item["spec"]["cluster"]["name"]):
            yield f"{title(item)}: no Cluster {item['spec']['cluster']['name']}"
    for item in manifests.of("Cluster"):
        archives = [plugin for plugin in item["spec"].get("plugins", []) if plugin.get("isWALArchiver")]
        if not archives:
            yield f"{title(item)}: archives nothing"
        sources = [cluster["plugin"] for cluster in item["spec"].get("externalClusters", [])]
        for plugin in archives + sources:
            if not manifests.named("ObjectStore", plugin["parameters"]["barmanObjectName"]):
                yield f"{title(item)}: no ObjectStore {plugin['parameters']['barmanObjectName']}"
        # An archive that is not empty is refused, and overwriting it would destroy the backup.
        default = item["metadata"]["name"]
        written_to = {plugin["parameters"].get("serverName", default) for plugin in archives}
        if written_to & {plugin["parameters"].get("serverName", default) for plugin in sources}:
            yield f"{title(item)}: archives over the backup that it comes from"


@policy
def secrets_hold_no_secrets(manifests: Manifests) -> Iterator[str]:
    """Secrets in git must hold no real secret: only an address without a password, or a key of zeros."""
    for item in manifests.of("Secret"):
        values = {key: decoded(value) for key, value in item.get("data", {}).items()} | item.get("stringData", {})
        for key, value in values.items():
            has_no_password = "://" in value and urlsplit(value).password is None
            if set(value) != {"0"} and not has_no_password:
                yield f"{title(item)}: {key}"
    for _, container, where in containers(manifests):
        for name in manifests.environment(container):
            if re.search("PASSWORD|TOKENS$|API__KEYS|MASTER_KEYS|DATABASE_URL|DATABASE__URL$|PARTITION_URL$", name):
                yield f"{where}: {name} does not come from a Secret"


def decoded(value: str) -> str:
    return base64.b64decode(value).decode()


@policy
def who_has_certificates_signs_orders(manifests: Manifests) -> Iterator[str]:
    """A scheduler with TLS does not start without a signer, and its agents run only signed scripts."""
    for _, container, where in containers(manifests):
        names = manifests.environment(container)
        if container.get("args") == ["scheduler"] and "GRAYWAVE__TLS__CERT_FILE" in names:
            for name in ("GRAYWAVE__ORDERS__CERT_FILE", "GRAYWAVE__ORDERS__KEY_FILE"):
                if name not in names:
                    yield f"{where}: no {name}"


@policy
def settings_are_known(manifests: Manifests) -> Iterator[str]:
    known = documented_settings()
    for _, container, where in containers(manifests):
        for name, value in manifests.environment(container).items():
            if not name.startswith("GRAYWAVE__"):
                continue
            key = name.removeprefix("GRAYWAVE__").replace("__", ".").lower()
            if key not in known:
                yield f"{where}: {name}"
            elif isinstance(known[key], bool):
                if value not in ("true", "false"):
                    yield f"{where}: {name} is neither true nor false: {value}"
            elif isinstance(known[key], int) and not value.isdigit():
                yield f"{where}: {name} is not a number: {value}"


@policy
def references_lead_somewhere(manifests: Manifests) -> Iterator[str]:
    """ConfigMaps are in the manifests and in use; Secrets created elsewhere are listed by name."""
    unread = {item["metadata"]["name"] for item in manifests.of("ConfigMap")} - {"graywave-names"}
    # Created by hand, or by trust-manager.
    configs = {item["metadata"]["name"] for item in manifests.of("ConfigMap", "Bundle")} | {"graywave-ca"}
    made = {"graywave-master-key", "graywave-gateway-tls"}
    # Created by hand: the passwords of two database roles. Of an external Postgres, all of it.
    made |= {"graywave-database-runtime", "graywave-database-partitions"}
    if manifests.named("NetworkPolicy", "graywave-external-database"):
        made |= {"graywave-database-app", "graywave-database-ca"}
    if not manifests.of("Certificate"):
        # Created by hand or by overlays/dev/secrets.sh.
        parts = ["scheduler-tls", "worker-tls", "admin-tls", "signer", "issuer", "desktop-enrolment"]
        made |= {f"graywave-{part}" for part in parts}
    made |= {item["spec"]["secretName"] for item in manifests.of("Certificate")}
    made |= {f"{item['metadata']['name']}-{part}" for item in manifests.of("Cluster") for part in ("app", "ca")}
    made |= {item["spec"]["target"]["name"] for item in manifests.of("ExternalSecret")}
    made |= {item["metadata"]["name"] for item in manifests.of("Secret")}
    for pod in written(manifests):
        volumes = pod.spec.get("volumes", [])
        wanted = [volume["secret"]["secretName"] for volume in volumes if "secret" in volume]
        for config in [volume["configMap"]["name"] for volume in volumes if "configMap" in volume]:
            unread.discard(config)
            if config not in configs:
                yield f"{pod.owner}: no ConfigMap {config}"
        for container in pod.containers():
            for source in container.get("envFrom", []):
                config = source["configMapRef"]["name"]
                unread.discard(config)
                if not manifests.named("ConfigMap", config):
                    yield f"{pod.owner}: no ConfigMap {config}"
        for secret in sorted(set(wanted) - made):
            yield f"{pod.owner}: no Secret {secret}"
    for config in sorted(unread):
        yield f"ConfigMap {config}: not used by any pod"


@policy
def database_has_connections_for_all(manifests: Manifests) -> Iterator[str]:
    """Twice the connections of all pods at maximum scale, because old and new pods coexist during an update,
    plus the connections beside a process's pool that docs/configuration.md states."""
    settings = documented_settings()
    needed = 0
    for item in manifests.of("Deployment"):
        container = item["spec"]["template"]["spec"]["containers"][0]
        if "GRAYWAVE__DATABASE__URL_FILE" not in manifests.environment(container):
            continue
        scaler = manifests.scaler(item)
        pods = scaler["spec"]["maxReplicas"] if scaler else manifests.replicas(item)
        of_one = manifests.environment(container).get(
            "GRAYWAVE__DATABASE__MAX_CONNECTIONS", settings["database.max_connections"]
        )
        needed += 2 * pods * (int(of_one) + 2)
    for item in manifests.of("Cluster"):
        offered = int(item["spec"]["postgresql"]["parameters"]["max_connections"])
        if offered < needed:
            yield f"{title(item)}: {offered} connections, but up to {needed} are needed"


@policy
def database_loses_nothing(manifests: Manifests) -> Iterator[str]:
    """docs/reliability.md: acknowledged results are on a standby, and only such a standby becomes primary."""
    for item in manifests.of("Cluster"):
        synchronous = item["spec"].get("postgresql", {}).get("synchronous", {})
        if synchronous.get("dataDurability") != "required" or synchronous.get("failoverQuorum") is not True:
            yield f"{title(item)}: a failover may lose acknowledged results"
        if item["spec"]["instances"] < synchronous.get("number", 1) + 2:
            yield f"{title(item)}: the loss of one standby stops all commits"
