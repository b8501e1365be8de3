//! Pages on which a developer says who they are: any of the people it was started with, without a password.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, RawForm, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tallyport_schemas::PrincipalKind;
use url::Url;

use super::given::DEVICE_LIFE;
use super::routes::{Form, Refused};
use super::{PEOPLE_CLIENT, State};
use crate::identity::is_loopback;

/// Where browsers are sent back to: the pages of a gateway on this machine.
const CALLBACK: &str = "/console/callback/";

/// What the authorization endpoint is asked (RFC 6749 section 4.1.1, RFC 7636 section 4.3).
#[derive(Deserialize)]
pub(super) struct Asked {
    response_type: String,
    client_id: String,
    redirect_uri: String,
    state: String,
    code_challenge: String,
    code_challenge_method: String,
}

/// `GET /authorize`: who are you?
pub(super) async fn authorize(
    Shared(state): Shared<Arc<State>>,
    Query(asked): Query<Asked>,
) -> Response {
    if let Err(why) = acceptable(&asked) {
        return (
            StatusCode::BAD_REQUEST,
            page("That does not work", &format!("<p>{}</p>", escaped(why))),
        )
            .into_response();
    }
    let hidden = [
        ("response_type", &asked.response_type),
        ("client_id", &asked.client_id),
        ("redirect_uri", &asked.redirect_uri),
        ("state", &asked.state),
        ("code_challenge", &asked.code_challenge),
        ("code_challenge_method", &asked.code_challenge_method),
    ];
    page("Who are you?", &choice(&state, "/authorize", &hidden)).into_response()
}

/// `POST /authorize`: back with a code.
pub(super) async fn authorized(
    Shared(state): Shared<Arc<State>>,
    RawForm(body): RawForm,
) -> Result<Response, Refused> {
    let form = Form::parse(&body)?;
    let get = |key: &str| form.get(key).map(str::to_owned).ok_or(Refused::InvalidRequest);
    let asked = Asked {
        response_type: get("response_type")?,
        client_id: get("client_id")?,
        redirect_uri: get("redirect_uri")?,
        state: get("state")?,
        code_challenge: get("code_challenge")?,
        code_challenge_method: get("code_challenge_method")?,
    };
    acceptable(&asked).map_err(|_| Refused::InvalidRequest)?;
    let mut url = Url::parse(&asked.redirect_uri).map_err(|_| Refused::InvalidRequest)?;
    let (name, value) = match form.get("person").filter(|id| !id.is_empty()) {
        None => ("error", "access_denied".to_owned()),
        Some(id) => {
            let person = state.person(id).ok_or(Refused::InvalidRequest)?.id.clone();
            let Asked { client_id, redirect_uri, code_challenge, .. } = asked;
            ("code", state.given.code(person, client_id, redirect_uri, code_challenge))
        }
    };
    url.query_pairs_mut()
        .append_pair(name, &value)
        .append_pair("state", &asked.state)
        .append_pair("iss", &state.issuer_url);
    Ok(Redirect::to(url.as_str()).into_response())
}

fn acceptable(asked: &Asked) -> Result<(), &'static str> {
    let loopback = Url::parse(&asked.redirect_uri).is_ok_and(|url| {
        is_loopback(&url) && url.path().starts_with(CALLBACK) && url.query().is_none()
    });
    if asked.client_id != PEOPLE_CLIENT || !loopback {
        return Err("The client or where it wants the answer is unknown here.");
    }
    if asked.response_type != "code"
        || asked.code_challenge_method != "S256"
        || asked.code_challenge.len() != 43
    {
        return Err("Only the authorization code with PKCE (S256) is served.");
    }
    Ok(())
}

/// `POST /device_authorization` (RFC 8628 section 3.1).
pub(super) async fn device(
    Shared(state): Shared<Arc<State>>,
    RawForm(body): RawForm,
) -> Result<Json<Value>, Refused> {
    let form = Form::parse(&body)?;
    if form.get("client_id") != Some(PEOPLE_CLIENT) {
        return Err(Refused::InvalidClient);
    }
    let (device_code, user_code) = state.given.device(PEOPLE_CLIENT.to_owned());
    let at = format!("{}/device", state.issuer_url);
    Ok(Json(json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": at,
        "verification_uri_complete": format!("{at}?user_code={user_code}"),
        "expires_in": DEVICE_LIFE.as_secs(),
        "interval": 1,
    })))
}

