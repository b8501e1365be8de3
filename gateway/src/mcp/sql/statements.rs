//! `query`, `execute` and `explain`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::arguments::{BadArguments, Execute, Explain, Query, read, target, text, values};
use super::{Answer, Call, told};
use crate::inside::{Came, Cursor, Page, Ran, Statement, who};

/// Rows of a page: by default, and at most.
const ROWS: u32 = 100;
const MAX_ROWS: u32 = 1_000;

pub(super) async fn query(
    call: Call<'_>,
    arguments: Map<String, Value>,
) -> Result<Answer, BadArguments> {
    let asked: Query = read(arguments)?;
    let max_rows = asked.max_rows.unwrap_or(ROWS);
    if !(1..=MAX_ROWS).contains(&max_rows) {
        return Err(BadArguments(format!("`max_rows` is from 1 to {MAX_ROWS}")));
    }
    let target = target(&call, asked.target)?;
    let of = format!("query {target}");
    if let Some(cursor) = asked.cursor {
        if asked.sql.is_some() || !asked.params.is_empty() {
            let wrong = "give `cursor` to go on, or `sql` to begin; not both";
            return Err(BadArguments(wrong.to_owned()));
        }
        return Ok(next_page(&call, (&cursor, &of), max_rows, &target).await);
    }
    let sql = asked.sql.ok_or_else(|| BadArguments("`sql` is missing".to_owned()))?;
    let statement = Statement {
        application: "tallyport-mcp/query",
        target,
        database: asked.database,
        text: text(&sql)?,
        values: values(asked.params)?,
        page_rows: Some(max_rows),
        reads_only: true,
    };
    Ok(first_page(&call, statement, &of).await)
}

/// Runs a statement to its first page; gives that, and the cursor for the next one.
pub(super) async fn first_page(call: &Call<'_>, statement: Statement, of: &str) -> Answer {
    let target = statement.target.clone();
    let Ran { page, session } = match run(call, statement).await {
        Ok(ran) => ran,
        Err(answer) => return answer,
    };
    let mut told = page_json(&page, &target);
    if let Some(session) = session {
        keep(call, (new_id(), Cursor::new(who(call.caller), of.to_owned(), session)), &mut told);
    }
    Answer::good(Value::Object(told))
}

pub(super) async fn next_page(
    call: &Call<'_>,
    (id, of): (&str, &str),
    max_rows: u32,
    target: &str,
) -> Answer {
    let Some(mut cursor) = call.inner.cursors.take(id, &who(call.caller), of) else {
        return told::error_of(json!({
            "code": "cursor_lapsed",
            "message": "there is no such cursor of yours here: it lapsed (60 seconds unused, 5 minutes in all), was read to its end, or is another gateway's",
            "hint": "Run the query again, with ORDER BY and WHERE to go on from the last row that you have.",
        }));
    };
    match cursor.session.more(max_rows).await {
        Err(why) => told::not_run(why),
        Ok(page) => {
            let mut told = page_json(&page, target);
            if page.has_more {
                keep(call, (id.to_owned(), cursor), &mut told);
            } else {
                call.inner.spawn(cursor.session.close());
            }
            Answer::good(Value::Object(told))
        }
    }
}

fn keep(call: &Call<'_>, (id, cursor): (String, Cursor), told: &mut Map<String, Value>) {
    match call.inner.cursors.keep(&id, cursor) {
        Ok((left, lapse)) => {
            let inner = Arc::clone(call.inner);
            call.inner.spawn(async move { inner.until_it_stops(lapse).await });
            told.insert("cursor".to_owned(), json!(id));
            told.insert("cursor_expires_in_seconds".to_owned(), json!(left.as_secs()));
        }
        Err(cursor) => {
            let why = "more rows are left, but too many of your cursors are open: run the query again, with ORDER BY and WHERE to \
                       go on from the last row";
            told.insert("cursor_refused".to_owned(), json!(why));
            call.inner.spawn(cursor.session.close());
        }
    }
}

pub(super) async fn execute(
    call: Call<'_>,
    arguments: Map<String, Value>,
) -> Result<Answer, BadArguments> {
    let asked: Execute = read(arguments)?;
    let target = target(&call, asked.target)?;
    let statement = Statement {
        application: "tallyport-mcp/execute",
        target: target.clone(),
        database: asked.database,
        text: text(&asked.sql)?,
        values: values(asked.params)?,
        page_rows: None,
        reads_only: false,
    };
    Ok(match run(&call, statement).await {
        Ok(Ran { page, .. }) => {
            let mut told = page_json(&page, &target);
            if page.is_cut {
                told.insert(
                    "rows_cut".to_owned(),
                    json!("it ran whole; of what it returned only this fits"),
                );
            }
            if page.columns.is_empty() {
                told.retain(|field, _| !matches!(field.as_str(), "columns" | "rows" | "has_more"));
            }
            Answer::good(Value::Object(told))
        }
        Err(answer) => answer,
    })
}

pub(super) async fn explain(
    call: Call<'_>,
    arguments: Map<String, Value>,
) -> Result<Answer, BadArguments> {
    let asked: Explain = read(arguments)?;
    let target = target(&call, asked.target)?;
    let how = if asked.analyze { "FORMAT JSON, ANALYZE" } else { "FORMAT JSON" };
    let statement = Statement {
        application: "tallyport-mcp/explain",
        target: target.clone(),
        database: asked.database,
        text: format!("EXPLAIN ({how}) {}", text(&asked.sql)?),
        values: values(asked.params)?,
        page_rows: None,
        reads_only: true,
    };
    Ok(match run(&call, statement).await {
        Ok(Ran { page, .. }) => {
            let plan = page.rows_json().into_iter().next().and_then(|row| row.get(0).cloned());
            Answer::good(json!({ "target": target, "plan": plan, "command_id": command(&page) }))
        }
        Err(answer) => answer,
    })
}

/// Runs it to its end, or says why not.
async fn run(call: &Call<'_>, statement: Statement) -> Result<Ran, Answer> {
    let token = call.token.clone();
    match statement.call(call.inner, call.caller, token, call.patience).await {
        Came::Result(result) => result.map_err(told::not_run),
        Came::Waits(waiting) => Err(told::waits(&waiting, true)),
        Came::NotKept(waiting) => Err(told::waits(&waiting, false)),
        Came::Taken => Err(told::taken()),
    }
}

fn page_json(page: &Page, target: &str) -> Map<String, Value> {
    let mut told = Map::new();
    for (field, value) in [
        ("target", json!(target)),
        ("columns", json!(page.columns_json())),
        ("rows", json!(page.rows_json())),
        ("row_count", json!(page.rows.len())),
        ("has_more", json!(page.has_more)),
        ("command_id", command(page)),
    ] {
        told.insert(field.to_owned(), value);
    }
    let masked = page.outcome.as_ref().map_or(0, |outcome| outcome.masked_values);
    if masked > 0 {
        told.insert("masked_values".to_owned(), json!(masked));
    }
    told.extend(page.tag.as_ref().map(|tag| ("tag".to_owned(), json!(tag))));
    told.extend(page.masking_told().map(|masking| ("masking".to_owned(), json!(masking))));
    told
}

fn command(page: &Page) -> Value {
    json!(page.outcome.as_ref().map(|outcome| outcome.command_id))
}

fn new_id() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}
