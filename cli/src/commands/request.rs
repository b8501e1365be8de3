//! `tallyport request TARGET --for TIME --reason TEXT`.

use serde_json::{Value, json};

use super::approvals::print;
use super::gateway_api::Api;
use crate::args::RequestArgs;
use crate::exit::Failure;
use crate::output::{print_line, print_text};

/// How long one look at a request waits for news.
const WATCH_SECONDS: u64 = 30;

/// Asks, and waits where it is told to.
pub async fn run(args: &RequestArgs) -> Result<(), Failure> {
    let api = Api::new(&args.args).await?;
    let wish = json!({
        "target": args.target, "seconds": args.period.as_secs(), "reason": args.reason,
    });
    let mut asked = api.post("/v1/grants", &wish).await?;
    let pending = |asked: &Value| asked.get("state").and_then(Value::as_str) == Some("pending");
    if args.wait && pending(&asked) {
        if !args.args.json {
            print_text(&print::grant(&asked))?;
        }
        asked = decided(&api, asked, pending).await?;
    }
    if args.args.json {
        print_line(format_args!("{asked:#}"))?;
    } else {
        print_text(&print::grant(&asked))?;
    }
    match asked.get("state").and_then(Value::as_str) {
        Some("pending" | "approved") => Ok(()),
        state => Err(Failure::denied(format!("the request is {}", state.unwrap_or("gone")))),
    }
}

async fn decided(
    api: &Api,
    mut asked: Value,
    pending: impl Fn(&Value) -> bool,
) -> Result<Value, Failure> {
    let id = asked.get("approval_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut seen = 0;
    while pending(&asked) {
        let news = format!("/v1/approvals?limit=1&after={seen}&wait={WATCH_SECONDS}");
        let news = tokio::select! {
            news = api.get(&news) => news?,
            () = crate::services::interrupted() => {
                return Err(Failure::failed("interrupted; the request waits on"));
            }
        };
        seen = news.get("seen").and_then(Value::as_u64).unwrap_or_default();
        asked = api.get(&format!("/v1/approvals/{id}")).await?;
    }
    Ok(asked)
}