#[derive(Deserialize)]
pub(super) struct Typed {
    #[serde(default)]
    user_code: String,
}

/// `GET /device`: the person types the code and says who they are.
pub(super) async fn typed(
    Shared(state): Shared<Arc<State>>,
    Query(typed): Query<Typed>,
) -> Response {
    if typed.user_code.is_empty() {
        let form = "<form action=\"/device\"><label>Code <input name=\"user_code\" autofocus></label> <button>Go on</button></form>";
        return page("Sign in on another device", form).into_response();
    }
    let hidden = [("user_code", &typed.user_code)];
    page("Who are you?", &choice(&state, "/device", &hidden)).into_response()
}

/// `POST /device`.
pub(super) async fn confirmed(
    Shared(state): Shared<Arc<State>>,
    RawForm(body): RawForm,
) -> Result<Response, Refused> {
    let form = Form::parse(&body)?;
    let user_code = form.get("user_code").ok_or(Refused::InvalidRequest)?;
    let person = match form.get("person").filter(|id| !id.is_empty()) {
        None => None,
        Some(id) => Some(state.person(id).ok_or(Refused::InvalidRequest)?.id.clone()),
    };
    let title = if state.given.answer(user_code, person) {
        "Done: go back to where you began"
    } else {
        "There is no such code, or it is used already"
    };
    Ok(page(title, "").into_response())
}

/// A button for each person, and one for nobody.
fn choice(state: &State, action: &str, hidden: &[(&str, &String)]) -> String {
    let mut form = format!("<form method=\"post\" action=\"{action}\">");
    for (name, value) in hidden {
        let _written =
            write!(form, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value));
    }
    for person in state.clients.iter().filter(|client| client.kind == PrincipalKind::Human) {
        let (id, name, groups) = (
            escaped(&person.id),
            escaped(&person.display_name),
            escaped(&person.groups.join(", ")),
        );
        let _written = write!(
            form,
            "<p><button name=\"person\" value=\"{id}\">{name}</button> <small>{groups}</small></p>"
        );
    }
    form + "<p><button name=\"person\" value=\"\">Nobody: cancel</button></p></form>"
}

fn page(title: &str, body: &str) -> impl IntoResponse + use<> {
    const STYLE: &str = ":root{color-scheme:light dark}body{font:16px system-ui,sans-serif;max-width:32rem;margin:10vh auto;padding:0 1rem}button{font:inherit;padding:.5rem 1rem}";
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1><p>This is the development issuer: it asks for no \
         password, and serves this machine alone.</p>{body}</html>"
    );
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")], Html(html))
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(redirect_uri: &str) -> Asked {
        Asked {
            response_type: "code".to_owned(),
            client_id: PEOPLE_CLIENT.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            state: "s".to_owned(),
            code_challenge: "c".repeat(43),
            code_challenge_method: "S256".to_owned(),
        }
    }

    #[test]
    fn browsers_are_sent_back_to_this_machine_and_to_the_pages_alone() {
        assert!(acceptable(&asked("https://localhost:8443/console/callback/dev")).is_ok());
        assert!(acceptable(&asked("https://127.0.0.1:1/console/callback/dev")).is_ok());
        for bad in [
            "https://evil.example/console/callback/dev",
            "https://localhost.evil.example/console/callback/dev",
            "https://localhost/elsewhere",
            "https://localhost/console/callback/dev?x=1",
            "javascript:alert(1)",
        ] {
            assert!(acceptable(&asked(bad)).is_err(), "{bad}");
        }
        let plain = Asked {
            code_challenge_method: "plain".to_owned(),
            ..asked("https://localhost/console/callback/dev")
        };
        assert!(acceptable(&plain).is_err());
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(escaped("<a href=\"'&"), "&lt;a href=&quot;&#39;&amp;");
    }
}
