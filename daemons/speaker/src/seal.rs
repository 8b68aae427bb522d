//! Sealing of what speakers tell each other: AES-256-GCM under keys that every run derives from the shared secret.
//!
//! A sealed datagram is its header with [`SEALED`] set in the first octet, then
//!
//! | octets | field |
//! |---|---|
//! | 4 | which secret the key was derived from |
//! | 4 | the newest secret that the sender has |
//! | 16 | salt of the sender's run |
//! | 8 | number of the datagram under this key, which is its nonce |
//! | n + 16 | body, encrypted, and tag |
//!
//! The key is HKDF-SHA256 of secret and salt, for the sender's name and epoch. Everything before the body and the
//! receiver's name are authenticated, too: what was meant for one receiver opens at no other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use metallb_core::keys::NodeName;
use metallb_core::membership::{DropReason, Epoch, KeyId, Rotation, wire::Header};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};

use crate::shared_secret::Secret;

/// How datagrams are protected.
pub(crate) enum Seal {
    /// Not at all: no secret was configured.
    Plain,
    /// With keys of a secret that all speakers of the cluster share.
    Sealed(Box<Sealed>),
}

/// Keys, and what was derived from them.
pub(crate) struct Sealed {
    this: NodeName,
    secrets: BTreeMap<KeyId, Secret>,
    rotation: Rotation,
    /// Keys of this run.
    sending: BTreeMap<KeyId, Sending>,
    /// Keys of other runs, the last few of each member.
    receiving: BTreeMap<NodeName, VecDeque<Receiving>>,
    random: SystemRandom,
}

/// A key of this run. Each datagram has a nonce of its own.
struct Sending {
    epoch: Epoch,
    salt: [u8; SALT_LEN],
    key: LessSafeKey,
    next: u64,
}

struct Receiving {
    id: KeyId,
    epoch: Epoch,
    salt: [u8; SALT_LEN],
    key: LessSafeKey,
}

/// The cryptographic library or the system's randomness refused something.
#[derive(Debug, thiserror::Error)]
#[error("the cryptographic library refused {0}")]
pub(crate) struct Refused(&'static str);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Sealed(_) => "Sealed",
        })
    }
}

impl Seal {
    /// The seal of the node `this`; without a secret, plain.
    ///
    /// # Errors
    /// When the library does not accept a derived key.
    pub(crate) fn new(this: NodeName, secret: Option<Secret>) -> Result<Self, Refused> {
        let Some(secret) = secret else { return Ok(Self::Plain) };
        let id = id_of(&secret)?;
        Ok(Self::Sealed(Box::new(Sealed {
            this,
            secrets: BTreeMap::from([(id, secret)]),
            rotation: Rotation::new(id),
            sending: BTreeMap::new(),
            receiving: BTreeMap::new(),
            random: SystemRandom::new(),
        })))
    }

    /// The secret is another one now.
    ///
    /// # Errors
    /// When the library does not accept a derived key; the one at hand stays.
    pub(crate) fn offer(&mut self, now: Instant, secret: Secret) -> Result<(), Refused> {
        let Self::Sealed(sealed) = self else { return Ok(()) };
        let id = id_of(&secret)?;
        sealed.secrets.insert(id, secret);
        sealed.rotation.offer(now, id);
        sealed.forget();
        Ok(())
    }

    /// Goes on with a change of the secret when it is time; whether another key is in use now.
    pub(crate) fn handle_time(&mut self, now: Instant, live: &BTreeSet<NodeName>) -> bool {
        let Self::Sealed(sealed) = self else { return false };
        let nobody = NodeName::new("");
        let before = sealed.rotation.for_member(&nobody);
        sealed.rotation.handle_time(now, &sealed.this, live);
        sealed.receiving.retain(|name, _| live.contains(name));
        sealed.forget();
        sealed.rotation.for_member(&nobody) != before
    }

    /// Seals a datagram in place for `receiver`.
    ///
    /// # Errors
    /// When the system has no randomness or the library refuses; nothing is sent then.
    pub(crate) fn seal(&mut self, receiver: &NodeName, datagram: &mut Vec<u8>) -> Result<(), Refused> {
        let Self::Sealed(sealed) = self else { return Ok(()) };
        sealed.seal(receiver, datagram)
    }

    /// Whether `datagram` is sealed where it should be; reads as its header from then on.
    ///
    /// # Errors
    /// [`DropReason::Unsealed`] if it is not, or should not be.
    pub(crate) fn unwrap(&self, datagram: &mut [u8]) -> Result<(), DropReason> {
        let Some(first) = datagram.first_mut() else { return Err(DropReason::Malformed) };
        let expected = if matches!(self, Self::Sealed(_)) { SEALED } else { 0 };
        if *first & SEALED != expected {
            return Err(DropReason::Unsealed);
        }
        *first &= !SEALED;
        Ok(())
    }

