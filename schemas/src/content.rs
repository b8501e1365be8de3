//! Recorded bytes: what passed, as it passed, compressed and with its digest.

use std::cell::RefCell;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

use crate::words::words;

/// How recorded bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContentEncoding {
    /// The bytes themselves.
    Identity,
    /// One zstd frame (RFC 8878).
    Zstd,
}

words!(ContentEncoding { Identity => "identity", Zstd => "zstd" });

/// A piece of what passed: at most 256 KiB before compression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// How `data` is stored.
    pub encoding: ContentEncoding,
    /// Length before compression, in bytes.
    pub bytes: u64,
    /// SHA-256 over the bytes before compression, lower-case hexadecimal.
    pub sha256: String,
    /// The stored bytes, base64 (RFC 4648 section 4) in JSON.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    #[schemars(with = "String")]
    pub data: Vec<u8>,
}

/// Stored bytes do not give back what was recorded.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The piece is larger than one event may carry.
    #[error("a piece of {bytes} bytes is over the limit of {max} bytes; cut it into chunks", max = Content::MAX_BYTES)]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Compression or decompression failed.
    #[error("zstd failed: {0}")]
    Zstd(#[from] std::io::Error),
    /// Length or digest differ: the stored bytes were altered.
    #[error(
        "the stored bytes do not match their recorded length and SHA-256: the event was altered"
    )]
    Mismatch,
}

impl Content {
    /// The most one event carries, before compression.
    pub const MAX_BYTES: usize = 256 * 1024;
    /// Below this zstd costs more than it saves.
    const COMPRESS_FROM_BYTES: usize = 512;
    const ZSTD_LEVEL: i32 = 1;

    /// Records `raw`, compressed where that makes it smaller.
    ///
    /// # Errors
    /// When `raw` is longer than [`Self::MAX_BYTES`], or zstd fails.
    pub fn record(raw: &[u8]) -> Result<Self, ContentError> {
        if raw.len() > Self::MAX_BYTES {
            return Err(ContentError::TooLarge { bytes: raw.len() });
        }
        let sha256 = hex::encode(Sha256::digest(raw));
        let bytes = raw.len() as u64;
        if raw.len() >= Self::COMPRESS_FROM_BYTES {
            let data = compressed(raw)?;
            if data.len() < raw.len() {
                return Ok(Self { encoding: ContentEncoding::Zstd, bytes, sha256, data });
            }
        }
        Ok(Self { encoding: ContentEncoding::Identity, bytes, sha256, data: raw.to_vec() })
    }

    /// The bytes as they passed.
    ///
    /// # Errors
    /// When the stored bytes do not decompress to the recorded length and digest.
    pub fn replay(&self) -> Result<Vec<u8>, ContentError> {
        let raw = match self.encoding {
            ContentEncoding::Identity => self.data.clone(),
            ContentEncoding::Zstd => zstd::bulk::decompress(&self.data, Self::MAX_BYTES)?,
        };
        let intact =
            raw.len() as u64 == self.bytes && hex::encode(Sha256::digest(&raw)) == self.sha256;
        if intact { Ok(raw) } else { Err(ContentError::Mismatch) }
    }
}

thread_local! {
    /// Making one takes longer than it takes to compress what a call says.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

fn compressed(raw: &[u8]) -> std::io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::new(Content::ZSTD_LEVEL)?),
        };
        compressor.compress(raw)
    })
}

fn to_base64<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(data))
}

/// Decodes from the text where it lies: a chunk's is some hundred KiB.
fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    struct Base64;

    impl Visitor<'_> for Base64 {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a base64 text")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
            STANDARD.decode(text).map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Base64)
}
