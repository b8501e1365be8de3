//! HTTP/3 over quinn: one connection, one request, one tunnel.

mod api;
mod connection;
mod frames;
mod halves;
mod request;
pub(crate) mod transport;
pub(crate) mod tunnel;

pub(super) use connection::serve;
