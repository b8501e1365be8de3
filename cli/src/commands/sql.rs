//! `tallyport sql`: ask the audit in SQL.

use std::io::Read as _;

use crate::access;
use crate::args::SqlArgs;
use crate::exit::Failure;

/// The longest question read from standard input.
const MAX_SQL_BYTES: u64 = 1024 * 1024;

/// Asks and prints.
pub async fn run(args: &SqlArgs) -> Result<(), Failure> {
    let sql = if args.sql == "-" {
        let mut text = String::new();
        std::io::stdin().take(MAX_SQL_BYTES).read_to_string(&mut text).map_err(Failure::usage)?;
        text
    } else {
        args.sql.clone()
    };
    let asker = access::asker(&args.answer).await?;
    asker.sql(&sql).await?.print(args.answer.format())
}
