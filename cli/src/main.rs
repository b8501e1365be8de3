//! The `tallyport` binary.
fn main() {}
