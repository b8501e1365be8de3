//! What of an answer is hidden: rules for one object, at every place where an answer may have one.

use std::sync::Arc;

use super::cluster::ObjectHide;
use super::path::Object;
use crate::json::{Hide, Shade};
use crate::masking::Mask;

/// Where an object stands in an answer: alone, in a list, in a table, in an event of a watch, in a table of one.
const AROUND: [&str; 5] = ["", "/items/*", "/rows/*/object", "/object", "/object/rows/*/object"];
/// Where clients keep what they applied last: all of it once more.
const LAST_APPLIED: &str =
    "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

/// What a table shows of an object, however its columns are made.
const CELLS: [&str; 2] = ["/rows/*/cells/*", "/object/rows/*/cells/*"];

/// Where the refusal of a write quotes the object, with what the writer may not see of it: alone, and in an event of a watch.
/// Reason, code and field stay.
const QUOTES: [&str; 4] = [
    "/message",
    "/details/causes/*/message",
    "/object/message",
    "/object/details/causes/*/message",
];

/// Nothing of it is seen.
const REDACT: Shade = Shade::Mask(Mask::Redact);

/// The rules for an answer about such an object, to a request that only reads or to one that writes.
pub(super) fn hides(
    object: &Object,
    read_only: bool,
    configured: &[ObjectHide],
    clear_secrets: bool,
) -> Arc<[Hide]> {
    let mut all = Vec::new();
    if object.is_core("secrets", "") && !clear_secrets {
        // Clients decode what stands there.
        around("/data/*", Shade::Base64, &mut all);
        for place in ["/stringData/*", LAST_APPLIED] {
            around(place, REDACT, &mut all);
        }
    }
    // Whoever has such a token is the service account.
    if object.is_core("serviceaccounts", "token") {
        around("/status/token", REDACT, &mut all);
    }
    for rule in configured.iter().filter(|rule| rule.is_of(object)) {
        for place in &rule.at {
            around(place, rule.mask.into(), &mut all);
        }
        around(LAST_APPLIED, REDACT, &mut all);
        // Elements of sets, and keys of lists, stand there as names.
        around("/metadata/managedFields", REDACT, &mut all);
        // No table is asked for; of one that comes all the same it is not known which column shows what.
        CELLS.iter().for_each(|cells| at(cells, REDACT, &mut all));
    }
    if !read_only && !all.is_empty() {
        QUOTES.iter().for_each(|place| at(place, REDACT, &mut all));
    }
    all.into()
}

fn around(place: &str, shade: Shade, into: &mut Vec<Hide>) {
    AROUND.iter().for_each(|prefix| at(&format!("{prefix}{place}"), shade, into));
}

fn at(place: &str, shade: Shade, into: &mut Vec<Hide>) {
    // It was checked when it was configured.
    if let Ok(place) = place.parse() {
        into.push(Hide { place, shade });
    }
}
