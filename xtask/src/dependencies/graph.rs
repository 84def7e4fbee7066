//! All packages that the workspace depends on, from `cargo metadata` and Cargo.lock.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
};

use anyhow::Context as _;
use serde::Deserialize;

use crate::{process, root};

/// Source of the packages of crates.io.
pub(super) const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Packages and the edges between them.
#[derive(Debug, Deserialize)]
pub(super) struct Graph {
    pub(super) packages: Vec<Package>,
    resolve: Resolve,
}

/// A package of the workspace or of a registry.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    /// SPDX expression; `None` if the package names none.
    pub(super) license: Option<String>,
    /// `None` for a package of the workspace.
    pub(super) source: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
struct EdgeKind {
    /// `dev` or `build`; `None` for a normal dependency.
    kind: Option<String>,
}

impl Graph {
    /// Reads all packages for all platforms, with all features.
    pub(super) fn read() -> anyhow::Result<Self> {
        let arguments = ["metadata", "--locked", "--all-features", "--format-version", "1"];
        Ok(serde_json::from_str(&process::output(&mut process::cargo(&arguments))?)?)
    }

    /// The packages that are linked into a program, with the programs' own; each with the ids of
    /// its dependencies. Dependencies of tests and build scripts are not among them.
    pub(super) fn linked(&self, program: &str) -> anyhow::Result<BTreeMap<&str, BTreeSet<&str>>> {
        let nodes: HashMap<&str, &Node> = self.resolve.nodes.iter().map(|node| (&*node.id, node)).collect();
        let own = self.packages.iter().find(|package| package.source.is_none() && package.name == program);
        let mut waiting =
            vec![own.with_context(|| format!("the workspace has no package {program}"))?.id.as_str()];
        let mut found = BTreeMap::new();
        while let Some(id) = waiting.pop() {
            if found.contains_key(id) {
                continue;
            }
            let edges = nodes.get(id).map_or(&[][..], |node| &node.deps);
            let linked = edges.iter().filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none()));
            let linked: BTreeSet<&str> = linked.map(|edge| &*edge.pkg).collect();
            waiting.extend(&linked);
            found.insert(id, linked);
        }
        Ok(found)
    }
}

/// Returns the SHA-256 of each package's archive by name and version, as Cargo.lock has them.
pub(super) fn checksums() -> anyhow::Result<HashMap<(String, String), String>> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
        checksum: Option<String>,
    }
    let lock: Lock = toml::from_str(&fs::read_to_string(root().join("Cargo.lock"))?)?;
    let known = lock.package.into_iter();
    Ok(known.filter_map(|package| Some(((package.name, package.version), package.checksum?))).collect())
}
