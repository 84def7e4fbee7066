//! Headers with the reason and the ticket of a change, which the published bodies cannot carry.

use axum::http::HeaderMap;
use domain::{Error, FieldPath, justification::Justification};
use percent_encoding::percent_decode;

use crate::{
    error::ApiError,
    names::{Names, REASON_HEADER, TICKET_HEADER},
};

/// Reads reason and ticket. Both are empty without their headers.
///
/// A value is UTF-8, or UTF-8 that is percent-encoded as in a URL. A `%` that two hexadecimal
/// digits do not follow stands for itself. Clients that send headers in ISO 8859-1 must encode.
pub(super) fn justification(headers: &HeaderMap) -> Result<Justification, ApiError> {
    let (reason, ticket) = (text(headers, REASON_HEADER)?, text(headers, TICKET_HEADER)?);
    Ok(Justification::new(&reason, &ticket)?)
}

fn text(headers: &HeaderMap, name: &'static str) -> Result<String, ApiError> {
    let refused = |message: &str| {
        ApiError::with_names(Error::invalid(FieldPath::dynamic(name), message), Names::Verbatim)
    };
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(String::new()) };
    if values.next().is_some() {
        return Err(refused("must not be given more than once"));
    }
    let decoded = percent_decode(value.as_bytes()).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| refused("is not UTF-8: percent-encode the text"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn reason(values: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(REASON_HEADER, HeaderValue::from_bytes(value).unwrap());
        }
        Some(justification(&headers).ok()?.reason().to_owned())
    }

    #[test]
    fn header_is_utf8_or_percent_encoded() {
        for (value, expected) in [
            ("fix CVE-2026-1".as_bytes(), "fix CVE-2026-1"),
            ("größer".as_bytes(), "größer"),
            (b"gr%C3%B6%c3%9fer", "größer"),
            (b"100 % of 5%", "100 % of 5%"),
            (b"a%zz", "a%zz"),
            (b"%", "%"),
            (b"", ""),
        ] {
            assert_eq!(reason(&[value]).as_deref(), Some(expected), "{value:?}");
        }
        assert_eq!(reason(&[]).as_deref(), Some(""));
    }

    #[test]
    fn header_of_another_encoding_or_twice_is_refused() {
        for values in [
            &[b"gr\xf6\xdfer".as_slice()] as &[&[u8]],
            &[b"gr%F6%DFer"],
            &[b"a%00b"],
            &[b"a%1Bb"],
            &[b"a%E2%80%AEb"],
            &[b"a", b"b"],
        ] {
            assert_eq!(reason(values), None, "{values:?}");
        }
    }
}
