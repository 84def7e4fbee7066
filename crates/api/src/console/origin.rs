//! Refusal of requests that a page of another site makes a browser send.

use axum::http::{header, request::Parts, uri::Authority};
use domain::{Error, Reason};

/// Header in which a browser names the relation between the page and the called server.
const FETCH_SITE: &str = "sec-fetch-site";

/// Checks that a browser's request comes from a page of the same origin, or from the person (an
/// address that was typed). A program sends neither header and is not refused.
///
/// `Sec-Fetch-Site` is the browser's own comparison and cannot be changed by a page, so it also
/// decides behind a proxy that changes `Host`. Otherwise `Origin` must name the host of the
/// request, or that of `public_url`. The scheme is not compared with the connection's: a proxy may
/// end TLS.
pub(crate) fn check_same_origin(parts: &Parts, public_url: Option<&str>) -> Result<(), Error> {
    let headers = &parts.headers;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_same = match (text(FETCH_SITE), text(header::ORIGIN.as_str())) {
        (Some(site), _) => site == "same-origin" || (site == "none" && parts.method.is_safe()),
        (None, Some(origin)) => host_of(origin).is_some_and(|host| {
            asked_host(parts).is_some_and(|asked| asked == host)
                || public_url.and_then(host_of).is_some_and(|public| public == host)
        }),
        (None, None) => !headers.contains_key(FETCH_SITE) && !headers.contains_key(header::ORIGIN),
    };
    if is_same {
        return Ok(());
    }
    let message = "the request comes from a page of another site: open the console at its own address; behind a \
                   proxy that changes Host, set console.public_url";
    Err(Error::new(Reason::CrossSiteRequest, message))
}

/// Host and port of an origin or a URL, in lower case; `None` for an opaque origin (`null`).
pub(super) fn host_of(origin: &str) -> Option<String> {
    let (_, rest) = origin.split_once("://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    let authority: Authority = authority.parse().ok()?;
    Some(authority.as_str().to_ascii_lowercase())
}

/// Host of the request: `Host`, or the authority of HTTP/2.
pub(super) fn asked_host(parts: &Parts) -> Option<String> {
    let host = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
    host.or_else(|| parts.uri.authority().map(Authority::as_str)).map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, Request};

    use super::*;

    fn parts(method: Method, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/v1").header("host", "gw.example:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn is_refused(method: Method, headers: &[(&str, &str)]) -> bool {
        check_same_origin(&parts(method, headers), Some("https://public.example/graywave")).is_err()
    }

    #[test]
    fn request_of_the_same_origin_or_a_program_passes() {
        for headers in [
            &[] as &[(&str, &str)],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://rewritten.example")],
            &[("origin", "http://gw.example:8080")],
            &[("origin", "https://GW.example:8080")],
            &[("origin", "https://public.example")],
        ] {
            assert!(!is_refused(Method::POST, headers), "{headers:?}");
            assert!(!is_refused(Method::GET, headers), "{headers:?}");
        }
        assert!(!is_refused(Method::GET, &[("sec-fetch-site", "none")]), "a typed address");
    }

    #[test]
    fn request_of_another_site_is_refused() {
        for headers in [
            &[("sec-fetch-site", "cross-site")] as &[(&str, &str)],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site"), ("origin", "http://gw.example:8080")],
            &[("origin", "https://evil.example")],
            &[("origin", "http://gw.example")],
            &[("origin", "http://gw.example:8080.evil.example")],
            &[("origin", "null")],
            &[("origin", "")],
            &[("sec-fetch-site", "")],
        ] {
            assert!(is_refused(Method::POST, headers), "{headers:?}");
        }
        assert!(is_refused(Method::GET, &[("sec-fetch-site", "cross-site")]));
        assert!(is_refused(Method::POST, &[("sec-fetch-site", "none")]));
    }
}
