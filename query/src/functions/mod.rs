//! The functions that a query may call: no files, no URLs, and no rows or lists out of nothing without a bound.

mod account;
mod bounded;
mod growth;
mod joined;
mod server;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::execution::{FunctionRegistry as _, SessionState};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

pub(crate) use account::Account;
pub(crate) use bounded::bounded;
pub(crate) use joined::{Joined, joined};

/// Table functions that make as many rows as they are told to, and read nothing.
pub(crate) const MAKING: [&str; 2] = ["generate_series", "range"];
/// Table functions that describe the dialect.
pub(crate) const DESCRIBING: [&str; 1] = ["pg_get_keywords"];

/// Functions of one value that give a list of any length, outside of the memory that is accounted for. PostgreSQL has
/// none of them; its own `generate_series` makes rows.
const UNBOUNDED: [&str; 4] = ["range", "generate_series", "array_repeat", "array_resize"];

/// Leaves only what may be called, and adds what clients of PostgreSQL do call.
pub(crate) fn restrict(state: &mut SessionState) -> Result<()> {
    let known: Vec<_> = state.table_functions().keys().cloned().collect();
    let stays = |name: &str| MAKING.contains(&name) || DESCRIBING.contains(&name);
    for name in known.iter().filter(|name| !stays(name)) {
        let _removed = state.deregister_udtf(name)?;
    }
    for name in UNBOUNDED {
        let _removed = state.deregister_udf(name)?;
    }
    server::add(state)
}

/// `session_user`, which is what `current_user` means too: who the token says.
pub(crate) fn session_user(name: &str) -> Arc<ScalarUDF> {
    let name = ScalarValue::from(name);
    let says = Arc::new(move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(name.clone())));
    Arc::new(create_udf("session_user", Vec::new(), DataType::Utf8, Volatility::Stable, says))
}
