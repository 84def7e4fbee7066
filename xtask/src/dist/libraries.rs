//! Shared libraries that a program needs, with the versions of their symbols.

use std::{collections::BTreeSet, path::Path, process::Command};

use crate::process;

/// Library and version of its symbols, such as `libc.so.6` and `GLIBC_2.34`.
pub(super) type Requirement = (String, String);

/// Reads the requirements of a program.
pub(super) fn requirements(program: &Path) -> anyhow::Result<BTreeSet<Requirement>> {
    Ok(parse(&process::output(Command::new("objdump").arg("-p").arg(program).env("LC_ALL", "C"))?))
}

/// Reads the version references in the output of `objdump -p`.
fn parse(text: &str) -> BTreeSet<Requirement> {
    let mut library = None;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), &library) {
            (["required", "from", name], _) => library = Some(name.trim_end_matches(':').to_owned()),
            ([_, _, _, version], Some(library)) if version.contains('_') => {
                found.insert((library.clone(), (*version).to_owned()));
            }
            _ => library = None,
        }
    }
    found
}

/// Oldest glibc with all symbols, such as `2.34`.
pub(super) fn glibc(requirements: &BTreeSet<Requirement>) -> Option<String> {
    let numbers =
        |version: &str| -> Vec<u32> { version.split('.').filter_map(|it| it.parse().ok()).collect() };
    let versions = requirements.iter().filter_map(|(_, version)| version.strip_prefix("GLIBC_"));
    versions.max_by_key(|version| numbers(version)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "
Dynamic Section:
  NEEDED               libc.so.6

Version References:
  required from libgcc_s.so.1:
    0x09276060 0x00 08 GCC_4.2.0
    0x0b792650 0x00 07 GCC_3.0
  required from libc.so.6:
    0x069691b4 0x00 06 GLIBC_2.9
    0x09691974 0x00 03 GLIBC_2.34
    0x0d696914 0x00 02 GLIBC_2.4

private flags = 0x0:
";

    #[test]
    fn versions_are_read_with_their_library() {
        let found = parse(DUMP);
        assert_eq!(found.len(), 5);
        assert!(found.contains(&("libgcc_s.so.1".into(), "GCC_4.2.0".into())));
        assert!(found.contains(&("libc.so.6".into(), "GLIBC_2.9".into())));
    }

    #[test]
    fn newest_symbol_decides_the_oldest_glibc() {
        assert_eq!(glibc(&parse(DUMP)).as_deref(), Some("2.34"));
        assert_eq!(glibc(&BTreeSet::new()), None);
    }
}
