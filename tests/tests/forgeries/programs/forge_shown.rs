//! Bytes of a target as if they had been looked into.
use gateway_core::http::Shown;

fn forge(bytes: &'static [u8]) -> Shown {
    Shown { head: None, bytes: bytes.into() } //~ E0451: fields `head` and `bytes` of struct `Shown` are private
}

fn main() {
    let _unused = forge;
}
