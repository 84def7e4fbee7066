//! The project in a path.

use utoipa::IntoParams;

/// The project in the path; the gate compares it with the caller's.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "documents the path; the gate reads it")]
pub(crate) struct Project {
    /// The project.
    #[param(min_length = 1, max_length = 128)]
    project_id: String,
}
