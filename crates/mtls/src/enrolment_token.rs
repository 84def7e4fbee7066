//! Enrolment tokens: an id, and a secret from which both sides derive a key pair. The secret stays
//! on the desktop; schedulers know the public key.

use std::fmt;

use ring::{
    hkdf::{HKDF_SHA256, Salt},
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};

/// Salt of the key derivation. Its version changes with the derivation.
const SALT: &[u8] = b"graywave enrolment token v1";
/// Length of the id at the beginning of a token: a UUID without hyphens.
const ID_CHARS: usize = 32;
/// Minimum length of the secret, of about six bits each.
const MIN_SECRET_CHARS: usize = 40;
/// Maximum length of a token.
const MAX_CHARS: usize = 128;
const SEED_BYTES: usize = 32;

/// Length of a token's public key.
pub const TOKEN_KEY_BYTES: usize = 32;

/// Token as a desktop holds it.
pub struct EnrolmentToken {
    id: String,
    key: Ed25519KeyPair,
}

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolmentToken {}", self.id)
    }
}

impl EnrolmentToken {
    /// Reads the text of a token: the id in 32 hex characters, then the secret.
    ///
    /// # Errors
    ///
    /// When the text does not have the form of a token.
    pub fn read(text: &str) -> Result<Self, String> {
        let malformed = || "the enrolment token is malformed: check that it was copied completely".to_owned();
        let is_plain = text.len() <= MAX_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let (id, secret) = text.split_at_checked(ID_CHARS).filter(|_| is_plain).ok_or_else(malformed)?;
        let is_id = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_id || secret.len() < MIN_SECRET_CHARS {
            return Err(malformed());
        }
        let mut seed = [0; SEED_BYTES];
        let info = [id.as_bytes()];
        let derived = Salt::new(HKDF_SHA256, SALT).extract(secret.as_bytes());
        let derived = derived.expand(&info, HKDF_SHA256).map_err(|_| malformed())?;
        derived.fill(&mut seed).map_err(|_| malformed())?;
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| malformed())?;
        Ok(Self { id: id.to_owned(), key })
    }

    /// Id of the token, which is not secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Key that verifies the token's signatures.
    pub fn public_key(&self) -> [u8; TOKEN_KEY_BYTES] {
        self.key.public_key().as_ref().try_into().unwrap_or([0; TOKEN_KEY_BYTES])
    }

    /// Signs a message, which must begin with a label of its purpose.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(message).as_ref().to_vec()
    }
}

/// Whether the token with this public key signed the message.
pub fn is_signed_by_token(public_key: &[u8; TOKEN_KEY_BYTES], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0198f000000070008000000000000001";
    const SECRET: &str = "0123456789abcdefghijABCDEFGHIJ0123456789abcdefgh";

    #[test]
    fn signature_proves_the_secret_of_its_own_token() {
        let token = EnrolmentToken::read(&format!("{ID}{SECRET}")).unwrap();
        assert_eq!(token.id(), ID);
        let (key, signature) = (token.public_key(), token.sign(b"request"));
        assert!(is_signed_by_token(&key, b"request", &signature));
        assert!(!is_signed_by_token(&key, b"another", &signature));
        assert!(!is_signed_by_token(&key, b"request", b""));
        assert!(!format!("{token:?}").contains(SECRET));
        // The same secret with another id, and the same id with another secret.
        let other_id = EnrolmentToken::read(&format!("{}2{SECRET}", ID.split_at(31).0)).unwrap();
        let other_secret = EnrolmentToken::read(&format!("{ID}{SECRET}x")).unwrap();
        for other in [other_id, other_secret] {
            assert!(!is_signed_by_token(&key, b"request", &other.sign(b"request")));
        }
    }

    #[test]
    fn derivation_gives_the_same_key_in_every_version() {
        let token = EnrolmentToken::read(&format!("{ID}{SECRET}")).unwrap();
        let again = EnrolmentToken::read(&format!("{ID}{SECRET}")).unwrap();
        assert_eq!(token.public_key(), again.public_key());
        assert_ne!(token.public_key(), [0; TOKEN_KEY_BYTES]);
    }

    #[test]
    fn text_of_another_form_is_refused() {
        let upper = ID.to_uppercase().replace("0198F", "0198G");
        let long = format!("{ID}{}", "x".repeat(MAX_CHARS));
        let cases = [
            "",
            ID,
            ID.split_at(1).1,
            &format!("{ID}{}", SECRET.split_at(39).0),
            &format!("{upper}{SECRET}"),
            &long,
        ];
        for wrong in cases {
            assert!(EnrolmentToken::read(wrong).unwrap_err().contains("copied completely"), "{wrong}");
        }
        assert!(EnrolmentToken::read(&format!("{ID}{SECRET}\u{fc}")).is_err());
        assert!(EnrolmentToken::read(&"\u{fc}".repeat(50)).is_err());
    }
}
