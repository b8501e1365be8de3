//! The fronts and the connector against an echo service: one binary, so that the gateway is linked once.

mod aioquic;
mod connect;
mod curl;
mod deadlines;
mod hardening;
mod hardening_tcp;
mod load;
mod raw;
mod routes;
mod shutdown;
mod support;
