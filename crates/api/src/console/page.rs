//! Pages that the server writes: without script and style.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use console::{ContentPolicy, secure};

/// Escapes a text for HTML, in an attribute or between tags.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

/// Answers with a page; `head` and `body` are HTML.
pub(super) fn page(status: StatusCode, head: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{head}\
         <title>Graywave</title>\n</head>\n<body>\n{body}</body>\n</html>\n"
    );
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    secure((status, headers, html).into_response(), ContentPolicy::Plain)
}

/// Answers with a page that leads to a relative address of this site.
///
/// A redirect would continue the navigation that the identity provider's site began, and a browser
/// sends no `SameSite=Strict` cookie with it. The page begins a navigation of its own.
pub(super) fn leads_to(target: &str) -> Response {
    let target = escaped(target);
    let head = format!("<meta http-equiv=\"refresh\" content=\"0;url={target}\">\n");
    page(StatusCode::OK, &head, &format!("<p><a href=\"{target}\">Continue to Graywave</a></p>\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        assert_eq!(escaped("<b a=\"1\" c='2'>&"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;");
    }
}
