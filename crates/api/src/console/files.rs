//! The console's files.

use axum::{
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};

/// Leads to the console with the slash that its relative addresses need. The target is relative, so
/// that a prefix of a proxy stays.
pub(super) async fn redirect() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "console/")]).into_response()
}

pub(super) async fn index(headers: HeaderMap) -> Response {
    console::answer("", &headers)
}

pub(super) async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    console::answer(&path, &headers)
}
