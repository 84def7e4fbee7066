//! Secret keys at rest: AES-256-GCM under a master key that the database never sees.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use domain::{Error, Reason};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};
use sha2::{Digest as _, Sha256};
use store::credential::SealedSecret;

/// Length of a master key.
const KEY_BYTES: usize = 32;
/// Length of the id of a master key.
const ID_BYTES: usize = 16;

struct MasterKey {
    id: String,
    key: LessSafeKey,
}

/// The master keys. The first one encrypts and all of them decrypt, which allows rotation. Cheap to
/// clone; clones share a replacement.
#[derive(Clone, Default)]
pub struct MasterKeys(Arc<RwLock<Arc<Vec<MasterKey>>>>);

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.current().iter().map(|key| &key.id)).finish()
    }
}

fn failed() -> Error {
    Error::internal().with_source("a secret could not be encrypted or decrypted")
}

impl MasterKeys {
    /// Parses keys of 64 hex digits each, as `openssl rand -hex 32` prints them.
    pub fn new<T: AsRef<str>>(keys: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        let keys = keys.into_iter().map(|text| MasterKey::new(text.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(RwLock::new(Arc::new(keys)))))
    }

    /// Replaces the keys, in this value and in all its clones.
    pub fn replace(&self, with: &Self) {
        let keys = with.current();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Returns whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.current().is_empty()
    }

    fn current(&self) -> Arc<Vec<MasterKey>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Encrypts a secret key. The ciphertext is bound to `access_key`, so that one key's secret
    /// cannot be stored under another.
    pub(crate) fn seal(&self, access_key: &str, secret_key: &str) -> Result<SealedSecret, Error> {
        let keys = self.current();
        let master = first(&keys)?;
        let bytes = master.seal(access_key.as_bytes(), secret_key.as_bytes())?;
        Ok(SealedSecret { bytes, master_key_id: master.id.clone() })
    }

    /// Encrypts bytes with the first key and binds them to `context`; the result begins with the id
    /// of that key. `None` without a master key, or without a source of randomness.
    pub fn wrap(&self, context: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.current();
        let master = keys.first()?;
        let sealed = master.seal(context, plain).ok()?;
        Some([master.id.as_bytes(), &sealed].concat())
    }

    /// Decrypts bytes of [`MasterKeys::wrap`]; `None` if their key is not configured, or if they
    /// belong to another context.
    pub fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Option<Vec<u8>> {
        let (id, sealed) = wrapped.split_at_checked(ID_BYTES)?;
        let keys = self.current();
        let master = keys.iter().find(|key| key.id.as_bytes() == id)?;
        master.open(context, sealed).ok()
    }

    /// Returns the id of the key that encrypts.
    pub(super) fn first_id(&self) -> Result<String, Error> {
        Ok(first(&self.current())?.id.clone())
    }

    /// Decrypts a secret key.
    pub(crate) fn open(&self, access_key: &str, sealed: &SealedSecret) -> Result<String, Error> {
        let keys = self.current();
        let master = keys.iter().find(|key| key.id == sealed.master_key_id).ok_or_else(|| {
            Error::internal().with_source(format!(
                "access key {access_key} is encrypted with master key {}, which is not configured",
                sealed.master_key_id
            ))
        })?;
        let plain = master.open(access_key.as_bytes(), &sealed.bytes)?;
        String::from_utf8(plain).map_err(|_| failed())
    }
}

fn first(keys: &[MasterKey]) -> Result<&MasterKey, Error> {
    keys.first().ok_or_else(|| {
        Error::new(
            Reason::MasterKeyMissing,
            "no master key for secret keys: set access.master_keys or access.master_key_file",
        )
    })
}

impl MasterKey {
    fn new(text: &str) -> Result<Self, Error> {
        let bad = || Error::unreadable("a master key is 64 hex digits, as `openssl rand -hex 32` makes them");
        let bytes: [u8; KEY_BYTES] =
            hex::decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(bad)?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| bad())?;
        // The id identifies the key and reveals nothing about its bits.
        let id: String = hex::encode(Sha256::digest(bytes)).chars().take(ID_BYTES).collect();
        Ok(Self { id, key: LessSafeKey::new(key) })
    }

    /// Encrypts bytes: a nonce, then the ciphertext.
    fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| failed())?;
        let mut bytes = plain.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut bytes)
            .map_err(|_| failed())?;
        Ok([&nonce[..], &bytes].concat())
    }

    fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(failed)?;
        let mut bytes = sealed.to_vec();
        let plain =
            self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut bytes);
        Ok(plain.map_err(|_| failed())?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacement_reaches_all_clones() {
        let used = keys(&['a']);
        let clone = used.clone();
        let sealed = clone.seal("AK", "secret").unwrap();
        used.replace(&keys(&['b', 'a']));
        assert_eq!(clone.open("AK", &sealed).unwrap(), "secret");
        assert_ne!(clone.seal("AK", "secret").unwrap().master_key_id, sealed.master_key_id);
        used.replace(&keys(&['b']));
        assert!(clone.open("AK", &sealed).is_err(), "the old key is gone");
    }

    fn keys(digits: &[char]) -> MasterKeys {
        MasterKeys::new(digits.iter().map(|digit| digit.to_string().repeat(64))).unwrap()
    }

    #[test]
    fn secret_opens_only_with_its_master_key_and_access_key() {
        let sealed = keys(&['a']).seal("AK", "secret").unwrap();
        assert!(!String::from_utf8_lossy(&sealed.bytes).contains("secret"));
        assert_eq!(keys(&['a']).open("AK", &sealed).unwrap(), "secret");
        assert!(keys(&['a']).open("AK2", &sealed).is_err());
        assert!(keys(&['b']).open("AK", &sealed).is_err());
        // The new key comes first, and the old one is still configured.
        assert_eq!(keys(&['b', 'a']).open("AK", &sealed).unwrap(), "secret");
        let mut broken = sealed.clone();
        *broken.bytes.last_mut().unwrap() ^= 1;
        assert!(keys(&['a']).open("AK", &broken).is_err());
        assert_ne!(
            keys(&['a']).seal("AK", "secret").unwrap().bytes,
            sealed.bytes,
            "each secret has a unique nonce"
        );
    }

    #[test]
    fn wrapped_bytes_open_only_with_their_key_and_context() {
        let wrapped = keys(&['a']).wrap(b"context", b"bytes").unwrap();
        assert_eq!(keys(&['b', 'a']).unwrap(b"context", &wrapped).unwrap(), b"bytes");
        assert_eq!(keys(&['a']).unwrap(b"another", &wrapped), None);
        assert_eq!(keys(&['b']).unwrap(b"context", &wrapped), None);
        assert_eq!(keys(&['a']).unwrap(b"context", &wrapped[..10]), None);
        assert_eq!(MasterKeys::default().wrap(b"context", b"bytes"), None);
    }

    #[test]
    fn malformed_key_is_refused_and_no_key_is_shown() {
        for text in ["", "abc", &"g".repeat(64), &"a".repeat(63)] {
            assert!(MasterKeys::new([text]).is_err(), "{text}");
        }
        let none = MasterKeys::default().seal("AK", "secret").unwrap_err();
        assert!(none.message.contains("access.master_key"), "{}", none.message);
        assert!(!format!("{:?}", keys(&['a'])).contains("aaaa"));
    }
}
