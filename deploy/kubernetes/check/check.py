"""Renders every cluster and prints its findings."""

import sys

import flows
import manifests
import policies
import schemas


def main() -> int:
    wrong = 0
    for cluster in manifests.CLUSTERS:
        rendered = manifests.render(cluster)
        found = [
            *(f"schema: {finding}" for finding in schemas.findings(rendered)),
            *policies.findings(rendered),
            *(f"network: {finding}" for finding in flows.findings(rendered, cluster)),
        ]
        for finding in found:
            print(f"{cluster}: {finding}")
        print(f"{cluster}: {len(rendered.objects)} objects, {len(found)} findings")
        wrong += len(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
