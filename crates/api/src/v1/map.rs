//! The map of a task: one byte for each desktop, compressed and cacheable.

use std::io::Write as _;

use axum::{
    extract::Path,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY},
    },
    response::{IntoResponse as _, Response},
};
use domain::Error;
use flate2::{Compression, write::GzEncoder};

use super::tasks::TaskPath;
use crate::{dto::Project, error::ApiError, extract::Authorized};

/// Header with the position from which changes continue.
const VERSION: &str = "x-graywave-map-version";

/// Show the state of every desktop of a task: one byte each, in the order of the plan.
///
/// 0 PENDING, 1 DEFERRED, 2 IN_FLIGHT, 16 SUCCESS, 17 FAILED, 18 TIMEOUT, 19 UNDELIVERED,
/// 20 REJECTED, 21 UNKNOWN, 22 STOPPED, 23 SKIPPED. The event stream of the project carries the
/// changes after `X-Graywave-Map-Version`.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/tasks/{task_id}/map", operation_id = "GetTaskMap", tag = "native",
    params(
        Project, TaskPath,
        ("If-None-Match" = Option<String>, Header, description = "ETag of the map that the caller has."),
    ),
    responses(
        (status = 200, description = "The map, with gzip if the caller accepts it.", body = Vec<u8>,
         content_type = "application/octet-stream",
         headers(
            ("ETag" = String, description = "Name of this state of the map."),
            ("X-Graywave-Map-Version" = i64, description = "Position from which changes continue."),
         )),
        (status = 304, description = "The caller has this state of the map."),
    ),
)]
pub(crate) async fn show(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let known = known_tags(&headers);
    let is_known = |tag: &str| known.iter().any(|it| it == "*" || it == tag || it == &zipped(tag));
    let map = control.task_map(&caller, path.id()?, is_known).await?;
    let is_zipped = accepts_gzip(&headers);
    let tag = if is_zipped { zipped(&map.tag) } else { map.tag };
    let mut response = match map.bytes {
        None => StatusCode::NOT_MODIFIED.into_response(),
        Some(bytes) if is_zipped => {
            // A million bytes take some milliseconds of a processor.
            let bytes = tokio::task::spawn_blocking(move || gzip(&bytes)).await;
            let bytes = bytes.map_err(|error| Error::internal().with_source(error))??;
            ([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))], bytes).into_response()
        }
        Some(bytes) => bytes.into_response(),
    };
    let headers = response.headers_mut();
    if headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding, x-auth-token, authorization"));
    headers.insert(VERSION, HeaderValue::from(map.version));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        headers.insert(ETAG, tag);
    }
    Ok(response)
}

fn zipped(tag: &str) -> String {
    format!("{tag}-gzip")
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(4));
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.map_err(|error| Error::internal().with_source(error))
}

/// Reads the tags of `If-None-Match`, without quotes and marks of weakness.
fn known_tags(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let tags = values.flat_map(|value| value.split(','));
    tags.map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned()).collect()
}

/// Returns whether the caller accepts gzip: it names gzip or `*`, and not with the weight 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut weights = values.flat_map(|value| value.split(',')).map(|entry| {
        let (coding, weight) = entry.split_once(';').unwrap_or((entry, ""));
        let weight = weight.trim().trim_start_matches("q=").parse::<f32>().unwrap_or(1.0);
        (coding.trim().to_ascii_lowercase(), weight > 0.0)
    });
    let weights: Vec<(String, bool)> = weights.by_ref().collect();
    let of =
        |name: &str| weights.iter().find(|(coding, _)| coding == name).map(|(_, is_accepted)| *is_accepted);
    of("gzip").or_else(|| of("*")).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn gzip_is_sent_to_clients_that_accept_it() {
        for (value, accepted) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0, *", false),
            ("gzip; q=0.0", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(&headers(ACCEPT_ENCODING, value)), accepted, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn tags_are_read_without_quotes_and_weakness() {
        assert_eq!(known_tags(&headers(IF_NONE_MATCH, "W/\"a-1\", \"b\",*")), ["a-1", "b", "*"]);
    }
}
