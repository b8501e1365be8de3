//! `tallyport ask`: the named questions.

use serde_json::{Map, Value};
#[cfg(feature = "query")]
use tallyport_query::ask::{NamedQuestion, Questions};

use crate::access;
use crate::answer::Answer;
#[cfg(feature = "query")]
use crate::args::AnswerArgs;
use crate::args::AskArgs;
#[cfg(feature = "query")]
use crate::args::Format;
use crate::exit::Failure;
#[cfg(feature = "query")]
use crate::output::{print_text, program};

/// The question whether anything is missing, and what of its answer has to be none.
const GAPS: &str = "gaps";
const MUST_BE_NONE: [&str; 2] = ["unexplained", "doubled"];

/// Lists the questions, or asks one. The list is that of this build: nobody need be asked for it.
pub async fn run(args: &AskArgs) -> Result<(), Failure> {
    let Some(question) = &args.question else {
        #[cfg(feature = "query")]
        return list(&args.answer);
        // They are written in the query service's SQL, and come with it.
        #[cfg(not(feature = "query"))]
        return Err(crate::built::without("query"));
    };
    let asker = access::asker(&args.answer).await?;
    let mut parameters = Map::new();
    if let Some(since) = &args.since {
        parameters.insert("since".to_owned(), Value::String(since.clone()));
    }
    for parameter in &args.parameters {
        let (name, value) = parameter
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--param `{parameter}`: write NAME=VALUE")))?;
        parameters.insert(name.to_owned(), Value::String(value.to_owned()));
    }
    let answer = asker.ask(question, parameters).await?;
    answer.print(args.answer.format())?;
    #[cfg(feature = "query")]
    if answer.rows.is_empty() {
        tell_of_nothing(question);
    }
    if question == GAPS { must_be_whole(&answer) } else { Ok(()) }
}

/// Beside the answer, so that whoever reads that by program sees the same as ever.
#[cfg(feature = "query")]
fn tell_of_nothing(question: &str) {
    let questions = Questions::load().ok();
    let of = |one: &&NamedQuestion| one.name == question;
    let known = questions.as_ref().and_then(|known| known.all().iter().find(of));
    if let Some(nothing) = known.and_then(|known| known.nothing.as_ref()) {
        eprintln!("{nothing}");
    }
}

/// Ends as an integrity check does, so that whoever asks it every night need not read the answer.
fn must_be_whole(answer: &Answer) -> Result<(), Failure> {
    let [unexplained, doubled] = MUST_BE_NONE.map(|column| answer.sum(column));
    if unexplained == 0 && doubled == 0 {
        return Ok(());
    }
    Err(Failure::integrity(format!(
        "the audit is not whole: {unexplained} events are missing and no gap was declared, {doubled} are there twice; see which writers, and docs/operations.md"
    )))
}

#[cfg(feature = "query")]
fn list(answer: &AnswerArgs) -> Result<(), Failure> {
    let questions = Questions::load().map_err(Failure::failed)?;
    print_text(&match answer.format() {
        Format::Json => {
            let list = serde_json::json!({ "questions": questions.all() });
            format!("{list:#}\n")
        }
        Format::Table | Format::Csv => listing(questions.all()),
    })
}

/// One line a question, its parameters below.
#[cfg(feature = "query")]
fn listing(questions: &[NamedQuestion]) -> String {
    let width = questions.iter().map(|question| question.name.len()).max().unwrap_or_default();
    let mut out = String::new();
    for question in questions {
        out += &format!("{:width$}  {}\n", question.name, question.title);
        for parameter in &question.parameters {
            let default = match &parameter.default {
                Some(default) => format!("default {default}"),
                None if parameter.optional => "optional".to_owned(),
                None => "required".to_owned(),
            };
            out += &format!("{:width$}    {} ({default})\n", "", parameter.name);
        }
    }
    let program = program();
    out + &format!(
        "\nExamples:\n  {program} ask denied --since 7d --as auditor\n  {program} ask who-read-column -p column=app.customers.ssn --as auditor\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(unexplained: u64, doubled: u64) -> Answer {
        serde_json::from_value(json!({
            "columns": [{ "name": "producer_id" }, { "name": "unexplained" }, { "name": "doubled" }],
            "rows": [["gw-1/gateway", 0, 0], ["gw-2/gateway", unexplained, doubled]],
        }))
        .unwrap()
    }

    #[test]
    fn what_is_missing_or_there_twice_is_an_integrity_violation() {
        must_be_whole(&answer(0, 0)).unwrap();
        for (unexplained, doubled) in [(1, 0), (0, 2)] {
            let failure = must_be_whole(&answer(unexplained, doubled)).unwrap_err();
            assert_eq!(failure.code(), std::process::ExitCode::from(4));
        }
    }
}
