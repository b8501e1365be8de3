//! HTTP/3 over quinn: one connection, one request, one tunnel.

mod api;
mod connection;
pub(super) mod frames;
mod halves;
mod request;
pub(crate) mod transport;
pub(crate) mod tunnel;

pub(super) use connection::serve;
