//! Tests with signatures by the official Python SDK (huaweicloudsdkcore 3.1.219).

use chrono::DateTime;

use super::*;
use crate::ErrorKind;

const SECRET_KEY: &str = "sk-of-the-test-vector-0123456789";
const POST_SIGNATURE: &str = "098ffa253770244fbb9968352e1ea48bf6bf4238a0750fbd50bcf4e6ae7fc494";
const BODY: &[u8] = br#"{"command": "echo \u4e2d", "gray_count": 2}"#;

fn now() -> Timestamp {
    DateTime::parse_from_rfc3339("2026-11-24T10:45:00Z").unwrap().to_utc()
}

fn authorization(signature: &str) -> Authorization {
    let signed = "content-type;host;user-agent;x-project-id;x-sdk-date";
    let header =
        format!("SDK-HMAC-SHA256 Access=AK0123456789ABCDEFGH, SignedHeaders={signed}, Signature={signature}");
    Authorization::parse(&header).unwrap()
}

fn headers() -> Vec<(String, String)> {
    [
        ("content-type", "application/json"),
        ("host", "127.0.0.1:8080"),
        ("user-agent", "huaweicloud-usdk-python/3.0; test"),
        ("x-project-id", "project-1"),
        ("x-sdk-date", "20261124T104500Z"),
        ("accept", "*/*"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn post(headers: &[(String, String)]) -> SignedRequest<'_> {
    SignedRequest { method: "POST", path: "/v2/project-1/script-executions", query: "", headers, body: BODY }
}

fn refusal(result: Result<(), Error>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    error.to_string()
}

#[test]
fn the_sdks_signatures_are_good() {
    let headers = headers();
    authorization(POST_SIGNATURE).verify(&post(&headers), SECRET_KEY, now()).unwrap();

    let get = SignedRequest {
        method: "GET",
        path: "/v2/project-1/script-execution-records",
        // Not in the signed order, as a proxy may forward it.
        query: "script_name=x&execute_time_end=2099-10-01T12%3A00%3A00Z&is_first_order=true&resource_id=desk-2\
                &resource_id=desk-1&script_name=other%20name",
        headers: &headers,
        body: b"",
    };
    authorization("06fc121531efeb1fab3e71ac1333c4178e7e688a9f2fb2098b78bf38d0ce182d")
        .verify(&get, SECRET_KEY, now())
        .unwrap();

    let delete = SignedRequest { method: "DELETE", path: "/v2/project-1/scripts/a%20b~c", query: "", ..get };
    authorization("dbda12d044ad1d719a0a8e13075253bd5408b8d8d91c2ea0cab9f59c0a360461")
        .verify(&delete, SECRET_KEY, now())
        .unwrap();
}

/// Characters with a special meaning in paths and queries, repeated names, and an empty value. The
/// path is encoded as by an HTTP library.
#[test]
fn odd_characters_are_read_as_the_sdk_signs_them() {
    let headers = headers();
    let odd = SignedRequest {
        method: "GET",
        path: "/v2/project-1/scripts/a+b%25c/%E4%B8%AD,!$&'()*;=:@",
        query: "Z=1&a=%26%3D%3F%23&name=&name=caf%C3%A9%20100%25%20%2B%20a%2Fb%20~%2A%27%28%29&resource_id=a\
                &resource_id=a&resource_id=b",
        headers: &headers,
        body: b"",
    };
    let signed = authorization("28afe2737db7c1729f4fa7905bd278f22e69b436f0e3a64ddd66b45a60845664");
    signed.verify(&odd, SECRET_KEY, now()).unwrap();
    for query in [odd.query.replace("&resource_id=b", ""), odd.query.replace("name=&", "")] {
        refusal(signed.verify(&SignedRequest { query: &query, ..odd }, SECRET_KEY, now()));
    }
}

/// Signed by the official Python SDK over `Z=1`, `a=&=?#`, two values of `name` and three of
/// `resource_id`.
const ODD_SIGNATURE: &str = "28afe2737db7c1729f4fa7905bd278f22e69b436f0e3a64ddd66b45a60845664";
const ODD_PATH: &str = "/v2/project-1/scripts/a+b%25c/%E4%B8%AD,!$&'()*;=:@";

#[test]
fn form_encoding_of_the_signed_query_is_accepted() {
    let headers = headers();
    let spellings = [
        // Go: url.Values.Encode.
        "Z=1&a=%26%3D%3F%23&name=&name=caf%C3%A9+100%25+%2B+a%2Fb+~%2A%27%28%29&resource_id=a&resource_id=a\
         &resource_id=b",
        // JavaScript: URLSearchParams.
        "Z=1&a=%26%3D%3F%23&name=&name=caf%C3%A9+100%25+%2B+a%2Fb+%7E*%27%28%29&resource_id=a&resource_id=a\
         &resource_id=b",
        // JavaScript: querystring.stringify.
        "Z=1&a=%26%3D%3F%23&name=&name=caf%C3%A9%20100%25%20%2B%20a%2Fb%20~*'()&resource_id=a&resource_id=a\
         &resource_id=b",
        // Lower-case digits, unencoded characters, no equals sign, another order, an empty pair.
        "resource_id=b&resource_id=a&name=caf%c3%a9+100%25+%2b+a/b+~*'()&a=%26=?%23&name&&Z=%31&resource_id=a",
    ];
    for query in spellings {
        let request = SignedRequest { method: "GET", path: ODD_PATH, query, headers: &headers, body: b"" };
        let verified = authorization(ODD_SIGNATURE).verify(&request, SECRET_KEY, now());
        assert_eq!(verified.map_err(|error| error.to_string()), Ok(()), "{query}");
    }
}

/// A plus means a space in a query, and itself in a path.
#[test]
fn plus_in_place_of_a_signed_plus_is_refused() {
    let headers = headers();
    let query = "Z=1&a=%26%3D%3F%23&name=&name=caf%C3%A9+100%25+%2B+a%2Fb+~*'()&resource_id=a&resource_id=a\
                 &resource_id=b";
    let good = SignedRequest { method: "GET", path: ODD_PATH, query, headers: &headers, body: b"" };
    for (path, query) in
        [(ODD_PATH, query.replace("%2B", "+")), (&ODD_PATH.replace('+', "%20"), query.to_owned())]
    {
        let request = SignedRequest { path, query: &query, ..good };
        refusal(authorization(ODD_SIGNATURE).verify(&request, SECRET_KEY, now()));
    }
}

#[test]
fn unencoded_colons_and_spaces_as_plus_are_accepted() {
    let headers = headers();
    let get = SignedRequest {
        method: "GET",
        path: "/v2/project-1/script-execution-records",
        query: "execute_time_end=2099-10-01T12:00:00Z&is_first_order=true&resource_id=desk-1&resource_id=desk-2\
                &script_name=other+name&script_name=x",
        headers: &headers,
        body: b"",
    };
    authorization("06fc121531efeb1fab3e71ac1333c4178e7e688a9f2fb2098b78bf38d0ce182d")
        .verify(&get, SECRET_KEY, now())
        .unwrap();
}

#[test]
fn whatever_is_changed_breaks_it() {
    let headers = headers();
    let good = post(&headers);
    let changed = [
        SignedRequest { method: "PUT", ..good },
        SignedRequest { path: "/v2/project-2/script-executions", ..good },
        SignedRequest { query: "a=b", ..good },
        SignedRequest { body: b"{}", ..good },
        SignedRequest { body: b"", ..good },
    ];
    for request in changed {
        let message = refusal(authorization(POST_SIGNATURE).verify(&request, SECRET_KEY, now()));
        assert!(message.contains("does not match"), "{request:?}: {message}");
    }
    for place in 0..5 {
        let mut headers = headers.clone();
        headers[place].1.push('x');
        assert!(authorization(POST_SIGNATURE).verify(&post(&headers), SECRET_KEY, now()).is_err(), "{place}");
    }
    refusal(authorization(POST_SIGNATURE).verify(&good, "another key", now()));
    refusal(authorization("00").verify(&good, SECRET_KEY, now()));
    // Headers that are not signed may change on the way.
    let mut proxied = headers.clone();
    proxied[5].1 = "text/html".into();
    authorization(POST_SIGNATURE).verify(&post(&proxied), SECRET_KEY, now()).unwrap();
}

#[test]
fn a_signature_is_good_for_fifteen_minutes_either_way() {
    let headers = headers();
    for (offset, good) in [(900, true), (901, false), (-900, true), (-901, false)] {
        let then = now() + TimeDelta::seconds(offset);
        assert_eq!(
            authorization(POST_SIGNATURE).verify(&post(&headers), SECRET_KEY, then).is_ok(),
            good,
            "{offset}"
        );
    }
}

#[test]
fn unsigned_host_or_date_or_absent_signed_header_is_refused() {
    let parse = |signed: &str| {
        Authorization::parse(&format!("SDK-HMAC-SHA256 Access=a, SignedHeaders={signed}, Signature=00"))
            .unwrap()
    };
    let headers = headers();
    let check = |signed: &str| refusal(parse(signed).verify(&post(&headers), SECRET_KEY, now()));
    assert!(check("host").contains("x-sdk-date"));
    assert!(check("x-sdk-date").contains("host"));
    assert!(check("host;x-sdk-date;x-gone").contains("x-gone"));
}

#[test]
fn what_is_no_authorization_is_refused_in_words() {
    let many = format!("SDK-HMAC-SHA256 Access=a, SignedHeaders={}, Signature=00", "a;".repeat(100));
    for text in [
        "",
        "Bearer x",
        "SDK-HMAC-SHA256",
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=b",
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=b, Signature=zz",
        "V11-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=00",
        &many,
    ] {
        let error = Authorization::parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{text}");
    }
}

#[test]
fn header_with_up_to_64_signed_headers_is_parsed() {
    let header = |number: usize| {
        let names = vec!["x"; number].join(";");
        Authorization::parse(&format!("{ALGORITHM} Access=AK, SignedHeaders={names}, Signature=0aff"))
    };
    assert_eq!(header(64).unwrap().signature(), [0x0a, 0xff]);
    assert!(header(65).is_err());
}
