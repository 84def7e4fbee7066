"""Compares the flows that the NetworkPolicies allow, evaluated as Kubernetes does, with the intended flows.

A flow between two pods of Graywave must be allowed on both sides; a flow to or from the outside only on ours.
"""

from itertools import product

from manifests import Manifests, matches

SYSTEM = "kubernetes.io/metadata.name"

# Peers outside of the manifests: the labels of their namespace and pods. The world has an address
# and no labels.
OUTSIDE = {
    "gateway": ({SYSTEM: "envoy-gateway-system"}, {}),
    "admin client": ({SYSTEM: "operators", "graywave.dev/admin": "true"}, {}),
    "Prometheus": ({SYSTEM: "monitoring"}, {"app.kubernetes.io/name": "prometheus"}),
    "collector": ({SYSTEM: "observability"}, {"app.kubernetes.io/name": "opentelemetry-collector"}),
    "DNS": ({SYSTEM: "kube-system"}, {"k8s-app": "kube-dns"}),
    "database operator": ({SYSTEM: "cnpg-system"}, {"app.kubernetes.io/name": "cloudnative-pg"}),
    "any other pod": ({SYSTEM: "default"}, {"app": "other"}),
}
WORLD = "world"
NAMESPACE = {SYSTEM: "graywave"}

ROLES = {
    ("gateway", "api", 8080),
    ("worker", "scheduler", 9090),
    ("admin client", "scheduler", 9090),
    ("admin client", "scheduler", 9091),
    # Private networks only.
    ("world", "scheduler", 9091),
    ("world", "worker", 9443),
    ("api", "database", 5432),
    ("scheduler", "database", 5432),
    *((role, "collector", 4317) for role in ("api", "scheduler", "worker")),
    *(("Prometheus", role, 9100) for role in ("api", "scheduler", "worker")),
    *((role, "DNS", 53) for role in ("api", "scheduler", "worker", "database")),
}
MEANT = {
    "dev": ROLES
    | {
        ("desktop", "worker", 9443),
        ("desktop", "DNS", 53),
    },
    "production": ROLES
    | {
        ("migrate", "database", 5432),
        ("migrate", "DNS", 53),
        # CloudNativePG: status port, replication, and the Kubernetes API, whose address is unknown
        # here.
        ("database", "database", 5432),
        ("database", "database", 8000),
        ("database operator", "database", 5432),
        ("database operator", "database", 8000),
        ("Prometheus", "database", 9187),
        ("database", "world", 443),
        ("database", "world", 6443),
    },
}


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
    everybody = [*ours, *OUTSIDE, WORLD]
    flows = set()
    for source, target, port in product(everybody, everybody, ports):
        lets_out = source not in ours or may(policies, ours[source], "Egress", peer(ours, target), port)
        lets_in = target not in ours or may(policies, ours[target], "Ingress", peer(ours, source), port)
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


def peer(ours: dict, them: str) -> tuple[dict, dict] | None:
    """Labels of namespace and pod; None for the world."""
    if them == WORLD:
        return None
    return (NAMESPACE, ours[them]) if them in ours else OUTSIDE[them]


def may(policies: list[dict], labels: dict, direction: str, them: tuple[dict, dict] | None, port: int) -> bool:
    """Whether the policies that select these pods allow the flow. Pods without a policy allow every flow."""
    selecting = [
        policy
        for policy in policies
        if direction in policy["policyTypes"] and matches(policy["podSelector"], labels)
    ]
    rules = [rule for policy in selecting for rule in policy.get(direction.lower(), [])]
    return not selecting or any(fits(rule, direction, them, port) for rule in rules)


def fits(rule: dict, direction: str, them: tuple[dict, dict] | None, port: int) -> bool:
    if "ports" in rule and port not in [item["port"] for item in rule["ports"]]:
        return False
    peers = rule.get("from" if direction == "Ingress" else "to")
    return not peers or any(is_peer(item, them) for item in peers)


def is_peer(item: dict, them: tuple[dict, dict] | None) -> bool:
    if "ipBlock" in item or them is None:
        return "ipBlock" in item and them is None
    namespace, pod = them
    # Without a namespace selector, the namespace of the policy applies.
    selector = item.get("namespaceSelector", {"matchLabels": NAMESPACE})
    return matches(selector, namespace) and matches(item.get("podSelector", {}), pod)