    /// The plain datagram of `sender`, whose header of `length` octets was read already.
    ///
    /// # Errors
    /// [`DropReason`] says why it cannot be opened.
    pub(crate) fn open<'a>(
        &mut self,
        sender: &NodeName,
        epoch: Epoch,
        length: usize,
        datagram: &'a mut [u8],
    ) -> Result<&'a [u8], DropReason> {
        let Self::Sealed(sealed) = self else { return Ok(datagram) };
        sealed.open(sender, epoch, length, datagram)
    }
}

impl Sealed {
    fn seal(&mut self, receiver: &NodeName, datagram: &mut Vec<u8>) -> Result<(), Refused> {
        let header = Header::parse(datagram).map_err(|_| Refused("a header"))?;
        let (epoch, length) = (header.0.epoch, header.1);
        let (id, newest) = (self.rotation.for_member(receiver), self.rotation.newest());
        let sending = self.sending(id, epoch)?;
        let number = sending.next;
        sending.next = number.saturating_add(1);
        let mut prefix = [0; PREFIX_LEN];
        put_prefix(&mut prefix, (id, newest), &sending.salt, number);
        let known = associated(datagram.get(..length).unwrap_or_default(), &prefix, receiver);
        let Some(body) = datagram.get_mut(length..) else { return Err(Refused("a header")) };
        let tag = sending
            .key
            .seal_in_place_separate_tag(nonce(number), Aad::from(known), body)
            .map_err(|_| Refused("the datagram"))?;
        datagram.extend_from_slice(tag.as_ref());
        datagram.splice(length..length, prefix);
        if let Some(first) = datagram.first_mut() {
            *first |= SEALED;
        }
        Ok(())
    }

    /// The key of this run; a new one, with a new salt, when there is none yet or it has sealed much.
    fn sending(&mut self, id: KeyId, epoch: Epoch) -> Result<&mut Sending, Refused> {
        let usable = |known: &Sending| known.epoch == epoch && known.next < REKEY_AFTER;
        if !self.sending.get(&id).is_some_and(usable) {
            let secret = self.secrets.get(&id).ok_or(Refused("a secret that has gone"))?;
            let mut salt = [0; SALT_LEN];
            self.random.fill(&mut salt).map_err(|_| Refused("randomness"))?;
            let key = derive(secret, &salt, &self.this, epoch)?;
            self.sending.insert(id, Sending { epoch, salt, key, next: 0 });
        }
        self.sending.get_mut(&id).ok_or(Refused("the key"))
    }

    fn open<'a>(
        &mut self,
        sender: &NodeName,
        epoch: Epoch,
        length: usize,
        datagram: &'a mut [u8],
    ) -> Result<&'a [u8], DropReason> {
        let (head, sealed) = datagram.split_at_mut_checked(length).ok_or(DropReason::Malformed)?;
        let (prefix, body) = sealed.split_first_chunk_mut::<PREFIX_LEN>().ok_or(DropReason::Malformed)?;
        let (body, tag) = body.split_last_chunk_mut::<TAG_LEN>().ok_or(DropReason::Malformed)?;
        let ((id, newest), salt, number) = prefix_of(prefix);
        if !self.rotation.opens(id) {
            return Err(DropReason::Key);
        }
        let derived = match self.received(sender, id, epoch, &salt) {
            Some(_) => None,
            None => Some(self.derived(sender, id, epoch, salt)?),
        };
        let key = derived.as_ref().or_else(|| self.received(sender, id, epoch, &salt));
        let known = associated(head, prefix, &self.this);
        key.ok_or(DropReason::Key)?
            .key
            .open_in_place_separate_tag(nonce(number), Aad::from(known), Tag::from(*tag), body, 0..)
            .map_err(|_| DropReason::Forged)?;
        let end = length + PREFIX_LEN + body.len();
        if let Some(derived) = derived {
            self.remember(sender, derived);
        }
        self.rotation.note_shown(sender, newest);
        // Header and body belong together.
        datagram.copy_within(..length, PREFIX_LEN);
        datagram.get(PREFIX_LEN..end).ok_or(DropReason::Malformed)
    }

    fn received(&self, sender: &NodeName, id: KeyId, epoch: Epoch, salt: &[u8]) -> Option<&Receiving> {
        let of_sender = self.receiving.get(sender)?;
        of_sender.iter().find(|known| known.id == id && known.epoch == epoch && known.salt == salt)
    }

    fn derived(
        &self,
        sender: &NodeName,
        id: KeyId,
        epoch: Epoch,
        salt: [u8; SALT_LEN],
    ) -> Result<Receiving, DropReason> {
        let secret = self.secrets.get(&id).ok_or(DropReason::Key)?;
        let key = derive(secret, &salt, sender, epoch).map_err(|_| DropReason::Key)?;
        Ok(Receiving { id, epoch, salt, key })
    }

    /// Only what has opened a datagram is remembered: nobody without the secret fills this.
    fn remember(&mut self, sender: &NodeName, derived: Receiving) {
        let of_sender = self.receiving.entry(sender.clone()).or_default();
        of_sender.push_front(derived);
        of_sender.truncate(RUNS_PER_MEMBER);
    }

    /// Drops secrets that are of no use any more, and what was derived from them.
    fn forget(&mut self) {
        let Self { rotation, secrets, sending, receiving, .. } = self;
        secrets.retain(|id, _| rotation.opens(*id));
        sending.retain(|id, _| rotation.opens(*id));
        for of_sender in receiving.values_mut() {
            of_sender.retain(|known| rotation.opens(known.id));
        }
    }
}

