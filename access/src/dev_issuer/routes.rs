//! Discovery, keys and the token endpoint.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{DefaultBodyLimit, RawForm, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::identity::key_to_bind;

use super::{AUDIENCE, DEFAULT_TTL, DevClient, MAX_TTL, PEOPLE_CLIENT, State, people};

/// RFC 8628 section 3.4.
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const MAX_FORM_BYTES: usize = 16 * 1024;

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/.well-known/oauth-authorization-server", get(discovery))
        .route("/jwks", get(jwks))
        .route("/token", post(token))
        .route("/authorize", get(people::authorize).post(people::authorized))
        .route("/device_authorization", post(people::device))
        .route("/device", get(people::typed).post(people::confirmed))
        .route("/introspect", post(introspect))
        .route("/revoke", post(revoke))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .with_state(state)
}

async fn discovery(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    Json(json!({
        "issuer": state.issuer_url,
        "jwks_uri": format!("{}/jwks", state.issuer_url),
        "token_endpoint": state.token_url,
        "introspection_endpoint": format!("{}/introspect", state.issuer_url),
        "revocation_endpoint": format!("{}/revoke", state.issuer_url),
        "authorization_endpoint": format!("{}/authorize", state.issuer_url),
        "device_authorization_endpoint": format!("{}/device_authorization", state.issuer_url),
        "authorization_response_iss_parameter_supported": true,
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "grant_types_supported": [
            "client_credentials", "authorization_code", "refresh_token", DEVICE_GRANT,
        ],
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }))
}

async fn jwks(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let keys = state.keys.load();
    let published: Vec<Value> =
        std::iter::once(&keys.current).chain(&keys.previous).map(|key| key.jwk()).collect();
    Json(json!({ "keys": published }))
}

