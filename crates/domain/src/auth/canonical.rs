//! Canonical paths and queries of signed requests.
//!
//! A signature covers decoded values, so that it stays valid in every encoding that HTTP libraries
//! send. Signers disagree about two details. Each has a small set of canonical forms here, and a
//! request may match any of them. All forms of one set stand for the same decoded values, so they
//! let nothing through that the key's owner did not sign.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Characters to encode in path segments and query parts: all except letters, digits and `-_.~`.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Characters that `url.parse` of Node.js escapes in a path before the JavaScript SDK signs it.
const ESCAPED_BY_NODE: [char; 14] =
    ['\t', '\n', '\r', ' ', '"', '\'', '<', '>', '\\', '^', '`', '{', '|', '}'];

/// Returns the canonical forms of a path.
///
/// - The Python, Go and Java SDKs decode the path and encode each segment.
/// - The JavaScript SDK encodes each segment of the path that it sends, so escapes in it are
///   encoded twice. It escapes some characters before, although its HTTP library sends them as they
///   are, and leaves other characters, although the library escapes them.
///
/// A signature over `a%20b` must not be valid for both the decoded `a b` and a decoded `a%20b`. So
/// a path that contains an escape even after decoding has only the form of the path as it was sent.
/// An encoded slash equals a slash, because the Python SDK signs the decoded path.
pub(super) fn paths(path: &str) -> Vec<String> {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let mut forms = vec![encode_path(&escape(path))];
    if !has_escape(&decoded) {
        forms.extend([encode_path(&decoded), encode_path(&escape(&decoded))]);
    }
    distinct(forms)
}

/// Encodes each segment of a path, and adds a trailing slash.
fn encode_path(path: &str) -> String {
    let mut canonical = path.split('/').map(encode).collect::<Vec<_>>().join("/");
    if !canonical.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

fn escape(path: &str) -> Cow<'_, str> {
    if !path.contains(ESCAPED_BY_NODE) {
        return Cow::Borrowed(path);
    }
    let escape =
        |c: char| if ESCAPED_BY_NODE.contains(&c) { encode(c.encode_utf8(&mut [0; 4])) } else { c.into() };
    Cow::Owned(path.chars().map(escape).collect())
}

/// Reports whether a text contains a percent sign with two hex digits.
fn has_escape(text: &str) -> bool {
    text.as_bytes().windows(3).any(
        |bytes| matches!(bytes, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()),
    )
}

/// Returns the canonical forms of a query: its decoded pairs, each part encoded again, in every
/// order that SDKs sign.
///
/// Clients send a space as `+` or `%20`, use lower-case hex digits, leave other characters
/// unencoded, or omit `=`. This function decodes the query in the same way as the handlers, so that
/// the signature covers exactly the values that they use. All SDKs sort by name. They sort the
/// values of one name by Unicode, by UTF-16 or in their encoded form, or leave them in the given
/// order.
pub(super) fn queries(query: &str) -> Vec<String> {
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(query.as_bytes()).collect();
    pairs.sort_by(|one, other| one.0.cmp(&other.0));
    let as_given = join(&pairs);
    pairs.sort();
    let by_unicode = join(&pairs);
    pairs.sort_by_cached_key(|(name, value)| (name.clone(), value.encode_utf16().collect::<Vec<_>>()));
    let by_utf_16 = join(&pairs);
    pairs.sort_by_cached_key(|(name, value)| (encode(name), encode(value)));
    distinct(vec![by_unicode, as_given, by_utf_16, join(&pairs)])
}

fn join(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> String {
    let encoded = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    encoded.collect::<Vec<_>>().join("&")
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, &ENCODED).to_string()
}

fn distinct(forms: Vec<String>) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::with_capacity(forms.len());
    for form in forms {
        if !distinct.contains(&form) {
            distinct.push(form);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_path_and_query_have_one_form() {
        assert_eq!(paths("/v2/project-1/scripts"), ["/v2/project-1/scripts/"]);
        assert_eq!(queries("limit=10&name=a+b&offset=0"), ["limit=10&name=a%20b&offset=0"]);
        assert_eq!(queries(""), [""]);
    }

    #[test]
    fn path_has_the_forms_of_all_sdks() {
        for (sent, python, javascript) in [
            ("/a%20b", "/a%20b/", "/a%2520b/"),
            ("/a'b", "/a%27b/", "/a%2527b/"),
            ("/%E4%B8%AD%20b", "/%E4%B8%AD%20b/", "/%E4%B8%AD%2520b/"),
            ("/%E4%B8%AD%20b", "/%E4%B8%AD%20b/", "/%25E4%25B8%25AD%2520b/"),
            ("/a+b", "/a%2Bb/", "/a%2Bb/"),
            ("/100%", "/100%25/", "/100%25/"),
        ] {
            let forms = paths(sent);
            assert!(forms.iter().any(|form| form == python), "{sent}: {forms:?}");
            assert!(forms.iter().any(|form| form == javascript), "{sent}: {forms:?}");
        }
    }

    #[test]
    fn repeated_values_may_be_signed_in_every_sorted_order() {
        let utf_16 = "a=%F0%9F%98%80&a=%EF%BC%A1";
        let encoded = "a=%7B&a=A";
        for (sent, signed) in [
            ("a=%EF%BC%A1&a=%F0%9F%98%80", utf_16),
            ("a=A&a=%7B", encoded),
            ("a=2&a=1", "a=2&a=1"),
            ("b=1&a=2&a=1", "a=1&a=2&b=1"),
        ] {
            assert!(queries(sent).iter().any(|form| form == signed), "{sent}");
        }
    }

    proptest! {
        /// Paths of which one is decoded differently never share a form.
        #[test]
        fn form_of_a_path_stands_for_one_decoded_path(
            one in "/[a%2057' {F]{0,8}", other in "/[a%2057' {F]{0,8}"
        ) {
            let decoded = |path: &str| percent_decode_str(path).decode_utf8_lossy().into_owned();
            if paths(&one).iter().any(|form| paths(&other).contains(form)) {
                prop_assert_eq!(decoded(&one), decoded(&other));
            }
        }

        #[test]
        fn forms_of_a_query_stand_for_its_pairs(query in "[ab=&%27F+{A]{0,12}") {
            let pairs = |query: &str| {
                let mut pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
                pairs.sort();
                pairs
            };
            for form in queries(&query) {
                prop_assert_eq!(pairs(&form), pairs(&query));
            }
        }
    }
}
