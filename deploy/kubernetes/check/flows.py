"""Compares the flows that the NetworkPolicies allow, evaluated as Kubernetes does, with the intended flows.

A flow between two pods of Graywave must be allowed on both sides; a flow to or from the outside only on ours.
"""

from ipaddress import ip_address, ip_network
from itertools import product

from manifests import Manifests, matches

SYSTEM = "kubernetes.io/metadata.name"

# Peers outside of the manifests: the labels of their namespace and pods, or an address.
OUTSIDE = {
    "gateway": ({SYSTEM: "envoy-gateway-system"}, {}),
    "admin client": ({SYSTEM: "operators", "graywave.dev/admin": "true"}, {}),
    "Prometheus": ({SYSTEM: "monitoring"}, {"app.kubernetes.io/name": "prometheus"}),
    "collector": ({SYSTEM: "observability"}, {"app.kubernetes.io/name": "opentelemetry-collector"}),
    "DNS": ({SYSTEM: "kube-system"}, {"k8s-app": "kube-dns"}),
    "DNS of OpenShift": ({SYSTEM: "openshift-dns"}, {}),
    "DNS of the node": "169.254.20.10",
    "database operator": ({SYSTEM: "cnpg-system"}, {"app.kubernetes.io/name": "cloudnative-pg"}),
    "any other pod": ({SYSTEM: "default"}, {"app": "other"}),
    "private network": "10.20.30.40",
    "internet": "203.0.113.7",
}
# It answers queries and has no other port and no calls of its own.
LOCAL_DNS = "DNS of the node"

SERVERS = ("api", "scheduler", "worker")
PODS = (*SERVERS, "migrate", "database")
ROLES = {
    ("gateway", "api", 8080),
    ("worker", "scheduler", 9090),
    ("admin client", "scheduler", 9090),
    ("admin client", "scheduler", 9091),
    ("private network", "scheduler", 9091),
    ("private network", "worker", 9443),
    ("internet", "worker", 9443),
    *((pod, "database", 5432) for pod in ("api", "scheduler", "migrate")),
    *(("Prometheus", role, 9100) for role in SERVERS),
    *((pod, dns, 53) for pod in PODS for dns in ("DNS", LOCAL_DNS)),
}
DEV = ROLES | {
    ("desktop", "worker", 9443),
    ("desktop", "DNS", 53),
    ("desktop", LOCAL_DNS, 53),
}
# CloudNativePG: status port, replication, object store, and the Kubernetes API, whose address is
# unknown here.
PRODUCTION = ROLES | {
    ("database", "database", 5432),
    ("database", "database", 8000),
    ("database operator", "database", 5432),
    ("database operator", "database", 8000),
    ("Prometheus", "database", 9187),
    *(("database", peer, port) for peer in ("private network", "internet") for port in (443, 6443)),
}
COLLECTOR = {(role, "collector", 4317) for role in SERVERS}
PASSTHROUGH = {("gateway", "scheduler", 9091), ("gateway", "worker", 9443)}
WITHOUT_PASSTHROUGH = {("private network", "worker", 9443), ("internet", "worker", 9443)}
OPENSHIFT = {flow for flow in PRODUCTION if flow[2] != 53} | {(pod, "DNS of OpenShift", 5353) for pod in PODS}
# The component has an address in the private network.
EXTERNAL_POSTGRES = {flow for flow in ROLES if "database" not in flow[:2]} | {
    (pod, "private network", 5432) for pod in ("api", "scheduler", "migrate")
}
MEANT = {
    "dev": DEV,
    "production": PRODUCTION,
    "options": (PRODUCTION | COLLECTOR | PASSTHROUGH) - WITHOUT_PASSTHROUGH,
    "grpc-route": PRODUCTION | {("gateway", "scheduler", 9091)},
    "openshift": OPENSHIFT,
    "openshift without driver": OPENSHIFT,
    "recovery": PRODUCTION,
    "external-postgres": EXTERNAL_POSTGRES,
    "cell a": PRODUCTION,
    "cell b": PRODUCTION,
}

# Labels of namespace and pod, or an address.
Peer = tuple[dict, dict] | str


def findings(manifests: Manifests, cluster: str) -> list[str]:
    flows, meant = allowed(manifests), MEANT[cluster]
    return [f"{text(flow)} is allowed but not intended" for flow in sorted(flows - meant)] + [
        f"{text(flow)} is intended but not allowed" for flow in sorted(meant - flows)
    ]


def text(flow: tuple[str, str, int]) -> str:
    return f"{flow[0]} -> {flow[1]}:{flow[2]}"


def allowed(manifests: Manifests) -> set[tuple[str, str, int]]:
    policies = [item["spec"] for item in manifests.of("NetworkPolicy")]
    ports = {port for policy in policies for port in ports_of(policy)}
    ours = {name(pod.labels): pod.labels for pod in manifests.pods()}
    peers = OUTSIDE | {pod: ({SYSTEM: manifests.namespace()}, labels) for pod, labels in ours.items()}
    flows = set()
    for source, target, port in product(peers, peers, ports):
        if source == LOCAL_DNS or (target == LOCAL_DNS and port != 53):
            continue
        lets_out = source not in ours or may(policies, peers[source], "Egress", peers[target], port)
        lets_in = target not in ours or may(policies, peers[target], "Ingress", peers[source], port)
        is_about_us = source in ours or target in ours
        if is_about_us and lets_out and lets_in:
            flows.add((source, target, port))
    return flows


def name(labels: dict) -> str:
    return "database" if "cnpg.io/cluster" in labels else labels["app.kubernetes.io/component"]


def ports_of(policy: dict) -> set[int]:
    """All named ports, and one unnamed port, which reveals rules without ports."""
    rules = policy.get("ingress", []) + policy.get("egress", [])
    return {port["port"] for rule in rules for port in rule.get("ports", [])} | {1}


def may(policies: list[dict], us: tuple[dict, dict], direction: str, them: Peer, port: int) -> bool:
    """Whether the policies that select these pods allow the flow. Pods without a policy allow every flow."""
    namespace, labels = us
    selecting = [
        policy for policy in policies if direction in policy["policyTypes"] and matches(policy["podSelector"], labels)
    ]
    rules = [rule for policy in selecting for rule in policy.get(direction.lower(), [])]
    return not selecting or any(fits(rule, namespace, direction, them, port) for rule in rules)


def fits(rule: dict, ours: dict, direction: str, them: Peer, port: int) -> bool:
    if "ports" in rule and port not in [item["port"] for item in rule["ports"]]:
        return False
    peers = rule.get("from" if direction == "Ingress" else "to")
    return not peers or any(is_peer(item, ours, them) for item in peers)


def is_peer(item: dict, ours: dict, them: Peer) -> bool:
    """Whether an item of a policy in our namespace means the peer. Addresses mean no pods."""
    if isinstance(them, str):
        return "ipBlock" in item and ip_address(them) in ip_network(item["ipBlock"]["cidr"])
    if "ipBlock" in item:
        return False
    namespace, pod = them
    # Without a namespace selector, the namespace of the policy applies.
    selector = item.get("namespaceSelector", {"matchLabels": ours})
    return matches(selector, namespace) and matches(item.get("podSelector", {}), pod)
