//! Bytes that an agent signs to get a certificate: shared by agent and scheduler. Each message
//! begins with a label, which prevents the reuse of signatures from other contexts.

/// Message that a desktop signs with its current key to renew its certificate.
pub fn renewal(project_id: &str, desktop_id: &str, serial: &str, certificate_request: &[u8]) -> Vec<u8> {
    let fields = [project_id.as_bytes(), desktop_id.as_bytes(), serial.as_bytes(), certificate_request];
    message(b"graywave certificate renewal v1\0", &fields)
}

/// Message that a desktop signs with the key of its enrolment token. The token's id stands for its
/// project, which the desktop does not know.
pub fn enrolment(token_id: &str, desktop_id: &str, certificate_request: &[u8]) -> Vec<u8> {
    let fields = [token_id.as_bytes(), desktop_id.as_bytes(), certificate_request];
    message(b"graywave enrolment v1\0", &fields)
}

/// Joins a label and fields. Each field follows its length in eight bytes, so that no two lists of
/// fields have the same bytes.
fn message(label: &[u8], fields: &[&[u8]]) -> Vec<u8> {
    let mut message = label.to_vec();
    for field in fields {
        message.extend_from_slice(&(field.len() as u64).to_be_bytes());
        message.extend_from_slice(field);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_changes_the_message() {
        let renewals = [
            renewal("p", "d", "01", b"r"),
            renewal("pd", "", "01", b"r"),
            renewal("p", "d0", "1", b"r"),
            renewal("p", "d", "01", b"s"),
            enrolment("p", "d", b"r"),
            enrolment("pd", "", b"r"),
            enrolment("p", "dr", b""),
        ];
        for (at, one) in renewals.iter().enumerate() {
            assert!(renewals.iter().skip(at + 1).all(|other| other != one), "{at}");
        }
    }
}
