//! `tallyport ask`: the named questions.

use serde_json::{Map, Value};
#[cfg(feature = "query")]
use tallyport_query::ask::{NamedQuestion, Questions};

use crate::access;
#[cfg(feature = "query")]
use crate::args::AnswerArgs;
use crate::args::AskArgs;
#[cfg(feature = "query")]
use crate::args::Format;
use crate::exit::Failure;
#[cfg(feature = "query")]
use crate::output::{print_text, program};

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
    asker.ask(question, parameters).await?.print(args.answer.format())
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
