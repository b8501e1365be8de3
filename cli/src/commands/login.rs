//! `tallyport login`, `logout` and `whoami`: a person at a terminal.

use std::path::Path;

use serde_json::Value;
use tallyport_access::client::{ClientAuthentication, ClientSettings, DeviceFlow};

use super::approvals::print::escaped;
use super::gateway_api::Api;
use crate::access::{login, no_token};
use crate::args::{GatewayArgs, LoginArgs, LoginPlace};
use crate::exit::Failure;
use crate::output::print_line;
use crate::ready::ReadyFile;

/// Signs in by device code (RFC 8628).
pub async fn run(args: &LoginArgs) -> Result<(), Failure> {
    let place = login(args.place.login_file.as_deref())?;
    let settings = settings(args)?;
    let flow = DeviceFlow::new(settings.clone()).map_err(|error| no_token(&error))?;
    let prompt = flow.begin().await.map_err(|error| no_token(&error))?;
    let at = prompt.verification_uri_complete.as_deref().unwrap_or(&prompt.verification_uri);
    print_line(format_args!("To sign in, open    {}", escaped(at)))?;
    print_line(format_args!("and check the code  {}", escaped(&prompt.user_code)))?;
    let granted = tokio::select! {
        granted = flow.finish(&prompt) => granted.map_err(|error| no_token(&error))?,
        () = crate::services::interrupted() => {
            return Err(Failure::failed("interrupted; nobody is signed in"));
        }
    };
    let renewable = granted.refresh_token.is_some();
    place.keep(&settings, granted).map_err(Failure::failed)?;
    let how = if renewable { "it is renewed while you use it" } else { "it ends with its token" };
    print_line(format_args!("Signed in at {}; {how}. `tallyport logout` ends it.", settings.issuer))
}

/// Ends the sign-in.
pub async fn out(place: &LoginPlace) -> Result<(), Failure> {
    let place = login(place.login_file.as_deref())?;
    if !place.exists() {
        return print_line("Nobody is signed in.");
    }
    let (issuer, told) = place.end().await.map_err(Failure::failed)?;
    if let Err(error) = told {
        eprintln!("tallyport: the issuer was not told: {error}");
    }
    print_line(format_args!("Signed out of {issuer}."))
}

/// Says whom the gateway takes the caller for.
pub async fn whoami(args: &GatewayArgs) -> Result<(), Failure> {
    let who = Api::new(args).await?.get("/v1/whoami").await?;
    if args.json {
        return print_line(format_args!("{who:#}"));
    }
    let text = |pointer: &str| who.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let all = |pointer: &str, of: &str| {
        let items = who.pointer(pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let name = |item: &Value| {
            let value = if of.is_empty() { Some(item) } else { item.get(of) };
            value.and_then(Value::as_str).map(escaped)
        };
        items.iter().filter_map(name).collect::<Vec<_>>().join(", ")
    };
    let rows = [
        ("name", escaped(text("/principal/display_name"))),
        ("kind", escaped(text("/principal/kind"))),
        ("subject", escaped(text("/principal/subject"))),
        ("issuer", escaped(text("/principal/issuer"))),
        ("groups", all("/principal/groups", "")),
        ("acting", all("/delegation", "subject")),
        ("until", escaped(text("/expires_at"))),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        print_line(format_args!("{name:>8}  {value}"))?;
    }
    Ok(())
}

fn settings(args: &LoginArgs) -> Result<ClientSettings, Failure> {
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|error| Failure::usage(format!("CA {}: {error}", path.display())))
    };
    let roots_pem = args.ca.as_deref().map(read).transpose()?;
    if let Some(issuer) = &args.issuer {
        let client_id =
            args.client_id.clone().ok_or_else(|| Failure::usage("--issuer needs --client-id"))?;
        return Ok(ClientSettings {
            issuer: issuer.clone(),
            client_id,
            authentication: ClientAuthentication::Public,
            audience: args.audience.clone(),
            scope: Some(args.scope.clone()).filter(|scope| !scope.is_empty()),
            roots_pem,
        });
    }
    let ready = args.ready_file.as_deref().ok_or_else(|| {
        Failure::usage("where? give --issuer with --client-id, or --ready-file of `tallyport dev`")
    })?;
    let issuer = ReadyFile::read(ready)?.issuer;
    Ok(ClientSettings {
        issuer: issuer.url,
        client_id: issuer.people_client,
        authentication: ClientAuthentication::Public,
        audience: Some(issuer.audience),
        scope: None,
        roots_pem,
    })
}
