//! `requestState` (2026-07-28, "Multi Round-Trip Requests"): what a server gives a client to carry until it asks again.
//!
//! A server behind the gateway sees one credential whoever asks, so it cannot tell whose state comes back. The gateway can:
//! it marks what passes to a client, and takes the mark off again before the server has it back byte for byte.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::exchange::Amend;
use super::question::Admitted;

const STATE: &str = "requestState";
/// As long as somebody may take to answer what the server asks.
const GOOD_FOR_SECONDS: i64 = 24 * 60 * 60;
/// Why a request with another is refused, as its decision says.
const FOREIGN: &str = "requestState is not what this principal was given for this request, or it is older than a day; ask again \
                       without it";

/// Marks the state of an answer to `about`, before `then` sees the answer.
pub(super) fn sealing(admitted: &Arc<Admitted>, about: &str, then: Option<Amend>) -> Amend {
    let (admitted, about) = (Arc::clone(admitted), about.to_owned());
    Arc::new(move |message: &mut Value| {
        let state = message.get_mut("result").and_then(|result| result.get_mut(STATE));
        if let Some(Value::String(state)) = state {
            let until = Timestamp::now().as_second() + GOOD_FOR_SECONDS;
            *state = admitted.upstream.seal.put(&context(&admitted, &about), until, state);
        }
        if let Some(then) = &then {
            then(message);
        }
    })
}

/// Takes the mark off a state that comes with a request of `about`; says why it must not pass.
pub(super) fn restore(
    admitted: &Admitted,
    about: &str,
    params: &mut Map<String, Value>,
) -> Option<&'static str> {
    let state = params.get_mut(STATE)?;
    let now = Timestamp::now().as_second();
    let seal = &admitted.upstream.seal;
    let given = state.as_str().and_then(|it| seal.taken_off(&context(admitted, about), now, it));
    match given.map(str::to_owned) {
        Some(given) => {
            *state = Value::String(given);
            None
        }
        None => Some(FOREIGN),
    }
}

/// Whom it is given to, and for what.
fn context(admitted: &Admitted, about: &str) -> Vec<u8> {
    let identity = admitted.welcome.caller.identity();
    let (issuer, subject) = (&identity.principal.issuer, &identity.principal.subject);
    json!([STATE, admitted.upstream.name(), about, issuer, subject, identity.delegation])
        .to_string()
        .into_bytes()
}
