//! How the TCP connections of a peer are authenticated.

use std::fmt;
use std::sync::Arc;

/// How both ends of a peer's TCP connections prove who they are: one way at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Not at all.
    #[default]
    None,
    /// TCP MD5 signatures (RFC 2385). A change restarts the session.
    Md5(Md5Key),
    /// The TCP Authentication Option (RFC 5925), for kernels that have it. Keys can be added, preferred and
    /// removed while the session goes on.
    Ao(AoKeys),
}

impl Authentication {
    /// Whether open connections can go over from this to `new`.
    pub(crate) fn rolls_over(&self, new: &Self) -> bool {
        match (self, new) {
            (Self::Ao(old), Self::Ao(new)) => old.rolls_over(new),
            _ => self == new,
        }
    }
}

/// A TCP MD5 key (RFC 2385). Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Md5Key(Arc<[u8]>);

impl Md5Key {
    /// The longest key the kernel takes.
    pub const MAX_LEN: usize = MAX_KEY;

    /// A key with these octets.
    ///
    /// # Errors
    /// [`InvalidKey`] when it is empty or longer than [`Md5Key::MAX_LEN`] octets.
    pub fn new(key: impl AsRef<[u8]>) -> Result<Self, InvalidKey> {
        checked(key.as_ref()).map(Self)
    }

    /// The octets, for the socket option.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Md5Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Md5Key(redacted)")
    }
}

/// A Master Key Tuple of TCP-AO (RFC 5925 §3.1) without the addresses, which are the peer's. `Debug` does not show
/// the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AoKey {
    send_id: u8,
    receive_id: u8,
    algorithm: AoAlgorithm,
    secret: Arc<[u8]>,
}

impl AoKey {
    /// The longest secret the kernel takes.
    pub const MAX_LEN: usize = MAX_KEY;

    /// A key that signs with `send_id` what we send and verifies what comes with `receive_id`. The peer has the
    /// two the other way round.
    ///
    /// # Errors
    /// [`InvalidKey`] when the secret is empty or longer than [`AoKey::MAX_LEN`] octets.
    pub fn new(
        send_id: u8,
        receive_id: u8,
        algorithm: AoAlgorithm,
        secret: impl AsRef<[u8]>,
    ) -> Result<Self, InvalidKey> {
        Ok(Self { send_id, receive_id, algorithm, secret: checked(secret.as_ref())? })
    }

    /// KeyID of segments we send.
    pub const fn send_id(&self) -> u8 {
        self.send_id
    }

    /// KeyID of segments we receive.
    pub const fn receive_id(&self) -> u8 {
        self.receive_id
    }

    /// How segments are signed.
    pub const fn algorithm(&self) -> AoAlgorithm {
        self.algorithm
    }

    /// The octets of the secret, for the socket option.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Whether the two cannot be on one connection: an id is taken (RFC 5925 §3.1).
    const fn collides(&self, other: &Self) -> bool {
        self.send_id == other.send_id || self.receive_id == other.receive_id
    }
}

impl fmt::Debug for AoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AoKey")
            .field("send_id", &self.send_id)
            .field("receive_id", &self.receive_id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// How TCP-AO signs, both with 96 bits (RFC 5926 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AoAlgorithm {
    /// HMAC-SHA-1-96.
    HmacSha1,
    /// AES-128-CMAC-96.
    Aes128Cmac,
}

/// The TCP-AO keys of a peer: at least one, all ids different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AoKeys {
    preferred: AoKey,
    /// In the order of their send ids.
    others: Arc<[AoKey]>,
}

impl AoKeys {
    /// Keys of which `preferred` is the one connections start with and the peer is asked to use (RNextKeyID). The
    /// others are accepted and used as the peer asks for.
    ///
    /// To change a key without losing a segment: add the new one to both ends, then prefer it on both, then remove
    /// the old one from both.
    ///
    /// # Errors
    /// [`DuplicateKeyId`] when two keys have the same send id or the same receive id.
    pub fn new(preferred: AoKey, others: impl IntoIterator<Item = AoKey>) -> Result<Self, DuplicateKeyId> {
        let mut others: Vec<AoKey> = others.into_iter().collect();
        others.sort_by_key(AoKey::send_id);
        let mut seen = vec![&preferred];
        for key in &others {
            if let Some(rival) = seen.iter().find(|seen| seen.collides(key)) {
                let sends = rival.send_id == key.send_id;
                return Err(DuplicateKeyId { id: if sends { key.send_id } else { key.receive_id } });
            }
            seen.push(key);
        }
        Ok(Self { preferred, others: others.into() })
    }

    /// The key to begin with.
    pub const fn preferred(&self) -> &AoKey {
        &self.preferred
    }

    /// All keys, the preferred one first.
    pub fn iter(&self) -> impl Iterator<Item = &AoKey> {
        std::iter::once(&self.preferred).chain(self.others.iter())
    }

    /// Whether a connection can go over to `new`: no id means something else there.
    fn rolls_over(&self, new: &Self) -> bool {
        new.iter().all(|key| self.iter().all(|old| old == key || !old.collides(key)))
    }
}

