//! One batch passes once.
use gateway_core::passage::{Masked, Response};

fn twice(masked: Masked<Response>) -> (Masked<Response>, Masked<Response>) {
    (masked.clone(), masked) //~ E0599: no method named `clone` found for struct
}

fn main() {}