/// What recognises a secret without showing it.
fn id_of(secret: &Secret) -> Result<KeyId, Refused> {
    let mut id = [0; 4];
    let Prefix(prk) = Prefix::of(secret, ID_CONTEXT);
    prk.expand(&[ID_CONTEXT], Length(id.len()))
        .and_then(|octets| octets.fill(&mut id))
        .map_err(|_| Refused("the key"))?;
    Ok(KeyId(u32::from_be_bytes(id)))
}

fn derive(secret: &Secret, salt: &[u8], sender: &NodeName, epoch: Epoch) -> Result<LessSafeKey, Refused> {
    let Prefix(prk) = Prefix::of(secret, salt);
    let (started, counter) = (epoch.started().to_be_bytes(), epoch.counter().to_be_bytes());
    let info = [KEY_CONTEXT, &started, &counter, sender.as_str().as_bytes()];
    let key = prk.expand(&info, &AES_256_GCM).map_err(|_| Refused("the key"))?;
    Ok(LessSafeKey::new(UnboundKey::from(key)))
}

/// The first half of HKDF.
struct Prefix(Prk);

impl Prefix {
    fn of(secret: &Secret, salt: &[u8]) -> Self {
        Self(Salt::new(HKDF_SHA256, salt).extract(secret.octets()))
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    for (to, from) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
        *to = from;
    }
    Nonce::assume_unique_for_key(nonce)
}

fn associated(header: &[u8], prefix: &[u8; PREFIX_LEN], receiver: &NodeName) -> Vec<u8> {
    [header, prefix, receiver.as_str().as_bytes()].concat()
}

fn put_prefix(prefix: &mut [u8; PREFIX_LEN], ids: (KeyId, KeyId), salt: &[u8; SALT_LEN], number: u64) {
    let (KeyId(id), KeyId(newest)) = ids;
    let fields: [&[u8]; 4] = [&id.to_be_bytes(), &newest.to_be_bytes(), salt, &number.to_be_bytes()];
    for (to, from) in prefix.iter_mut().zip(fields.into_iter().flatten()) {
        *to = *from;
    }
}

fn prefix_of(prefix: &[u8; PREFIX_LEN]) -> ((KeyId, KeyId), [u8; SALT_LEN], u64) {
    let mut octets = prefix.iter().copied();
    let ids = (KeyId(u32::from_be_bytes(next(&mut octets))), KeyId(u32::from_be_bytes(next(&mut octets))));
    (ids, next(&mut octets), u64::from_be_bytes(next(&mut octets)))
}

fn next<const N: usize>(octets: &mut impl Iterator<Item = u8>) -> [u8; N] {
    std::array::from_fn(|_| octets.next().unwrap_or_default())
}

/// Separates these uses of the secret from any other.
const KEY_CONTEXT: &[u8] = b"metallb speaker membership, AES-256-GCM, version 2";
const ID_CONTEXT: &[u8] = b"metallb speaker membership, name of a secret, version 2";
/// Distinguishes a sealed datagram by its first octet.
const SEALED: u8 = 0x80;
const SALT_LEN: usize = 16;
const TAG_LEN: usize = 16;
const PREFIX_LEN: usize = 4 + 4 + SALT_LEN + 8;
/// How many runs of a member have their keys at hand.
const RUNS_PER_MEMBER: usize = 2;
/// Datagrams under one key.
const REKEY_AFTER: u64 = 1 << 32;

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
