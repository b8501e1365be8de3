//! Nobody but the session machine makes a Masked.
use gateway_core::passage::{Masked, Response};

fn forge(response: Response) -> Masked<Response> {
    Masked { value: response, drafts: Vec::new() } //~ E0451: fields `value` and `drafts` of struct
}

fn main() {}
