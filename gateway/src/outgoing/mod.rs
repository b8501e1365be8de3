//! What is behind the gateway and reached by HTTP: clients that go straight there and follow nobody elsewhere, and the credentials
//! that it is shown.

mod client;
mod echo;
mod secrets;
mod tokens;

pub(crate) use self::client::{FollowedClient, Made};
pub(crate) use self::echo::Echo;
pub(crate) use self::secrets::Secrets;
pub(crate) use self::tokens::{NoToken, Tokens};
