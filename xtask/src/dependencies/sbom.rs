//! `cargo xtask sbom`: a bill of materials for each image, in CycloneDX 1.5 as JSON.

use std::{collections::HashMap, fs, path::Path};

use serde_json::{Value, json};

use super::graph::{CRATES_IO, Graph, Package, checksums};
use crate::say;

/// Packages of the programs of each image.
const IMAGES: [(&str, &[&str]); 2] =
    [("graywave", &["graywave"]), ("graywave-agent", &["graywave-agent", "graywave-runner"])];

/// Writes the bills of all images to a directory.
pub(crate) fn run(directory: &Path) -> anyhow::Result<()> {
    for path in write(directory)? {
        say(&path.display().to_string());
    }
    Ok(())
}

/// Writes the bills of all images to a directory, and returns their paths.
pub(crate) fn write(directory: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    fs::create_dir_all(directory)?;
    let (graph, checksums) = (Graph::read()?, checksums()?);
    let mut written = Vec::new();
    for (image, programs) in IMAGES {
        let path = directory.join(format!("{image}.cdx.json"));
        let bill = bill(&graph, &checksums, image, programs)?;
        fs::write(&path, serde_json::to_vec_pretty(&bill)?)?;
        written.push(path);
    }
    Ok(written)
}

type Checksums = HashMap<(String, String), String>;

fn bill(graph: &Graph, checksums: &Checksums, image: &str, programs: &[&str]) -> anyhow::Result<Value> {
    let packages: HashMap<&str, &Package> =
        graph.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let mut linked = std::collections::BTreeMap::new();
    for program in programs {
        linked.extend(graph.linked(program)?);
    }
    let reference = |id: &str| packages.get(id).map(|package| purl(package));
    let components: Vec<Value> = linked
        .keys()
        .filter_map(|id| packages.get(id))
        .map(|package| component(package, checksums))
        .collect();
    let dependencies: Vec<Value> = linked
        .iter()
        .filter_map(|(id, on)| {
            let on: Vec<String> = on.iter().filter_map(|id| reference(id)).collect();
            Some(json!({"ref": reference(id)?, "dependsOn": on}))
        })
        .collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "name": image, "version": env!("CARGO_PKG_VERSION"), "bom-ref": image},
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn component(package: &Package, checksums: &Checksums) -> Value {
    let mut shown = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": package.name,
        "version": package.version,
        "purl": purl(package),
    });
    if let Some(license) = &package.license {
        // Old packages separate alternatives by a slash, which SPDX does not know.
        shown["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    if let Some(checksum) = checksums.get(&(package.name.clone(), package.version.clone())) {
        shown["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    shown
}

/// Package URL, which names the package and version everywhere.
fn purl(package: &Package) -> String {
    let Package { name, version, source, .. } = package;
    match source.as_deref() {
        None | Some(CRATES_IO) => format!("pkg:cargo/{name}@{version}"),
        Some(other) => format!("pkg:cargo/{name}@{version}?repository_url={other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bill_names_what_is_linked_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path()).unwrap();
        let names = |image: &str| -> Vec<String> {
            let text = fs::read_to_string(directory.path().join(format!("{image}.cdx.json"))).unwrap();
            let bill: Value = serde_json::from_str(&text).unwrap();
            let components = bill["components"].as_array().unwrap();
            for component in components.iter().filter(|found| found["name"] == "tokio") {
                assert_eq!(component["hashes"][0]["content"].as_str().unwrap().len(), 64);
                assert_eq!(component["licenses"][0]["expression"], "MIT");
            }
            components.iter().map(|component| component["name"].as_str().unwrap().to_owned()).collect()
        };
        let control_plane = names("graywave");
        for name in ["graywave", "graywave-scheduler", "sqlx", "tokio", "ring"] {
            assert!(control_plane.iter().any(|found| found == name), "{name}");
        }
        let agent = names("graywave-agent");
        assert!(agent.iter().any(|found| found == "graywave-runner"));
        for name in ["sqlx", "proptest", "tempfile"] {
            assert!(!agent.iter().any(|found| found == name), "{name} is not linked into the agent");
        }
    }
}