/// A TCP key of impossible length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a TCP authentication key has 1 to 80 octets, not {len}")]
pub struct InvalidKey {
    /// Its length in octets.
    pub len: usize,
}

/// Two TCP-AO keys of a peer have an id in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two TCP-AO keys of a peer have the id {id} in the same direction")]
pub struct DuplicateKeyId {
    /// The id.
    pub id: u8,
}

/// A connection cannot be authenticated as configured; there is none then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// The kernel does not know TCP-AO.
    #[error("this kernel has no TCP-AO (Linux 6.7 or later, built with CONFIG_TCP_AO)")]
    AoUnsupported,
    /// Another peer or range of the same addresses wants another key, and a listener cannot tell them apart.
    #[error("another peer of the same addresses has another key")]
    Conflict,
    /// The connection is open, but segments are not signed as configured.
    #[error("the connection is not authenticated as configured")]
    NotAuthenticated,
    /// The kernel did not take a key.
    #[error("the kernel refused a key: {}", std::io::Error::from_raw_os_error(*errno))]
    Refused {
        /// What it said.
        errno: i32,
    },
}

fn checked(key: &[u8]) -> Result<Arc<[u8]>, InvalidKey> {
    let fits = !key.is_empty() && key.len() <= MAX_KEY;
    if fits { Ok(Arc::from(key)) } else { Err(InvalidKey { len: key.len() }) }
}

/// `TCP_MD5SIG_MAXKEYLEN` and `TCP_AO_MAXKEYLEN` of Linux.
const MAX_KEY: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_key(send_id: u8, receive_id: u8, secret: &str) -> AoKey {
        AoKey::new(send_id, receive_id, AoAlgorithm::HmacSha1, secret).unwrap()
    }

    fn mk_ao(preferred: AoKey, others: Vec<AoKey>) -> Authentication {
        Authentication::Ao(AoKeys::new(preferred, others).unwrap())
    }

    // req: T1, !T1, T2, !T2
    #[test]
    fn keys_have_1_to_80_octets() {
        for len in [0, 81] {
            assert_eq!(Md5Key::new(vec![b'k'; len]), Err(InvalidKey { len }));
            let key = AoKey::new(1, 1, AoAlgorithm::HmacSha1, vec![b'k'; len]);
            assert_eq!(key, Err(InvalidKey { len }));
        }
        for len in [1, 80] {
            assert_eq!(Md5Key::new(vec![b'k'; len]).unwrap().as_bytes().len(), len);
            let key = AoKey::new(1, 1, AoAlgorithm::Aes128Cmac, vec![b'k'; len]);
            assert_eq!(key.unwrap().secret().len(), len);
        }
    }

    // req: T1, T2
    #[test]
    fn secrets_are_not_shown() {
        let ao = mk_ao(mk_key(1, 2, "s3cret"), vec![mk_key(3, 4, "s3cret")]);
        let md5 = Authentication::Md5(Md5Key::new("s3cret").unwrap());
        for shown in [format!("{ao:?}"), format!("{md5:?}")] {
            assert!(!shown.contains("s3cret") && !shown.contains("115, 51"), "{shown}");
        }
    }

    // req: T2, !T2
    #[test]
    fn ids_are_unique_in_each_direction() {
        let error = |preferred, other| AoKeys::new(preferred, [other]).unwrap_err();
        assert_eq!(error(mk_key(1, 2, "a"), mk_key(1, 3, "b")), DuplicateKeyId { id: 1 });
        assert_eq!(error(mk_key(1, 2, "a"), mk_key(3, 2, "b")), DuplicateKeyId { id: 2 });
        // The two directions are independent of each other.
        let keys = AoKeys::new(mk_key(1, 2, "a"), [mk_key(2, 1, "b")]).unwrap();
        assert_eq!(keys.iter().map(AoKey::send_id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(keys.preferred().receive_id(), 2);
    }

    // req: T2, !T2
    #[test]
    fn keys_that_come_and_go_roll_over_but_no_id_changes_its_meaning() {
        let first = || mk_key(1, 1, "a");
        let second = || mk_key(2, 2, "b");
        let old = mk_ao(first(), vec![]);
        assert!(old.rolls_over(&mk_ao(first(), vec![second()])));
        assert!(mk_ao(first(), vec![second()]).rolls_over(&mk_ao(second(), vec![first()])));
        assert!(mk_ao(second(), vec![first()]).rolls_over(&mk_ao(second(), vec![])));
        assert!(old.rolls_over(&mk_ao(second(), vec![])));
        assert!(!old.rolls_over(&mk_ao(mk_key(1, 1, "other"), vec![])));
        assert!(!old.rolls_over(&mk_ao(second(), vec![mk_key(3, 1, "c")])));
        assert!(!old.rolls_over(&Authentication::None));
        assert!(!Authentication::None.rolls_over(&old));
        let md5 = |key: &str| Authentication::Md5(Md5Key::new(key).unwrap());
        assert!(md5("a").rolls_over(&md5("a")));
        assert!(!md5("a").rolls_over(&md5("b")) && !md5("a").rolls_over(&old));
    }
}
