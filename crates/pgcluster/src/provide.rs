//! Installed binaries, or new ones for a machine without Postgres.

use crate::{
    Error, apt,
    binaries::{Wanted, find_wanted},
    embedded,
    installation::Binaries,
};

/// Finds installed binaries. On a machine without Postgres, installs them: as root on Debian with
/// apt-get, otherwise by a download into the cache. `say` gets one line before each of these steps.
///
/// # Errors
///
/// When the user named a directory without binaries, when an existing cluster needs a version that
/// is not there, or when neither installation works.
pub fn provide_binaries(wanted: &Wanted, say: &mut dyn FnMut(&str)) -> Result<Binaries, Error> {
    let missing = match find_wanted(wanted) {
        Err(missing @ Error::NotInstalled { .. }) => missing,
        outcome => return outcome,
    };
    say(&missing.to_string());
    // Debian has one version; an existing cluster may need another one.
    if wanted.major.is_none() && apt::can_install() {
        say("installing Debian's package with apt-get");
        match apt::install(&["postgresql"]) {
            Ok(()) => {
                if let Ok(installed) = find_wanted(wanted) {
                    return Ok(installed);
                }
            }
            Err(error) => say(&format!("{error}")),
        }
    }
    let archive = embedded::archive()?;
    if wanted.major.is_some_and(|major| major != archive.major) {
        return Err(missing);
    }
    embedded::fetch(&archive, say)
}
