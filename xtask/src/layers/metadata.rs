//! The part of `cargo metadata` that the checks use.

use std::path::PathBuf;

use serde::Deserialize;

use crate::process;

#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub name: String,
    pub dependencies: Vec<Dependency>,
    pub targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub name: String,
    pub kind: Option<String>,
    pub path: Option<String>,
}

/// A library, binary, test or build script of a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub name: String,
    pub kind: Vec<String>,
    pub src_path: PathBuf,
}

/// Removes the common prefix of our package names.
fn shorten(name: &mut String) {
    if let Some(short) = name.strip_prefix("graywave-") {
        *name = short.to_owned();
    }
}

impl Metadata {
    /// Reads the packages of the workspace, without their dependencies.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let text = process::output(&mut process::cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
        let mut metadata: Self = serde_json::from_str(&text)?;
        for package in &mut metadata.packages {
            shorten(&mut package.name);
            package.dependencies.iter_mut().for_each(|dependency| shorten(&mut dependency.name));
        }
        Ok(metadata)
    }
}
