//! Sockets that a service manager listens on for this process (`sd_listen_fds(3)`): whoever connects while the service is
//! started again waits, and is not refused.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use crate::exit::Failure;

/// What was handed over and not taken yet.
#[derive(Debug)]
pub struct Handed(Vec<(SocketAddr, TcpListener)>);

impl Handed {
    /// What this process was given. Once, and before it has a second thread: the environment that says so is changed, so that
    /// no process started by this one takes them for its own.
    pub fn to_this_process() -> Result<Self, Failure> {
        let mut given = ListenFd::from_env();
        (0..given.len())
            .map(|index| {
                let unusable = |why: &dyn std::fmt::Display| {
                    Failure::usage(format!(
                        "socket {index} of the service manager is of no use here: {why}; the unit is to have \
                         ListenStream= with an address and a port, and Accept=no"
                    ))
                };
                let listener = given.take_tcp_listener(index).map_err(|error| unusable(&error))?;
                let listener = listener.ok_or_else(|| unusable(&"it is there no more"))?;
                let address = listener.local_addr().map_err(|error| unusable(&error))?;
                match rustix::net::sockopt::socket_acceptconn(&listener) {
                    Ok(true) => Ok((address, listener)),
                    Ok(false) => Err(unusable(&"it does not listen")),
                    Err(error) => Err(unusable(&error)),
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Nothing.
    pub const fn nothing() -> Self {
        Self(Vec::new())
    }

    /// What listens at `address`.
    #[cfg(feature = "query")]
    pub fn at(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let place = self.0.iter().position(|(listens, _)| *listens == address)?;
        Some(self.0.swap_remove(place).1)
    }

    /// That all was taken: a socket that nobody serves would let clients wait for ever.
    pub fn are_all_taken(&self) -> Result<(), Failure> {
        let Some((address, _)) = self.0.first() else { return Ok(()) };
        Err(Failure::usage(format!(
            "the service manager listens on {address} for this process, which serves nothing there; it is for query.http and \
             query.pgwire: give the same address in the .socket unit and in the configuration"
        )))
    }
}
