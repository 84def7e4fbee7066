//! Headers of every page and file of the console.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};

/// What a page may load. Nothing inline, nothing from another origin, in no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentPolicy {
    /// The console and its files: scripts, styles and images of the same origin.
    Console,
    /// A page without script that the server writes: it loads nothing and may send its own form.
    Plain,
}

impl ContentPolicy {
    const fn text(self) -> &'static str {
        match self {
            Self::Console => {
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                 font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; \
                 frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
            }
            Self::Plain => "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
        }
    }
}

/// Headers beside the content security policy.
const FIXED: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // For browsers that do not know `frame-ancestors`.
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Adds the security headers to a response.
#[must_use]
pub fn secure(mut response: Response, policy: ContentPolicy) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy.text()));
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
