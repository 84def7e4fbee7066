//! `cargo xtask deny`: checks licences, bans and sources of all dependencies against deny.toml, the
//! file of cargo-deny. Where cargo-deny is installed, it checks as well, with its advisories.

use std::fs;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::graph::{CRATES_IO, Graph, Package};
use crate::{process, root, say};

/// The part of deny.toml that this check reads.
#[derive(Debug, Default, Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Default, Deserialize)]
struct Licenses {
    /// Licences, each with its exception if any.
    allow: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// Checks all dependencies.
pub(crate) fn run() -> anyhow::Result<()> {
    let rules: Rules = toml::from_str(&fs::read_to_string(root().join("deny.toml"))?).context("deny.toml")?;
    let graph = Graph::read()?;
    let found = violations(&graph.packages, &rules)?;
    if !found.is_empty() {
        bail!("{} dependencies break deny.toml:\n{}", found.len(), found.join("\n"));
    }
    say(&format!("{} packages: licences, bans and sources are as deny.toml demands", graph.packages.len()));
    if process::output(&mut process::cargo(&["deny", "--version"])).is_err() {
        say("advisories are not checked: cargo-deny is not installed (cargo install --locked cargo-deny)");
        return Ok(());
    }
    process::run(&mut process::cargo(&["deny", "--all-features", "check", "bans", "licenses", "sources"]))?;
    if process::output(&mut process::cargo(&["deny", "fetch", "db"])).is_err() {
        say("advisories are not checked: their database is not reachable");
        return Ok(());
    }
    process::run(&mut process::cargo(&["deny", "--all-features", "check", "advisories"]))
}

/// Returns a line for each dependency that the rules forbid, with the reason.
fn violations(packages: &[Package], rules: &Rules) -> anyhow::Result<Vec<String>> {
    let allowed: Vec<spdx::Licensee> = rules
        .licenses
        .allow
        .iter()
        .map(|text| spdx::Licensee::parse(text).with_context(|| format!("deny.toml allows {text:?}")))
        .collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for package in packages.iter().filter(|package| package.source.is_some()) {
        let mut complain = |why: String| found.push(format!("{} {}: {why}", package.name, package.version));
        if package.source.as_deref() != Some(CRATES_IO) {
            complain(format!("comes from {}", package.source.as_deref().unwrap_or_default()));
        }
        for ban in rules.bans.deny.iter().filter(|ban| ban.name == package.name) {
            complain(format!("is banned: {}", ban.reason));
        }
        match &package.license {
            None => complain("names no licence".into()),
            Some(license) => match spdx::Expression::parse_mode(license, spdx::ParseMode::LAX) {
                Err(error) => complain(format!("has the licence {license:?}: {error}")),
                Ok(terms)
                    if !terms
                        .evaluate(|wanted| allowed.iter().any(|licensee| licensee.satisfies(wanted))) =>
                {
                    complain(format!("has the licence {license:?}, which deny.toml does not allow"));
                }
                Ok(_) => {}
            },
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, license: Option<&str>, source: Option<&str>) -> Package {
        Package {
            id: name.into(),
            name: name.into(),
            version: "1.0.0".into(),
            license: license.map(str::to_owned),
            source: source.map(str::to_owned),
        }
    }

    fn lines(packages: &[Package]) -> Vec<String> {
        let rules = toml::from_str(
            "[licenses]\nallow = [\"MIT\", \"Apache-2.0 WITH LLVM-exception\"]\n[bans]\n\
             deny = [{ crate = \"native-tls\", reason = \"ring is the single provider\" }]\n",
        );
        violations(packages, &rules.unwrap()).unwrap()
    }

    #[test]
    fn allowed_dependencies_and_own_packages_pass() {
        let good = [
            package("a", Some("MIT"), Some(CRATES_IO)),
            package("b", Some("GPL-3.0 OR MIT"), Some(CRATES_IO)),
            package("c", Some("MIT/Apache-2.0"), Some(CRATES_IO)),
            package("d", Some("Apache-2.0 WITH LLVM-exception"), Some(CRATES_IO)),
            package("ours", None, None),
        ];
        assert_eq!(lines(&good), Vec::<String>::new());
    }

    #[test]
    fn each_violation_is_named_with_its_reason() {
        let bad = [
            package("copyleft", Some("MIT AND GPL-3.0-only"), Some(CRATES_IO)),
            package("apache", Some("Apache-2.0"), Some(CRATES_IO)),
            package("unnamed", None, Some(CRATES_IO)),
            package("native-tls", Some("MIT"), Some(CRATES_IO)),
            package("fork", Some("MIT"), Some("git+https://example.com/fork")),
        ];
        let found = lines(&bad);
        assert_eq!(found.len(), bad.len(), "{found:?}");
        for (line, part) in found.iter().zip([
            "does not allow",
            "does not allow",
            "no licence",
            "single provider",
            "comes from git+",
        ]) {
            assert!(line.contains(part), "{line}");
        }
    }
}
