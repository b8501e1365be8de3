//! Programs that forge a `Durable`, and must not compile: see `tests/forgeries`.
//!
//! A package of its own: what it compiles is built apart from everything else, and needs no Kafka client.
