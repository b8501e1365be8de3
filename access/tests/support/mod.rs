//! What the tests of this crate share.
#![allow(dead_code, reason = "every test binary uses its own part")]

pub mod issuer;
pub mod jwt;
pub mod policy;
pub mod profiles;
pub mod svid;