async fn token(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    RawForm(body): RawForm,
) -> Result<Response, Refused> {
    let form = Form::parse(&body)?;
    let (client, refresh) = who(&state, &headers, &form)?;
    if ["resource", "audience"].iter().any(|key| form.get(key).is_some_and(|a| a != AUDIENCE)) {
        return Err(Refused::InvalidTarget);
    }
    let ttl = match form.get("ttl") {
        None => DEFAULT_TTL.as_secs(),
        Some(text) => text
            .parse::<u64>()
            .ok()
            .filter(|ttl| *ttl <= MAX_TTL.as_secs())
            .ok_or(Refused::InvalidRequest)?,
    };
    let issued = Timestamp::now().as_second();
    let expires = issued.saturating_add_unsigned(ttl);
    let mut claims = client.claims();
    let id = tallyport_schemas::EventId::new().to_string();
    claims.extend([
        ("iss".to_owned(), json!(state.issuer_url)),
        ("aud".to_owned(), json!(AUDIENCE)),
        ("iat".to_owned(), json!(issued)),
        ("exp".to_owned(), json!(expires)),
        ("jti".to_owned(), json!(id)),
    ]);
    let bound = bound_to(&state, &headers)?;
    claims.extend(bound.as_ref().map(|key| ("cnf".to_owned(), json!({ "jkt": key }))));
    let token = state.keys.load().current.sign(&claims).ok_or(Refused::ServerError)?;
    state.live.add(&token, expires);
    let kind = if bound.is_some() { "DPoP" } else { "Bearer" };
    let mut body = json!({ "access_token": token, "token_type": kind, "expires_in": ttl });
    if let (Some(refresh), Some(fields)) = (refresh, body.as_object_mut()) {
        fields.insert("refresh_token".to_owned(), json!(refresh));
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// The key that the token is to be bound to (RFC 9449 section 5).
fn bound_to(state: &State, headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let Some(proof) = headers.get("dpop") else { return Ok(None) };
    let key = proof.to_str().ok().and_then(|proof| key_to_bind(proof, &state.token_url));
    key.map(Some).ok_or(Refused::InvalidProof)
}

/// Whom the token is for, and what renews it where that is a person who signed in.
fn who<'s>(
    state: &'s State,
    headers: &HeaderMap,
    form: &Form,
) -> Result<(&'s DevClient, Option<String>), Refused> {
    let needed = |key: &str| form.get(key).ok_or(Refused::InvalidRequest);
    let (person, client_id) = match needed("grant_type")? {
        "client_credentials" => return Ok((authenticate(state, headers, form)?, None)),
        "authorization_code" => {
            let code = state.given.take_code(needed("code")?, needed("code_verifier")?);
            let code = code.ok_or(Refused::InvalidGrant)?;
            if needed("redirect_uri")? != code.redirect_uri {
                return Err(Refused::InvalidGrant);
            }
            (code.person, code.client_id)
        }
        "refresh_token" => {
            let known = state.given.take_refresh(needed("refresh_token")?);
            let known = known.ok_or(Refused::InvalidGrant)?;
            (known.person, known.client_id)
        }
        DEVICE_GRANT => {
            let device = state.given.take_device(needed("device_code")?);
            let device = device.ok_or(Refused::ExpiredToken)?;
            let answer = device.answer.ok_or(Refused::AuthorizationPending)?;
            (answer.ok_or(Refused::AccessDenied)?, device.client_id)
        }
        _ => return Err(Refused::UnsupportedGrantType),
    };
    // People's client is public: it names itself (RFC 6749 section 3.2.1).
    if needed("client_id")? != client_id {
        return Err(Refused::InvalidGrant);
    }
    let person = state.person(&person).ok_or(Refused::InvalidGrant)?;
    Ok((person, Some(state.given.refresh(person.id.clone(), client_id))))
}

/// RFC 7662. Any of its clients may ask.
async fn introspect(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    RawForm(body): RawForm,
) -> Result<Json<Value>, Refused> {
    let form = Form::parse(&body)?;
    authenticate(&state, &headers, &form)?;
    let token = form.get("token").ok_or(Refused::InvalidRequest)?;
    Ok(Json(json!({ "active": state.live.has(token) })))
}

/// RFC 7009. Any of its clients may revoke any token: this is for development.
async fn revoke(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    RawForm(body): RawForm,
) -> Result<StatusCode, Refused> {
    let form = Form::parse(&body)?;
    let token = form.get("token").ok_or(Refused::InvalidRequest)?;
    if form.get("client_id") == Some(PEOPLE_CLIENT) {
        state.given.take_refresh(token);
        state.live.remove(token);
        return Ok(StatusCode::OK);
    }
    authenticate(&state, &headers, &form)?;
    state.live.remove(token);
    Ok(StatusCode::OK)
}

/// The parameters of a form, none of them twice (RFC 6749 section 3.2).
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refused> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
        let repeated = pairs
            .iter()
            .enumerate()
            .any(|(place, (key, _))| pairs.iter().take(place).any(|(other, _)| other == key));
        if repeated { Err(Refused::InvalidRequest) } else { Ok(Self(pairs)) }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// `client_secret_basic` or `client_secret_post`, never both (RFC 6749 section 2.3).
fn authenticate<'s>(
    state: &'s State,
    headers: &HeaderMap,
    form: &Form,
) -> Result<&'s DevClient, Refused> {
    let basic = headers.get(header::AUTHORIZATION).map(|value| basic(value.as_bytes()));
    let (id, secret) = match (basic, form.get("client_secret")) {
        (Some(_), Some(_)) => return Err(Refused::InvalidRequest),
        (Some(pair), None) => pair.ok_or(Refused::InvalidClient)?,
        (None, Some(secret)) => {
            let id = form.get("client_id").ok_or(Refused::InvalidClient)?;
            (id.to_owned(), secret.to_owned())
        }
        (None, None) => return Err(Refused::InvalidClient),
    };
    state
        .clients
        .iter()
        .find(|client| {
            let own = client.secret.expose().as_bytes();
            client.id == id && verify_slices_are_equal(own, secret.as_bytes()).is_ok()
        })
        .ok_or(Refused::InvalidClient)
}

fn basic(value: &[u8]) -> Option<(String, String)> {
    let (scheme, encoded) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let decode = |part: &str| {
        form_urlencoded::parse(format!("v={part}").as_bytes()).next().map(|(_, v)| v.into_owned())
    };
    Some((decode(id)?, decode(secret)?))
}

/// Errors of RFC 6749 section 5.2, RFC 8628 section 3.5 and RFC 8707 section 2.
pub(super) enum Refused {
    InvalidRequest,
    InvalidClient,
    InvalidTarget,
    UnsupportedGrantType,
    InvalidGrant,
    InvalidProof,
    AuthorizationPending,
    AccessDenied,
    ExpiredToken,
    ServerError,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::InvalidTarget => (StatusCode::BAD_REQUEST, "invalid_target"),
            Self::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            Self::InvalidProof => (StatusCode::BAD_REQUEST, "invalid_dpop_proof"),
            Self::InvalidGrant => (StatusCode::BAD_REQUEST, "invalid_grant"),
            Self::AuthorizationPending => (StatusCode::BAD_REQUEST, "authorization_pending"),
            Self::AccessDenied => (StatusCode::BAD_REQUEST, "access_denied"),
            Self::ExpiredToken => (StatusCode::BAD_REQUEST, "expired_token"),
            Self::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        };
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"tallyport-dev\"")];
        (status, challenge, Json(json!({ "error": error }))).into_response()
    }
}
