//! Finds installed server binaries.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    embedded,
    error::Error,
    installation::{BINARIES_VARIABLE, Binaries, OLDEST_MAJOR},
};

/// Directories in which distributions install the server, each with the version as one path
/// component.
const PATTERNS: [(&str, &str); 3] =
    [("/usr/lib/postgresql", "bin"), ("/opt/homebrew/opt", "bin"), ("/usr", "bin")];

/// Requirements of a caller for the binaries.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Directory that the user named; no other place is searched.
    pub directory: Option<PathBuf>,
    /// Major version of an existing cluster, which no other version can read.
    pub major: Option<u32>,
}

impl Wanted {
    /// Requirements for the cluster in `directory`, which may not exist yet.
    pub fn for_cluster(directory: &Path) -> Self {
        let version = fs::read_to_string(directory.join("data").join("PG_VERSION")).unwrap_or_default();
        Self { directory: None, major: version.trim().parse().ok() }
    }
}

/// Finds installed binaries for a new cluster: see [`find_wanted`].
pub fn find_binaries() -> Result<Binaries, Error> {
    find_wanted(&Wanted::default())
}

/// Finds installed binaries: in the named directory or [`BINARIES_VARIABLE`]; else in PATH, in the
/// directories of distributions (the newest version first), or in the cache of downloads.
///
/// # Errors
///
/// [`Error::Incomplete`] for a named directory without the binaries; otherwise
/// [`Error::NotInstalled`] with the versions that do not fit.
pub fn find_wanted(wanted: &Wanted) -> Result<Binaries, Error> {
    let named = wanted
        .directory
        .clone()
        .or_else(|| env::var_os(BINARIES_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from));
    if let Some(directory) = named {
        return fitting(std::slice::from_ref(&directory), wanted.major).map_err(|found| {
            match found.is_empty() {
                true => Error::Incomplete { directory },
                false => Error::NotInstalled { found, wanted: wanted.major },
            }
        });
    }
    let on_path = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let places = [on_path, of_distributions(), embedded::cached().into_iter().collect()].concat();
    fitting(&places, wanted.major).map_err(|found| Error::NotInstalled { found, wanted: wanted.major })
}

/// Returns the first complete and supported binaries, otherwise the ones that do not fit.
fn fitting(places: &[PathBuf], major: Option<u32>) -> Result<Binaries, Vec<Binaries>> {
    let mut unfit: Vec<Binaries> = Vec::new();
    for directory in places.iter().filter(|directory| is_complete(directory)) {
        let directory = without_links(directory);
        let Some(version) = version(&directory) else { continue };
        let binaries = Binaries { directory, major: version };
        if version >= OLDEST_MAJOR && major.is_none_or(|major| major == version) {
            return Ok(binaries);
        }
        if !unfit.contains(&binaries) {
            unfit.push(binaries);
        }
    }
    Err(unfit)
}

/// Directories in which distributions put the binaries, the newest version first.
fn of_distributions() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (root, bin) in PATTERNS {
        let Ok(entries) = fs::read_dir(root) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version =
                name.strip_prefix("pgsql-").or_else(|| name.strip_prefix("postgresql@")).unwrap_or(&name);
            if let Ok(version) = version.parse::<u32>() {
                found.push((version, entry.path().join(bin)));
            }
        }
    }
    found.sort();
    found.into_iter().rev().map(|(_, directory)| directory).collect()
}

fn is_complete(directory: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"].iter().all(|program| directory.join(program).is_file())
}

/// Directory of the programs themselves, where the others of the server are: PATH may have links to
/// some of them.
fn without_links(directory: &Path) -> PathBuf {
    let real = fs::canonicalize(directory.join("postgres")).ok();
    let real = real.as_deref().and_then(Path::parent).filter(|real| is_complete(real));
    real.unwrap_or(directory).to_owned()
}

/// Major version that `postgres --version` prints; `None` if the program does not run here.
fn version(directory: &Path) -> Option<u32> {
    let output = Command::new(directory.join("postgres")).arg("--version").output().ok()?;
    major_of(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` or `… 18beta1`.
fn major_of(line: &str) -> Option<u32> {
    let version = line.split(") ").nth(1)?;
    let digits = version.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(version.len());
    version.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn installed(root: &Path, name: &str, version: &str) -> PathBuf {
        let directory = root.join(name);
        fs::create_dir_all(&directory).unwrap();
        for program in ["initdb", "pg_ctl", "postgres"] {
            let path = directory.join(program);
            fs::write(&path, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        directory
    }

    #[test]
    fn first_place_with_a_supported_version_wins() {
        let root = tempfile::tempdir().unwrap();
        let old = installed(root.path(), "old", "13.9");
        let first = installed(root.path(), "first", "16.2 (Debian 16.2-1)");
        let newer = installed(root.path(), "newer", "18beta1");
        let empty = root.path().join("empty");
        let places = [empty, old.clone(), first.clone(), newer.clone()];
        assert_eq!(fitting(&places, None), Ok(Binaries { directory: first, major: 16 }));
        assert_eq!(fitting(&places, Some(18)), Ok(Binaries { directory: newer, major: 18 }));
        assert_eq!(fitting(&places[..2], None), Err(vec![Binaries { directory: old, major: 13 }]));
    }

    #[test]
    fn links_on_the_path_lead_to_the_whole_server() {
        let root = tempfile::tempdir().unwrap();
        let server = installed(root.path(), "server", "15.4");
        let links = root.path().join("links");
        fs::create_dir(&links).unwrap();
        for program in ["initdb", "pg_ctl", "postgres"] {
            std::os::unix::fs::symlink(server.join(program), links.join(program)).unwrap();
        }
        assert_eq!(fitting(&[links], None).unwrap().directory, fs::canonicalize(server).unwrap());
    }

    #[test]
    fn named_directory_without_binaries_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let wanted = Wanted { directory: Some(root.path().to_owned()), major: None };
        assert!(matches!(find_wanted(&wanted), Err(Error::Incomplete { .. })));
        let wanted = Wanted { directory: Some(installed(root.path(), "old", "12.1")), major: None };
        let message = find_wanted(&wanted).unwrap_err().to_string();
        assert!(message.contains("Postgres 12 in"), "{message}");
    }

    #[test]
    fn existing_cluster_wants_its_own_version() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Wanted::for_cluster(root.path()).major, None);
        fs::create_dir(root.path().join("data")).unwrap();
        fs::write(root.path().join("data/PG_VERSION"), "15\n").unwrap();
        assert_eq!(Wanted::for_cluster(root.path()).major, Some(15));
    }

    #[test]
    fn version_line_gives_the_major_version() {
        for (line, major) in [
            ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18beta1\n", Some(18)),
            ("command not found\n", None),
        ] {
            assert_eq!(major_of(line), major, "{line}");
        }
    }
}
