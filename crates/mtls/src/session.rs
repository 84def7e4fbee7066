//! Session key of an agent and the schedulers: X25519, HKDF-SHA256 and HMAC-SHA256.

use std::fmt;

use ring::{
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    hmac,
    rand::SystemRandom,
};

/// Salt of the key derivation.
const SALT: &[u8] = b"graywave session v1";

/// Length of public keys, session keys and authenticators.
const BYTES: usize = 32;

/// One side of a key agreement, for one session.
pub struct SessionOffer {
    private: EphemeralPrivateKey,
    public: [u8; BYTES],
}

impl fmt::Debug for SessionOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionOffer")
    }
}

impl SessionOffer {
    /// Generates a key pair.
    ///
    /// # Errors
    ///
    /// When the machine has no source of randomness.
    pub fn generate() -> Result<Self, String> {
        let failed = |_| "no source of randomness".to_owned();
        let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(failed)?;
        let public = private.compute_public_key().map_err(failed)?;
        let public = public.as_ref().try_into().map_err(|_| "unexpected length of a key".to_owned())?;
        Ok(Self { private, public })
    }

    /// X25519 public key for the other side.
    pub const fn public_key(&self) -> [u8; BYTES] {
        self.public
    }

    /// Derives the session key with the public key of the other side, bound to `context`.
    ///
    /// # Errors
    ///
    /// When the other key is not a valid X25519 public key.
    pub fn agree(self, other: &[u8], context: &[u8]) -> Result<SessionKey, String> {
        let derive = |shared: &[u8]| {
            let secret = Salt::new(HKDF_SHA256, SALT).extract(shared);
            let mut key = [0; BYTES];
            secret.expand(&[context], KeyLength)?.fill(&mut key)?;
            Ok::<_, ring::error::Unspecified>(SessionKey::from_bytes(key))
        };
        let agreed = agree_ephemeral(self.private, &UnparsedPublicKey::new(&X25519, other), derive);
        agreed.and_then(|key| key).map_err(|_| "the public key of a session is not valid".to_owned())
    }
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        BYTES
    }
}

/// Key that an agent and the schedulers share.
#[derive(Clone)]
pub struct SessionKey {
    bytes: [u8; BYTES],
    key: hmac::Key,
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey")
    }
}

impl SessionKey {
    /// Reads a stored key.
    pub fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self { bytes, key: hmac::Key::new(hmac::HMAC_SHA256, &bytes) }
    }

    /// Key for storage.
    pub const fn bytes(&self) -> &[u8; BYTES] {
        &self.bytes
    }

    /// HMAC-SHA256 of a message.
    pub fn authenticate(&self, message: &[u8]) -> Vec<u8> {
        hmac::sign(&self.key, message).as_ref().to_vec()
    }

    /// Whether `mac` is the HMAC-SHA256 of a message; compared in constant time.
    pub fn is_authentic(&self, message: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.key, message, mac).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_derive_one_key_that_depends_on_the_context() {
        let offers = || (SessionOffer::generate().unwrap(), SessionOffer::generate().unwrap());
        let (agent, scheduler) = offers();
        let (of_agent, of_scheduler) = (agent.public_key(), scheduler.public_key());
        let first = agent.agree(&of_scheduler, b"context").unwrap();
        let second = scheduler.agree(&of_agent, b"context").unwrap();
        assert_eq!(first.bytes(), second.bytes());
        let mac = first.authenticate(b"message");
        assert!(second.is_authentic(b"message", &mac));
        assert!(!second.is_authentic(b"massage", &mac) && !second.is_authentic(b"message", &mac[1..]));
        let (agent, scheduler) = offers();
        let (of_agent, of_scheduler) = (agent.public_key(), scheduler.public_key());
        let first = agent.agree(&of_scheduler, b"one").unwrap();
        assert_ne!(first.bytes(), scheduler.agree(&of_agent, b"other").unwrap().bytes());
    }

    #[test]
    fn weak_or_malformed_public_keys_are_refused() {
        for other in [&[0; 32][..], &[1; 31], &[]] {
            assert!(SessionOffer::generate().unwrap().agree(other, b"").is_err(), "{other:?}");
        }
    }
}
