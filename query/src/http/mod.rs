//! The HTTP API: SQL and named questions, answered as JSON, NDJSON, CSV or Arrow.

mod connection;
mod format;
mod json;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use datafusion::common::ParamValues;
use datafusion::sql::sqlparser::ast::Statement;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tallyport_access::strangers::Watch;
use tallyport_schemas::{Face, Front};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::ask::Questions;
use crate::engine::Engine;
use crate::error::QueryError;
use crate::reader::Reader;
pub(crate) use connection::Server;
use format::Format;

/// What a request's body may hold beyond the query's text, in bytes.
const BODY_SLACK_BYTES: usize = 16 * 1024;

/// How long a request's body may take.
const BODY: Duration = Duration::from_secs(30);

/// What the handlers share.
#[derive(Clone)]
struct Api {
    engine: Arc<Engine>,
    questions: Arc<Questions>,
}

/// The body of `POST /v1/sql`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlRequest {
    sql: String,
}

/// All routes of the API.
pub(crate) fn router(engine: Arc<Engine>, questions: Arc<Questions>) -> Router {
    // JSON may need six bytes for one of the text.
    let max_body = engine.limits.max_sql_bytes.saturating_mul(6).saturating_add(BODY_SLACK_BYTES);
    Router::new()
        .route("/healthz", get(healthz))
        .route("/v1/sql", post(sql))
        .route("/v1/ask", get(list))
        .route("/v1/ask/{question}", post(ask))
        .layer(DefaultBodyLimit::max(max_body))
        .with_state(Api { engine, questions })
}

async fn healthz(State(api): State<Api>) -> Response {
    if api.engine.stop.is_cancelled() {
        return Failure(QueryError::Stopping).into_response();
    }
    Json(json!({ "status": "ok" })).into_response()
}

async fn sql(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    enter(&api, request, async |reader, format, text| {
        let SqlRequest { sql } = body(text, &api).await?;
        let question = api.engine.question(&reader, Face::Http, &sql);
        let statement = match api.engine.statements().parse_one(&sql) {
            Ok(statement) => statement,
            Err(error) => return Err(Failure(question.ended(error).await)),
        };
        answer(&api, &reader, question, (statement, None), format).await
    })
    .await
}

async fn list(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let all = async |_, _, _| Ok(Json(json!({ "questions": api.questions.all() })).into_response());
    enter(&api, request, all).await
}

async fn ask(
    State(api): State<Api>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    enter(&api, request, async |reader, format, text| {
        let parameters: serde_json::Map<String, serde_json::Value> = body(text, &api).await?;
        let named = api.questions.named(&name)?;
        let mut question = api.engine.question(&reader, Face::Http, &named.recorded_sql());
        let bound = match named.bind(&parameters, Timestamp::now()) {
            Ok(bound) => bound,
            Err(error) => return Err(Failure(question.ended(error).await)),
        };
        question.asked_with(&bound.on_record());
        let statement = named.statement()?;
        answer(&api, &reader, question, (statement, Some(bound.into_values())), format).await
    })
    .await
}

/// Works for whoever asks, in the form in which they want the answer. Nothing of it leaves before their token's check is
/// on record.
async fn enter(
    api: &Api,
    request: Request,
    serve: impl AsyncFnOnce(Reader, Format, Body) -> Result<Response, Failure>,
) -> Result<Response, Failure> {
    let (parts, text) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let token = bearer(&parts.headers);
    let watch = parts.extensions.get::<Arc<Watch>>();
    if watch.is_some_and(|watch| watch.is_exhausted()) {
        return Err(Failure(QueryError::TooManyFailures));
    }
    let serve = async |reader| {
        if let Some(watch) = watch {
            watch.authenticated();
        }
        let format = Format::accepted(parts.headers.get(header::ACCEPT))?;
        serve(reader, format, text).await
    };
    api.engine.gate.admit(token, Front::QueryHttp, peer, serve).await
}

/// The token of an `Authorization: Bearer` header (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// The request's JSON. An empty body is an empty object.
async fn body<T: for<'de> Deserialize<'de>>(body: Body, api: &Api) -> Result<T, Failure> {
    let max = api.engine.limits.max_sql_bytes.saturating_mul(6).saturating_add(BODY_SLACK_BYTES);
    let bad = || {
        let seconds = BODY.as_secs();
        let problem =
            format!("the body could not be read in {seconds} s, or it is over {max} bytes");
        Failure(QueryError::BadRequest { problem })
    };
    let read = timeout(BODY, axum::body::to_bytes(body, max)).await.map_err(|_| bad())?;
    let bytes = read.map_err(|_| bad())?;
    let bytes = if bytes.is_empty() { b"{}".as_slice() } else { &bytes };
    serde_json::from_slice(bytes).map_err(|error| {
        Failure(QueryError::BadRequest { problem: format!("the body is not as due: {error}") })
    })
}

async fn answer(
    api: &Api,
    reader: &Reader,
    question: crate::record::Question,
    (statement, parameters): (Statement, Option<ParamValues>),
    format: Format,
) -> Result<Response, Failure> {
    let planned = api.engine.plan(reader, question, statement, parameters).await?;
    // The reader cancels by going away, which drops the body.
    let never = CancellationToken::new();
    let answer = api.engine.run(planned, never.clone(), &never).await?;
    let body = format::body(format, answer).await?;
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// An error as the HTTP face says it.
struct Failure(QueryError);

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let status =
            StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(json::error(&error))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = match &error {
                QueryError::Unauthenticated { failure, .. } if failure == "no_token" => "Bearer",
                _ => "Bearer error=\"invalid_token\"",
            };
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}
