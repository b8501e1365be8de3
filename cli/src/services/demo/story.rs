//! What the demo tells: each step as the agent saw it, beside what is on record.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use super::agent::{Agent, Seen};
use crate::answer::Asker;
use crate::args::Format;
use crate::commands::connect::Forwarding;
use crate::exit::Failure;
use crate::output::{print_line, program};
use crate::services::dev::Running;

const WIDTH: u16 = 118;
const MAX_ROWS: usize = 4;

/// A statement of the scripted agent and why it is shown.
struct Step {
    title: &'static str,
    sql: &'static str,
}

const STEPS: [Step; 4] = [
    Step {
        title: "an allowed query; sensitive columns come masked",
        sql: "SELECT id, name, email, ssn FROM app.customers ORDER BY id LIMIT 3",
    },
    Step {
        title: "a masked column used as a filter",
        sql: "SELECT name FROM app.customers WHERE ssn LIKE '900-11%'",
    },
    Step { title: "a write", sql: "UPDATE app.orders SET status = 'paid' WHERE id = 1" },
    Step { title: "a table it has no business with", sql: "SELECT name, salary FROM hr.staff" },
];

/// Runs the agent and prints its story and the audit's.
pub async fn tell(running: &Running) -> Result<(), Failure> {
    print_line(
        "\nThe agent `support-agent` connects with a short-lived token; the database's password it never has.\n",
    )?;
    let forwarding = Forwarding::start(running.ready(), "support-agent", None).await?;
    let agent = Agent::connect(forwarding.port()).await.map_err(Failure::failed)?;
    let mut seen = Vec::new();
    for step in &STEPS {
        seen.push(agent.run(step.sql).await?);
    }
    drop(agent);
    forwarding.stop().await;
    let expired = expired_token(running).await?;

    running.recorded().await?;
    let auditor = running.asker("auditor").await?;
    for (number, (step, seen)) in STEPS.iter().zip(&seen).enumerate() {
        beside(number + 1, step, seen, &on_record(&auditor, step.sql).await?)?;
    }
    beside(
        STEPS.len() + 1,
        &Step { title: "the same agent with a token that has expired", sql: "(connect)" },
        &Seen::Error(expired),
        &failed_authentication(&auditor).await?,
    )?;
    questions(&auditor).await
}

/// What to try next, with this program as it was called: it need not be on the PATH.
pub fn epilogue() -> Result<(), Failure> {
    let program = program();
    print_line(format_args!(
        "\nTry next:\n\
         \x20 {program} dev --ready-file ready.json     # the same, staying up\n\
         \n\
         in a second terminal, in the same directory:\n\
         \x20 export TALLYPORT_READY_FILE=ready.json\n\
         \x20 {program} ask                             # all named questions\n\
         \x20 {program} ask denied --as auditor\n\
         \x20 {program} sql \"SELECT * FROM sessions\" --as auditor\n\
         \x20 {program} sessions list --as auditor      # then: sessions replay ID --as auditor\n\
         \x20 {program} connect sample --as support-agent --listen 127.0.0.1:6432\n\
         \n\
         and, while that runs, in a third one, any client:\n\
         \x20 psql -h 127.0.0.1 -p 6432 -d sample"
    ))
}

/// Connects with a token that has run out and returns what the agent is told.
async fn expired_token(running: &Running) -> Result<String, Failure> {
    let token = running.expired_token("support-agent").await?;
    let forwarding = Forwarding::start(running.ready(), "support-agent", Some(token)).await?;
    let told = match Agent::connect(forwarding.port()).await {
        Err(message) => message,
        Ok(_) => {
            return Err(Failure::failed("an expired token opened a session: this must not happen"));
        }
    };
    forwarding.stop().await;
    Ok(told)
}

