//! Whatever event there is, the log gives it back and the lake takes it. Proptest prints the bytes that replay a failure.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod arbitrary;

use proptest::prelude::*;
use tallyport_schemas::arrow::{EventBatchBuilder, schema};
use tallyport_schemas::ocsf;

/// Without a file of failures beside the tests: a failure prints what replays it.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn what_was_encoded_is_decoded(event in arbitrary::event()) {
        let value = ocsf::encode(&event);
        prop_assert_eq!(&ocsf::decode(&value).unwrap(), &event);
        prop_assert_eq!(ocsf::encode(&event), value);
    }

    #[test]
    fn noise_is_an_error_and_never_a_panic(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(ocsf::decode(&noise).is_err());
    }

    /// One byte changed: an error, or another event, or the view alone was touched.
    #[test]
    fn damage_never_panics(event in arbitrary::event(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut value = ocsf::encode(&event);
        let at = at.index(value.len());
        value[at] = byte;
        let _either = ocsf::decode(&value);
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn every_event_is_a_row(events in proptest::collection::vec(arbitrary::event(), 0..8), at in any::<i64>()) {
        let mut batch = EventBatchBuilder::new();
        for (offset, event) in events.iter().enumerate() {
            batch.push(event, &ocsf::encode(event), u32::MAX, offset as u64, at);
        }
        prop_assert_eq!(batch.len(), events.len());
        let batch = batch.finish().unwrap();
        prop_assert_eq!(batch.num_rows(), events.len());
        prop_assert_eq!(batch.schema(), schema());
    }
}
