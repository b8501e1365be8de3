//! Connection ids that tell, to whoever has the key, which process gave them out; to anybody else they are random.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use quinn::crypto::HmacKey;
use quinn::{ConnectionId, ConnectionIdGenerator};
use rand::Rng as _;

use super::message::Named;

const NONCE_BYTES: usize = 8;
const TAG_BYTES: usize = 4;
/// The same for every process of a port: a short header does not tell the length.
pub(super) const ID_BYTES: usize = NONCE_BYTES + TAG_BYTES;
/// Of a mark's key.
pub(super) const KEY_BYTES: usize = 32;

/// The key behind the connection ids of one process. An id is random bytes and a tag over them: a mark in plain sight
/// would let an observer tie the ids of a connection together (RFC 9000 section 5.1).
#[derive(Clone)]
pub(super) struct Mark {
    /// As it is handed over.
    secret: [u8; KEY_BYTES],
    key: hmac::Key,
}

impl Mark {
    pub(super) fn new() -> Self {
        Self::from_secret(rand::rng().random())
    }

    pub(super) fn from_secret(secret: [u8; KEY_BYTES]) -> Self {
        Self { secret, key: hmac::Key::new(hmac::HMAC_SHA256, &secret) }
    }

    /// As it is handed over, with the name of its process.
    pub(super) fn named(&self, node: &str) -> Named {
        Named { node: node.to_owned(), mark: hex::encode(self.secret) }
    }

    /// Whether the id is one of this process's: certain if it is, wrong about another's once in 2^32.
    pub(super) fn is_on(&self, id: &[u8]) -> bool {
        id.split_at_checked(NONCE_BYTES)
            .is_some_and(|(nonce, tag)| tag.len() == TAG_BYTES && self.tag(nonce) == tag)
    }

    fn tag(&self, nonce: &[u8]) -> [u8; TAG_BYTES] {
        let whole = hmac::sign(&self.key, nonce);
        let mut tag = [0; TAG_BYTES];
        tag.iter_mut().zip(whole.as_ref()).for_each(|(to, from)| *to = *from);
        tag
    }

    fn id(&self, nonce: [u8; NONCE_BYTES]) -> [u8; ID_BYTES] {
        let mut id = [0; ID_BYTES];
        let bytes = nonce.into_iter().chain(self.tag(&nonce));
        id.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        id
    }
}

impl std::fmt::Debug for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mark(redacted)")
    }
}

/// Gives out ids with a mark.
#[derive(Clone, Debug)]
pub(super) struct MarkedIds(pub(super) Mark);

impl ConnectionIdGenerator for MarkedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.0.id(rand::rng().random()))
    }

    // `validate` takes any id, as it is: one of a process that was killed is to be answered with a reset, too.

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Keys of stateless resets: this process's own, and for the ids of others that have or had the port, theirs. So a client
/// of a process that was killed learns that at once.
pub(super) struct ResetKeys {
    pub(super) own: hmac::Key,
    pub(super) others: Vec<(Mark, hmac::Key)>,
}

impl ResetKeys {
    fn of(&self, id: &[u8]) -> &hmac::Key {
        let other = self.others.iter().find(|(mark, _)| mark.is_on(id));
        other.map_or(&self.own, |(_, key)| key)
    }
}

impl HmacKey for ResetKeys {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        HmacKey::sign(self.of(data), data, signature_out);
    }

    fn signature_len(&self) -> usize {
        HmacKey::signature_len(&self.own)
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), quinn::crypto::CryptoError> {
        HmacKey::verify(self.of(data), data, signature)
    }
}

/// The connection id that a packet is sent to (RFC 9000 section 17.2 and 17.3, RFC 8999).
pub(super) fn destination(packet: &[u8]) -> Option<&[u8]> {
    const LONG_HEADER: u8 = 0x80;
    const LENGTH_AT: usize = 5;
    let first = packet.first()?;
    if first & LONG_HEADER == 0 {
        return packet.get(1..)?.get(..ID_BYTES);
    }
    let length = usize::from(*packet.get(LENGTH_AT)?);
    packet.get(LENGTH_AT + 1..)?.get(..length)
}

/// The settings of an endpoint that gives out ids with this mark.
pub(super) fn endpoint_config(mark: &Mark, keys: ResetKeys) -> quinn::EndpointConfig {
    let ids = MarkedIds(mark.clone());
    let mut config = quinn::EndpointConfig::new(Arc::new(keys));
    config.cid_generator(move || Box::new(ids.clone()));
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_by_its_own_mark_and_no_other() {
        let (one, other) = (Mark::new(), Mark::new());
        for _ in 0..100 {
            let id = MarkedIds(one.clone()).generate_cid();
            assert!(one.is_on(&id) && !other.is_on(&id));
            assert!(Mark::from_secret(one.secret).is_on(&id));
        }
        for id in [&[][..], &[0; 8], &[0; 13], &[0; 20]] {
            assert!(!one.is_on(id), "no id of ours is that long: {id:?}");
        }
    }

    #[test]
    fn a_packet_tells_where_it_goes_whatever_its_header() {
        let id = [7; ID_BYTES];
        let short = [&[0x43][..], &id, &[1, 2, 3]].concat();
        assert_eq!(destination(&short), Some(&id[..]));
        let long = [&[0xc3, 0, 0, 0, 1, 12][..], &id, &[0]].concat();
        assert_eq!(destination(&long), Some(&id[..]));
        let first = [&[0xc3, 0, 0, 0, 1, 8][..], &[9; 8], &[0]].concat();
        assert_eq!(destination(&first), Some(&[9; 8][..]));
        for cut in [&[][..], &[0x43, 1], &[0xc3, 0, 0, 0, 1], &[0xc3, 0, 0, 0, 1, 12, 7]] {
            assert_eq!(destination(cut), None, "{cut:?}");
        }
    }

    #[test]
    fn ids_of_an_earlier_process_are_reset_with_its_key() {
        let key = |name: &str| hmac::Key::new(hmac::HMAC_SHA256, name.as_bytes());
        let (own, earlier) = (Mark::new(), Mark::new());
        let keys = ResetKeys { own: key("own"), others: vec![(earlier.clone(), key("earlier"))] };
        for (mark, expected) in [(own, key("own")), (earlier, key("earlier"))] {
            let id = mark.id([5; NONCE_BYTES]);
            let mut signed = [0; 32];
            keys.sign(&id, &mut signed);
            assert_eq!(signed, hmac::sign(&expected, &id).as_ref());
        }
    }
}
