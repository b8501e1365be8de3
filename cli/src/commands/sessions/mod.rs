//! `tallyport sessions list|show|kill|replay`.

mod replay;

use crate::access;
use crate::args::{Format, SessionsCommand};
use crate::exit::Failure;
use crate::output::print_line;

/// Lists, shows or replays.
pub async fn run(command: &SessionsCommand) -> Result<(), Failure> {
    match command {
        SessionsCommand::List { limit, answer } => {
            let sql = format!(
                "SELECT session_id, opened_at, state, actor, on_behalf_of, target, database, commands, refused, rows \
                 FROM sessions ORDER BY coalesce(opened_at, ended_at) DESC NULLS LAST LIMIT {limit}"
            );
            access::asker(answer).await?.sql(&sql).await?.print(answer.format())
        }
        SessionsCommand::Show { session, answer } => {
            let session = session_id(session)?;
            let asker = access::asker(answer).await?;
            let head = asker
                .sql(&format!("SELECT * FROM sessions WHERE session_id = '{session}'"))
                .await?;
            let Some(row) = head.rows.first() else { return Err(unknown(&session)) };
            let steps = asker
                .sql(&format!(
                    "SELECT session_seq AS seq, time, family, activity, outcome, statement, reason, rows, masked_columns, \
                            reviewer_name AS reviewer \
                     FROM (SELECT *, max(session_seq) OVER (ORDER BY time, session_seq NULLS LAST) AS place \
                           FROM events WHERE session_id = '{session}') \
                     ORDER BY coalesce(session_seq, place), session_seq IS NULL, time"
                ))
                .await?;
            if answer.format() == Format::Table {
                for column in &head.columns {
                    let text = head.text(row, &column.name);
                    if !text.is_empty() {
                        print_line(format_args!("{:>18}  {text}", column.name))?;
                    }
                }
                print_line("")?;
            }
            steps.print(answer.format())
        }
        SessionsCommand::Kill { session, order } => super::revoke::kill(*session, order).await,
        SessionsCommand::Replay { session, asciicast: true, answer, .. } => {
            replay::asciicast(&access::asker(answer).await?, &session_id(session)?).await
        }
        SessionsCommand::Replay { session, rows, answer, .. } => {
            let session = session_id(session)?;
            let limit = if *rows == 0 { usize::MAX } else { *rows };
            replay::run(&access::asker(answer).await?, &session, limit, answer.format()).await
        }
    }
}

/// A session's id as given, checked: it becomes part of a question.
fn session_id(text: &str) -> Result<String, Failure> {
    text.parse::<tallyport_schemas::SessionId>().map(|id| id.to_string()).map_err(Failure::usage)
}

fn unknown(session: &str) -> Failure {
    Failure::failed(format!("no session {session} is on record; see `tallyport sessions list`"))
}