/// What the audit says of a statement.
async fn on_record(auditor: &Asker, sql: &str) -> Result<Vec<String>, Failure> {
    let quoted = sql.replace('\'', "''");
    let answer = auditor
        .sql(&format!(
            "SELECT d.actor, d.on_behalf_of, d.effect, d.policy_ids, d.reason, c.tables, r.rows, r.masked_columns \
             FROM commands c JOIN decisions d ON d.command_id = c.command_id \
             LEFT JOIN responses r ON r.command_id = c.command_id AND r.activity = 'completed' \
             WHERE c.statement = '{quoted}' LIMIT 1"
        ))
        .await?;
    let Some(row) = answer.rows.first() else {
        return Err(Failure::integrity(format!(
            "the audit has nothing of `{sql}`: this must not happen"
        )));
    };
    let mut lines =
        vec![format!("{} for {}", answer.text(row, "actor"), answer.text(row, "on_behalf_of"))];
    let effect = answer.text(row, "effect");
    let allowed = effect == "allow";
    let policies = answer.text(row, "policy_ids");
    // Policies that permitted a part of what is denied as a whole did not decide: the reason says what did.
    lines.push(if allowed && !policies.is_empty() {
        format!("decision: allow by {policies}")
    } else {
        format!("decision: {effect}")
    });
    let told: &[_] = if allowed {
        &[("tables", "tables"), ("rows", "rows"), ("masked", "masked_columns")]
    } else {
        &[("because", "reason"), ("tables", "tables")]
    };
    for (label, column) in told {
        let text = answer.text(row, column);
        if !text.is_empty() {
            lines.push(format!("{label}: {text}"));
        }
    }
    Ok(lines)
}

async fn failed_authentication(auditor: &Asker) -> Result<Vec<String>, Failure> {
    let answer = auditor
        .sql("SELECT principal_issuer, failure, message FROM authentications WHERE outcome = 'failure' ORDER BY time DESC LIMIT 1")
        .await?;
    let row = answer
        .rows
        .first()
        .ok_or_else(|| Failure::integrity("the failed authentication is not on record"))?;
    Ok(vec![
        format!("authentication failed: {}", answer.text(row, "failure")),
        format!("issuer: {}", answer.text(row, "principal_issuer")),
        format!("because: {}", answer.text(row, "message")),
    ])
}

/// Three questions an auditor asks, answered from the lake.
async fn questions(auditor: &Asker) -> Result<(), Failure> {
    let parameters = |pairs: &[(&str, &str)]| -> Map<String, Value> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::String((*value).to_owned())))
            .collect()
    };
    let asked: [(_, _, _, &[&str]); 3] = [
        (
            "Who read the column app.customers.ssn?",
            "who-read-column",
            parameters(&[("column", "app.customers.ssn")]),
            &["time", "actor", "on_behalf_of", "seen", "rows", "approved_by", "statement"],
        ),
        (
            "What was denied in the last day?",
            "denied",
            parameters(&[]),
            &["actor", "on_behalf_of", "reason", "statement"],
        ),
        (
            "Which authentications failed, by issuer?",
            "failed-authentications",
            parameters(&[]),
            &["claimed_issuer", "failure", "front", "failures", "last"],
        ),
    ];
    print_line("Three questions to the audit, answered from Parquet and the log's live tail:")?;
    for (title, question, parameters, columns) in asked {
        let shown: String = parameters
            .iter()
            .map(|(name, value)| format!(" -p {name}={}", value.as_str().unwrap_or_default()))
            .collect();
        print_line(format_args!("\n{title}   (tallyport ask {question}{shown} --as auditor)"))?;
        auditor.ask(question, parameters).await?.select(columns).print(Format::Table)?;
    }
    Ok(())
}

/// Two columns: what the agent saw, what is on record.
fn beside(number: usize, step: &Step, seen: &Seen, record: &[String]) -> Result<(), Failure> {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH);
    table.set_header(["the agent saw", "the record says"]);
    table.add_row([text_of(seen), record.join("\n")]);
    print_line(format_args!("{number}. {}\n   {}\n{table}\n", step.title, step.sql))
}

fn text_of(seen: &Seen) -> String {
    match seen {
        Seen::Error(message) => format!("ERROR: {message}"),
        Seen::Rows { columns, rows } => {
            let line = |row: &Vec<Option<String>>| {
                row.iter()
                    .map(|value| value.as_deref().unwrap_or("NULL"))
                    .collect::<Vec<_>>()
                    .join(" | ")
            };
            let shown = rows.iter().take(MAX_ROWS).map(line);
            std::iter::once(columns.join(" | ")).chain(shown).collect::<Vec<_>>().join("\n")
        }
    }
}
