//! `/console/sessions/{id}/replay`: a session as it passed, out of the audit, in its reader's name.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_core::replay::{Step, steps};
use serde::Deserialize;
use serde_json::{Value, json};
use tallyport_schemas::{Event, SessionId, ocsf};

use crate::error::PageError;
use crate::state::Console;

/// Events of one session that are looked at: beyond that, `tallyport sessions replay` shows them.
const MAX_EVENTS: usize = 5_000;
/// What the query service's answer may have, in bytes: recorded answers are in it.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Steps of one answer.
const STEPS: usize = 200;
/// Rows of each answer of a target that are shown.
const ROWS: usize = 200;
/// Bytes of lines of one answer; the step that passes it is the last.
const PAGE_BYTES: usize = 4 << 20;
/// Lines of a step that are shown, and how long each.
const LINES: usize = 400;
const LINE_CHARACTERS: usize = 4_000;

#[derive(Deserialize)]
pub(crate) struct From {
    after: Option<u64>,
}

#[derive(Deserialize)]
struct Raw {
    rows: Vec<(String,)>,
    /// Absent where the answer broke off.
    row_count: u64,
}

/// `GET /console/sessions/{id}/replay?after=SEQ`: the steps after that one, and where to go on from.
pub(crate) async fn replay(
    State(console): State<Arc<Console>>,
    Path(id): Path<String>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let who = console.signed_in(&headers).ok_or_else(PageError::signed_out)?;
    let audit = console.audit.as_ref().ok_or_else(PageError::no_audit)?;
    // A few at a time are as much as a gateway has to spare for looking back.
    let Ok(_turn) = console.replaying.try_acquire() else {
        return Err(PageError::unavailable("others replay sessions now; try again in a moment"));
    };
    // Checked: it becomes part of a question.
    let id: SessionId =
        id.parse().map_err(|_| PageError::bad_request("write the session's whole id"))?;
    let sql = format!(
        "SELECT raw FROM events WHERE session_id = '{id}' ORDER BY session_seq LIMIT {MAX_EVENTS}"
    );
    let question = json!({ "sql": sql }).to_string().into_bytes();
    let mut answer = audit.ask(Method::POST, "sql", &who, question).await?;
    let status = answer.status();
    let mut body = Vec::new();
    let broken = || PageError::unavailable("the query service's answer broke off; try again");
    while let Some(piece) = answer.chunk().await.map_err(|_| broken())? {
        if body.len() + piece.len() > MAX_ANSWER_BYTES {
            let message = "the session is too large for this page; use `tallyport sessions replay`";
            return Err(PageError::bad_request(message));
        }
        body.extend_from_slice(&piece);
    }
    if status != StatusCode::OK {
        // In the service's own words.
        let words: Value = serde_json::from_slice(&body).map_err(|_| broken())?;
        return Ok((status, Json(words)).into_response());
    }
    let raw: Raw = serde_json::from_slice(&body).map_err(|_| broken())?;
    if raw.row_count == 0 {
        return Err(PageError::bad_request(
            "no such session is on record, or you may not know of it",
        ));
    }
    let after = from.after;
    // It is work for the processor alone, and as long as the session is.
    let shown = tokio::task::spawn_blocking(move || page(&raw, after)).await;
    let shown = shown.map_err(|_| PageError::internal("the session cannot be shown"))?;
    Ok(Json(shown?).into_response())
}

fn page(raw: &Raw, after: Option<u64>) -> Result<Value, PageError> {
    let unreadable = || {
        PageError::internal(
            "a recorded event cannot be read: it was changed, or is of a later version",
        )
    };
    let events: Vec<Event> = raw
        .rows
        .iter()
        .map(|(row,)| ocsf::decode(&STANDARD.decode(row).ok()?).ok())
        .collect::<Option<_>>()
        .ok_or_else(unreadable)?;
    let all = steps(&events, ROWS).map_err(|_| unreadable())?;
    let later = all.iter().filter(|step| after.is_none_or(|after| step.seq > Some(after)));
    let mut later = later.peekable();
    let mut bytes = 0;
    let mut page: Vec<&Step> = Vec::new();
    // What has the number of the step before it comes with it: the next page begins behind that number.
    let goes_on =
        |page: &[&Step], step: &Step| page.last().is_some_and(|last| last.seq == step.seq);
    while let Some(step) =
        later.next_if(|step| (page.len() < STEPS && bytes < PAGE_BYTES) || goes_on(&page, step))
    {
        bytes += step.text.len() + step.lines.iter().take(LINES).map(String::len).sum::<usize>();
        page.push(step);
    }
    let next = later.next().and(page.last()).and_then(|step| step.seq);
    let shown: Vec<Value> = page.iter().map(|step| shown(step)).collect();
    let whole = raw.rows.len() < MAX_EVENTS;
    Ok(json!({ "steps": shown, "next": next, "whole": whole }))
}

fn shown(step: &Step) -> Value {
    let cut = |line: &String| line.chars().take(LINE_CHARACTERS).collect::<String>();
    let lines: Vec<String> = step.lines.iter().take(LINES).map(cut).collect();
    let more = step.lines.len() > LINES
        || step.lines.iter().take(LINES).any(|line| line.chars().nth(LINE_CHARACTERS).is_some());
    json!({
        "seq": step.seq, "at": step.at, "kind": step.kind, "text": step.text, "lines": lines, "more": more,
    })
}
