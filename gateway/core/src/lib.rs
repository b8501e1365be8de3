//! The gateway's core, sans-IO: bytes, time and randomness are arguments; sockets live in `tallyport-gateway`.
//!
//! * [`pg`]: PostgreSQL protocol 3 as frames and as a session state machine.
//! * [`sql`]: what a statement means: kinds, relations, columns, functions, over a snapshot of the target's catalog.
//! * [`masking`]: labels, masks, and how they apply to text and binary values.
//! * [`verdict`]: what policy says of a statement, with its obligations.
//! * [`approval`]: what waits for a human, and what the control log makes of it.
//! * [`revocation`]: whose access is ended, likewise.
//! * [`assertions`]: which SAML assertions were exchanged, likewise.
//! * [`target`]: what all kinds of targets have in common.
//! * [`http`]: requests and answers of HTTP, and services by their routes.
//! * [`json`]: documents with what must not be seen hidden, byte for byte.
//! * [`kubernetes`]: what is asked of a cluster, and the streams of its containers.
//! * [`mcp`]: the Model Context Protocol as messages.
//! * [`replay`]: a recorded session as people read it.
//! * [`passage`]: the types that carry I1 and I2: `Authorized<Command>`, `Masked<Response>`.
//!
//! Nothing here opens a socket, reads a clock or writes an event; what passes is decided by types minted here.

pub mod approval;
pub mod assertions;
pub mod http;
pub mod json;
pub mod kubernetes;
pub mod masking;
pub mod mcp;
pub mod passage;
pub mod pg;
pub mod replay;
pub mod revocation;
pub mod sql;
pub mod target;
pub mod verdict;

mod kept;
