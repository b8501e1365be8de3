//! Batches are filled by the session machine only.
use gateway_core::passage::batch::Batch;

fn main() {
    let _batch = Batch::default();
}
