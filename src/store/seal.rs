//! Seals what a record must keep and nobody may read from it: AES-256-GCM, bound to what it belongs to.
//!
//! The key is configured, or made once in a file beside the store's (mode 0600). Whoever has store and key has what is sealed: the seal
//! is for copies of the store, and for whatever prints a record.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use crate::config::types::Secret;

const KEY: usize = 32;
const NONCE: usize = 12;

/// Why something sealed cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was sealed with another key, or for something else")]
pub struct Unsealable;

/// The key to what is sealed.
pub(super) struct Sealer {
    key: RandomizedNonceKey,
    /// What tells this key from others, and tells nothing else of it.
    pub(super) fingerprint: String,
}

impl Sealer {
    /// A key of this moment, for a store in memory.
    pub(super) fn fresh() -> io::Result<Self> {
        Self::of(&*random()?)
    }

    /// The configured key, of any length; SHA-256 makes 32 bytes of it.
    pub(super) fn configured(secret: &Secret) -> io::Result<Self> {
        Self::of(digest::digest(&digest::SHA256, secret.expose().as_bytes()).as_ref())
    }

    /// The key in the file beside the store's; makes it if there is none. What is sealed with a lost key stays sealed.
    pub(super) fn beside(store: &Path) -> io::Result<Self> {
        let path = key_file(store);
        match OpenOptions::new().read(true).open(&path) {
            Ok(file) => {
                let mut key = Zeroizing::new(Vec::with_capacity(KEY + 1));
                file.take(KEY as u64 + 1).read_to_end(&mut key)?;
                Self::of(&key)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = random()?;
                write(&path, &*key)?;
                Self::of(&*key)
            }
            Err(error) => Err(error),
        }
    }

    fn of(key: &[u8]) -> io::Result<Self> {
        let sealing = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| {
            let message = format!("a sealing key has {KEY} bytes, and this one has {}", key.len());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, key),
            b"lakegate: which sealing key is this",
        );
        let fingerprint = tag.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            key: sealing,
            fingerprint,
        })
    }

    /// Seals `text` for `owner`; `None` if the library cannot.
    pub(super) fn seal(&self, owner: &str, text: &str) -> Option<String> {
        let mut sealed = text.as_bytes().to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(owner), &mut sealed).ok()?;
        let whole = [nonce.as_ref().as_slice(), &sealed].concat();
        Some(STANDARD_NO_PAD.encode(whole))
    }

    /// What was sealed for `owner`.
    pub(super) fn unseal(&self, owner: &str, sealed: &str) -> Result<Secret, Unsealable> {
        let whole = STANDARD_NO_PAD.decode(sealed).map_err(|_| Unsealable)?;
        let (nonce, sealed) = whole.split_at_checked(NONCE).ok_or(Unsealable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        let mut sealed = sealed.to_vec();
        let text = self.key.open_in_place(nonce, Aad::from(owner), &mut sealed);
        let text = text.map_err(|_| Unsealable)?.to_vec();
        String::from_utf8(text).map(Secret::new).map_err(|_| Unsealable)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

/// Where the key of the store at `store` is.
pub(super) fn key_file(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

fn random() -> io::Result<Zeroizing<[u8; KEY]>> {
    let mut key = Zeroizing::new([0; KEY]);
    rand::fill(&mut *key).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(key)
}

/// Whole or not at all, and there after a power cut.
fn write(path: &Path, key: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(key)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    super::file::sync_folder(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("lakegate.redb");
        let sealed = Sealer::beside(&store).unwrap().seal("a", "s3://b/x,SIG").unwrap();
        assert!(!sealed.contains("SIG"));
        let mode = fs::metadata(key_file(&store)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Sealer::beside(&store).unwrap();
        assert_eq!(again.unseal("a", &sealed).unwrap().expose(), "s3://b/x,SIG");
        assert_eq!(again.unseal("b", &sealed), Err(Unsealable), "bound to its owner");
        fs::write(key_file(&store), "short").unwrap();
        let error = Sealer::beside(&store).unwrap_err();
        assert!(error.to_string().contains("32 bytes, and this one has 5"), "{error}");
        fs::remove_file(key_file(&store)).unwrap();
        assert_eq!(Sealer::beside(&store).unwrap().unseal("a", &sealed), Err(Unsealable));
    }

    #[test]
    fn the_configured_key_opens_what_it_sealed_and_nothing_else() {
        let sealer = |key: &str| Sealer::configured(&Secret::new(key)).unwrap();
        let sealed = sealer("one").seal("a", "x").unwrap();
        assert_eq!(sealer("one").unseal("a", &sealed).unwrap().expose(), "x");
        assert_eq!(sealer("two").unseal("a", &sealed), Err(Unsealable));
        assert_ne!(
            sealer("one").seal("a", "x").unwrap(),
            sealed,
            "each has a nonce of its own"
        );
    }

    proptest! {
        #[test]
        fn a_changed_seal_is_no_seal(text in ".{0,80}", at in any::<prop::sample::Index>(), with in "[A-Za-z0-9+/]") {
            let sealer = Sealer::fresh().unwrap();
            let sealed = sealer.seal("owner", &text).unwrap();
            let read = sealer.unseal("owner", &sealed).unwrap();
            prop_assert_eq!(read.expose(), text);
            let mut changed = sealed.clone();
            let at = at.index(sealed.len());
            changed.replace_range(at..=at, &with);
            // Bits behind the last whole byte must be zero, so a changed letter is always a change.
            prop_assume!(changed != sealed);
            prop_assert_eq!(sealer.unseal("owner", &changed), Err(Unsealable));
        }
    }
}
