//! How large a question becomes before it runs. A text of a few kilobytes may stand for a plan of billions of parts: names
//! that are given to a question within it (`WITH`) are written once and planned wherever they stand, and conditions on a
//! computed column are asked of what it is computed of. So both are counted before anything is built of them.

mod names;
mod parts;
mod reading;

pub(crate) use names::must_name_few;
pub(crate) use parts::{must_be_small, rows_at_once};
pub(crate) use reading::must_be_readable;

use crate::error::QueryError;

fn too_large(what: &str, max: u64, instead: &str) -> QueryError {
    let message =
        format!("the query {what}, over the limit of {max} once its names are put in; {instead}");
    QueryError::Invalid { message, sqlstate: "54001" }
}
