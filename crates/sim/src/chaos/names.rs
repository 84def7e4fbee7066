//! Names of the parts of the cluster.

/// The id of a numbered desktop.
pub(crate) fn desktop_id(number: usize) -> String {
    format!("desktop-{number:03}")
}
