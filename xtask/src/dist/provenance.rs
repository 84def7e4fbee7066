//! Provenance of a release: an in-toto statement with the predicate of SLSA 1.0. It has no time and
//! no machine, so that two builds of a commit agree.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Release, files};
use crate::process;

/// Repository of the sources.
const SOURCE: &str = "git+https://github.com/graywave/graywave";

/// Writes the statement about the given files and returns its path.
pub(super) fn write(release: &Release, output: &Path, made: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let mut subjects = Vec::new();
    for path in made {
        let name = path.file_name().context("a file without a name")?.to_string_lossy();
        subjects.push(json!({"name": name, "digest": {"sha256": files::sha256(path)?}}));
    }
    let version = |program: &mut Command| process::output(program.arg("--version"));
    let tools = json!({
        "rustc": version(&mut Command::new("rustc"))?.trim(),
        "cargo": version(&mut process::cargo(&[]))?.trim(),
        "lockfile_sha256": files::sha256(&crate::root().join("Cargo.lock"))?,
    });
    let path = output.join(format!("{}.provenance.json", release.name("graywave")));
    fs::write(&path, serde_json::to_vec_pretty(&statement(release, &subjects, &tools))?)?;
    Ok(path)
}

fn statement(release: &Release, subjects: &[Value], tools: &Value) -> Value {
    let source = format!("{SOURCE}@refs/tags/v{}", release.version);
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://github.com/graywave/graywave/blob/main/docs/install.md#check-a-download",
                "externalParameters": {"command": "cargo xtask dist", "profile": release.profile},
                "internalParameters": {
                    "source_date_epoch": release.epoch_s,
                    "architecture": std::env::consts::ARCH,
                    "tools": tools,
                },
                "resolvedDependencies": [{"uri": source, "digest": {"gitCommit": release.commit}}],
            },
            "runDetails": {"builder": {"id": "https://github.com/graywave/graywave/blob/main/xtask"}},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statement_names_files_commit_and_tools() {
        let release =
            Release { version: "1.2.3".into(), commit: "c0ffee".into(), epoch_s: 7, profile: "dist".into() };
        let subject = json!({"name": "a.deb", "digest": {"sha256": "00"}});
        let statement = statement(&release, &[subject], &json!({"rustc": "rustc 1.95.0"}));
        assert_eq!(statement["subject"][0]["name"], "a.deb");
        let definition = &statement["predicate"]["buildDefinition"];
        assert_eq!(definition["resolvedDependencies"][0]["digest"]["gitCommit"], "c0ffee");
        assert_eq!(definition["internalParameters"]["tools"]["rustc"], "rustc 1.95.0");
        assert_eq!(definition["internalParameters"]["source_date_epoch"], 7);
    }
}
