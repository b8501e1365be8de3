//! Benches and side-by-side load drivers.
