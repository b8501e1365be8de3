//! `tallyport ask`: the named questions.

use serde_json::{Map, Value};

use crate::access;
use crate::answer::print_text;
use crate::args::{AskArgs, Format};
use crate::exit::Failure;

/// Lists the questions, or asks one.
pub async fn run(args: &AskArgs) -> Result<(), Failure> {
    let asker = access::asker(&args.answer).await?;
    let Some(question) = &args.question else {
        let questions = asker.questions().await?;
        return match args.answer.format() {
            Format::Json => print_text(&format!("{questions:#}\n")),
            Format::Table | Format::Csv => print_text(&listing(&questions)),
        };
    };
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

/// One line a question, its parameters below.
fn listing(questions: &Value) -> String {
    let list =
        questions.get("questions").unwrap_or(questions).as_array().cloned().unwrap_or_default();
    let text = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let width = list.iter().map(|question| text(question, "name").len()).max().unwrap_or_default();
    let mut out = String::new();
    for question in &list {
        out += &format!("{:width$}  {}\n", text(question, "name"), text(question, "title"));
        for parameter in question.get("parameters").and_then(Value::as_array).into_iter().flatten()
        {
            let default = parameter.get("default").filter(|value| !value.is_null());
            let default = default.map_or_else(
                || "required".to_owned(),
                |value| {
                    format!(
                        "default {}",
                        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
                    )
                },
            );
            out += &format!("{:width$}    {} ({default})\n", "", text(parameter, "name"));
        }
    }
    out + "\nExample: tallyport ask who-read-column --param column=app.customers.ssn --since 7d\n"
}
