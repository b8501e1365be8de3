//! The API of a Kubernetes cluster: what a request asks of which object, and what of an answer may be seen.
//!
//! * [`Path`]: which object a path names, read as the API server reads it, or not at all;
//! * [`Cluster`]: a configured cluster, as a [`crate::target::Protocol`];
//! * [`Streams`]: what goes to and fro once a program runs in a container (`v4.channel.k8s.io`, `v5.channel.k8s.io`).

mod accept;
mod cluster;
mod hides;
mod meant;
mod path;
mod status;
mod streams;
mod writes;

pub use cluster::{Cluster, ObjectHide, POD_PIN};
pub use path::{NotPath, Object, Path};
pub use status::exit_of;
pub use streams::{Channel, NotChannel, SUBPROTOCOLS, Streams};
