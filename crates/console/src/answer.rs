//! The answer to a request for a file.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use crate::{
    files::{Encoding, FILES, Files},
    headers::{ContentPolicy, secure},
};

/// Directory of the files whose name contains a hash of their content.
const HASHED: &str = "assets/";
const INDEX: &str = "index.html";

/// Answers a request for a file below the console's path; an empty path means the console itself.
///
/// A missing file is a 404, never the console: a browser that asks for a script of an older version
/// must not get a page instead.
pub fn answer(path: &str, request: &HeaderMap) -> Response {
    answer_from(&FILES, path, request)
}

fn answer_from(files: &Files, path: &str, request: &HeaderMap) -> Response {
    let path = if path.is_empty() { INDEX } else { path };
    let Some((encoding, file)) = files.find(path, |encoding| accepts(request, encoding)) else {
        return secure((StatusCode::NOT_FOUND, missing(path)).into_response(), ContentPolicy::Plain);
    };
    let tag = HeaderValue::from_str(&file.tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""));
    let is_known = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == file.tag || known.trim() == "*");
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, content_type(path))], file.bytes).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let caching = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if encoding != Encoding::Identity && !is_known {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    }
    secure(response, ContentPolicy::Console)
}

fn missing(path: &str) -> &'static str {
    if path == INDEX {
        "this build has no console: run cargo xtask console and build again\n"
    } else {
        "the console has no such file: reload the page\n"
    }
}

/// Returns whether `Accept-Encoding` names an encoding with a weight above 0.
fn accepts(request: &HeaderMap, encoding: Encoding) -> bool {
    let values = request.get_all(header::ACCEPT_ENCODING);
    let listed = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    listed.into_iter().any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding.name()));
        let is_refused = parts
            .filter_map(|part| part.strip_prefix("q="))
            .any(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0));
        is_named && !is_refused
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    const TABLE: &[(&str, &[u8])] = &[
        ("index.html", b"<!doctype html>"),
        ("assets/app-1a2b.js", b"plain"),
        ("assets/app-1a2b.js.br", b"brotli"),
        ("assets/app-1a2b.js.gz", b"gzip"),
        ("assets/only.js.br", b"brotli alone"),
    ];

    fn request(headers: &[(header::HeaderName, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn get(path: &str, headers: &[(header::HeaderName, &str)]) -> Response {
        answer_from(&Files::new(TABLE), path, &request(headers))
    }

    fn header(response: &Response, name: header::HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    async fn body(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), 1_000).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn encoding_is_the_best_that_the_client_accepts() {
        for (accepted, expected) in [
            ("gzip, deflate, br, zstd", "brotli"),
            ("gzip", "gzip"),
            ("br;q=0, gzip;q=0.5", "gzip"),
            ("identity", "plain"),
            ("", "plain"),
        ] {
            let response = get("assets/app-1a2b.js", &[(header::ACCEPT_ENCODING, accepted)]);
            assert_eq!(header(&response, header::VARY), "Accept-Encoding");
            assert_eq!(header(&response, header::CONTENT_TYPE), "text/javascript; charset=utf-8");
            assert_eq!(body(response).await, expected, "{accepted}");
        }
    }

    #[test]
    fn hashed_file_is_immutable_and_index_is_revalidated() {
        let hashed = get("assets/app-1a2b.js", &[]);
        assert_eq!(header(&hashed, header::CACHE_CONTROL), "public, max-age=31536000, immutable");
        let index = get("", &[]);
        assert_eq!(header(&index, header::CACHE_CONTROL), "no-cache");
        let tag = header(&index, header::ETAG).to_owned();
        assert!(tag.len() > 10, "{tag}");
        for known in [tag.as_str(), &format!("\"other\", W/{tag}"), "*"] {
            let again = get("index.html", &[(header::IF_NONE_MATCH, known)]);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(header(&again, header::ETAG), tag);
        }
        assert_eq!(get("", &[(header::IF_NONE_MATCH, "\"other\"")]).status(), StatusCode::OK);
    }

    #[test]
    fn missing_file_is_404_and_never_the_index() {
        for path in
            ["assets/app-old.js", "assets/only.js", "tasks/1", "../Cargo.toml", "assets/app-1a2b.js.br/x"]
        {
            let response = get(path, &[]);
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
            assert_eq!(header(&response, header::CACHE_CONTROL), "", "{path}");
        }
        assert_eq!(answer_from(&Files::new(&[]), "", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn every_answer_has_the_security_headers() {
        for path in ["", "assets/app-1a2b.js", "missing"] {
            let response = get(path, &[]);
            let policy = header(&response, header::CONTENT_SECURITY_POLICY).to_owned();
            assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(header(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert_eq!(header(&response, header::REFERRER_POLICY), "no-referrer");
            let opener = header::HeaderName::from_static("cross-origin-opener-policy");
            assert_eq!(header(&response, opener), "same-origin");
        }
    }

    #[test]
    fn embedded_console_has_an_index_without_inline_code() {
        let (_, index) = FILES.find(INDEX, |_| false).expect("dist/index.html");
        let text = std::str::from_utf8(index.bytes).unwrap();
        assert!(!text.contains("<style") && !text.contains(" style="), "the policy forbids inline styles");
        for script in text.split("<script").skip(1) {
            assert!(script.split('>').next().unwrap().contains("src="), "the policy forbids inline scripts");
        }
    }
}
