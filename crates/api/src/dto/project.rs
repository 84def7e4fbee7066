//! The project id in a path.

use utoipa::IntoParams;

/// Path parameter with the project id. The gate compares it with the project of the credential.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "documents the path; the gate reads it")]
pub(crate) struct Project {
    /// Project id.
    #[param(min_length = 1, max_length = 128)]
    project_id: String,
}
