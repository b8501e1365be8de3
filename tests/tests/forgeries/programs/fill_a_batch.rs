//! Batches are filled by the session machine only.
use gateway_core::passage::batch::Batch; //~ E0603: module `batch` is private

fn main() {
    let _batch = Batch::default();
}
