//! Rules on imports between the crates of the workspace.

use std::collections::{BTreeMap, BTreeSet};

use super::metadata::Metadata;

/// Each crate with the workspace crates it may import. Dev-dependencies may always use `testkit`
/// and `sim`.
const ALLOWED: [(&str, &[&str]); 23] = [
    ("domain", &[]),
    ("time-sync", &[]),
    ("mtls", &[]),
    ("console", &[]),
    ("oidc", &[]),
    ("server", &["mtls"]),
    ("pgcluster", &[]),
    ("telemetry", &[]),
    ("proto", &["domain"]),
    ("engine", &["domain"]),
    ("store", &["time-sync", "domain", "engine", "telemetry"]),
    ("control", &["domain", "engine", "mtls", "store", "telemetry"]),
    ("api", &["console", "control", "domain", "oidc", "telemetry"]),
    ("admin", &["control", "domain", "mtls", "proto", "telemetry"]),
    ("scheduler", &["domain", "engine", "mtls", "store", "proto", "telemetry"]),
    ("worker", &["time-sync", "domain", "mtls", "server", "proto", "telemetry"]),
    ("win32", &[]),
    ("runner", &["win32"]),
    ("agent", &["time-sync", "mtls", "proto", "runner", "telemetry", "win32"]),
    ("cli", &["domain", "mtls", "proto", "telemetry"]),
    (
        "graywave",
        &[
            "admin",
            "agent",
            "api",
            "cli",
            "control",
            "domain",
            "mtls",
            "oidc",
            "server",
            "pgcluster",
            "proto",
            "runner",
            "scheduler",
            "store",
            "telemetry",
            "worker",
        ],
    ),
    ("testkit", &["control", "domain", "scheduler", "store"]),
    ("sim", &["agent", "domain", "engine", "pgcluster", "proto", "store", "testkit"]),
];

/// Crates that only tests and tools may import.
const DEV_ONLY: [&str; 2] = ["testkit", "sim"];

/// External crates that `domain` must never import, because the rules must not depend on a runtime,
/// a database or a transport.
const NEVER_IN_DOMAIN: [&str; 6] = ["tokio", "sqlx", "tonic", "axum", "reqwest", "tracing"];

/// Lists every forbidden import.
pub(super) fn faults(metadata: &Metadata) -> Vec<String> {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ALLOWED.iter().map(|(name, imports)| (*name, imports.iter().copied().collect())).collect();
    let mut faults = Vec::new();
    for package in metadata.packages.iter().filter(|package| package.name != "xtask") {
        let Some(imports) = allowed.get(package.name.as_str()) else {
            faults.push(format!("{} is missing from the table of xtask/src/layers/imports.rs", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let is_dev = dependency.kind.as_deref() == Some("dev");
            if dependency.path.is_some() && !imports.contains(name) && !is_dev {
                faults.push(format!("{} must not import {name}", package.name));
            }
            if DEV_ONLY.contains(&name) && !is_dev && !DEV_ONLY.contains(&package.name.as_str()) {
                faults.push(format!("{} imports {name}, which is for tests only", package.name));
            }
            if package.name == "domain" && NEVER_IN_DOMAIN.contains(&name) {
                faults.push(format!("domain must stay pure: it imports {name}"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::metadata::{Dependency, Package};
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>, bool)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|(name, kind, ours)| Dependency {
                name: (*name).into(),
                kind: kind.map(Into::into),
                path: ours.then(|| "somewhere".into()),
            })
            .collect();
        Package { name: name.into(), dependencies, targets: Vec::new() }
    }

    #[test]
    fn import_against_the_direction_is_named() {
        let packages = vec![
            package(
                "store",
                &[("domain", None, true), ("control", None, true), ("testkit", Some("dev"), true)],
            ),
            package("domain", &[("sqlx", None, false)]),
            package("worker", &[("testkit", None, true)]),
            package("stranger", &[]),
        ];
        let faults = faults(&Metadata { packages });
        assert_eq!(
            faults,
            [
                "store must not import control",
                "domain must stay pure: it imports sqlx",
                "worker must not import testkit",
                "worker imports testkit, which is for tests only",
                "stranger is missing from the table of xtask/src/layers/imports.rs",
            ]
        );
    }
}
