//! A service that does as its paths say and keeps what it was sent. A double: no real service misbehaves on demand.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures::StreamExt as _;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A card that passes the Luhn check.
pub const CARD: &str = "4111111111111111";
/// What the service must be shown.
pub const SECRET: &str = "s3cr3t-of-the-gateway";

#[derive(Clone, Debug)]
pub struct Sent {
    pub method: String,
    pub target: String,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl Sent {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Clone, Default)]
pub struct Upstream {
    sent: Arc<Mutex<Vec<Sent>>>,
    pub port: u16,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self { port: listener.local_addr().unwrap().port(), ..Self::default() };
        let app = Router::new().fallback(answer).with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        this
    }

    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().clone()
    }
}

/// Says the same to whoever asks, byte by byte: no server's library would.
pub async fn bare(said: &'static str) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut io, _)) = listener.accept().await {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") && io.read_buf(&mut asked).await.unwrap_or(0) > 0 {}
            let _gone = io.write_all(said.as_bytes()).await;
        }
    });
    port
}

async fn answer(State(upstream): State<Upstream>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let target = head.uri.to_string();
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    upstream.sent.lock().push(Sent {
        method: head.method.to_string(),
        target: target.clone(),
        fields: fields.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    if target == "/api/echo" {
        return echo(&head.headers);
    }
    scripted(upstream.port, &target).await
}

/// What it was asked with, as pages of diagnostics say it; its pieces end within the secret.
fn echo(headers: &axum::http::HeaderMap) -> Response {
    let said =
        |name: &str| headers.get(name).map_or("", |it| it.to_str().unwrap_or_default()).to_owned();
    let (token, key) = (said("authorization"), said("x-api-key"));
    let body = serde_json::json!({ "authorization": token, "x-api-key": key }).to_string();
    let middle = body.find(SECRET).map_or(0, |at| at + SECRET.len() / 2);
    let (one, two) =
        (Bytes::from(body[..middle].to_owned()), Bytes::from(body[middle..].to_owned()));
    let pieces = futures::stream::iter([one, two]).then(|piece| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok::<_, Infallible>(piece)
    });
    let mut response = json(Body::from_stream(pieces));
    response.headers_mut().insert("x-request-id", key.parse().unwrap());
    response
}

fn json(body: impl Into<Body>) -> Response {
    Response::builder().header("content-type", "application/json").body(body.into()).unwrap()
}

fn typed(media: &str, body: impl Into<Body>) -> Response {
    Response::builder().header("content-type", media).body(body.into()).unwrap()
}

async fn scripted(port: u16, target: &str) -> Response {
    let path = target.split('?').next().unwrap_or_default();
    match path {
        "/api/customers/7" => json(format!(
            "{{ \"id\": 7, \"name\":\"Ada\", \"big\": 123456789012345678901.50, \"card\":\"{CARD}\", \"none\": null }}"
        )),
        "/api/customers/404" => {
            let mut response = json("{\"error\":\"no such customer\"}");
            *response.status_mut() = axum::http::StatusCode::NOT_FOUND;
            response
        }
        "/api/notes/card" => json(format!("{{\"text\":\"paid with {CARD}\"}}")),
        "/api/notes/key" => json("{\"text\":\"AKIAQ3EGRZV2XKTYN5WB\"}"),
        "/api/notes/plain" => typed("text/plain; charset=utf-8", format!("card {CARD} and no more\n")),
        "/api/notes/picture" => typed("image/png", vec![0x89_u8, b'P', b'N', b'G']),
        "/api/notes/zipped" => Response::builder()
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .body(Body::from(vec![0x1f_u8, 0x8b]))
            .unwrap(),
        "/api/notes/packed" => {
            let bytes = Bytes::from_static(&[0x1f, 0x8b]);
            let bytes = futures::stream::iter([Ok::<_, Infallible>(bytes)]);
            let mut response = json(Body::from_stream(bytes));
            let packed = "gzip, chunked".parse().unwrap();
            response.headers_mut().insert("transfer-encoding", packed);
            response
        }
        "/api/notes/wide" => {
            let wide: Vec<u8> = CARD.encode_utf16().flat_map(u16::to_le_bytes).collect();
            typed("text/plain; charset=utf-16le", wide)
        }
        "/api/notes/broken" => json("{\"card\": \"4111"),
        "/api/notes/lines" => typed("application/x-ndjson", format!("{{\"card\":\"{CARD}\"}}\n{{\"card\":\"{CARD}\"}}\n")),
        "/api/notes/cookie" => Response::builder()
            .header("content-type", "application/json")
            .header("set-cookie", "session=1")
            .header("etag", "\"abc\"")
            .header("x-internal-host", "db7.internal")
            .header("link", format!("<http://127.0.0.1:{port}/api/notes/2>; rel=\"next\", <https://elsewhere.example/x>; rel=\"prev\""))
            .body("{}".into())
            .unwrap(),
        "/api/moved/here" => moved(&format!("http://127.0.0.1:{port}/api/customers/7")),
        "/api/moved/elsewhere" => moved("http://169.254.169.254/latest/meta-data"),
        "/api/moved/seemingly-here" => moved(&format!("http://127.0.0.1:{port}/api//evil.example/x")),
        // Nobody asked for it.
        "/api/switch" => Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "other")
            .body(Body::empty())
            .unwrap(),
        "/api/status/401" => {
            let mut response = json("{}");
            *response.status_mut() = axum::http::StatusCode::UNAUTHORIZED;
            response
        }
        other => in_time(other).await,
    }
}

/// What takes its time, or has no end.
async fn in_time(path: &str) -> Response {
    match path {
        "/api/slow" => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            json("{}")
        }
        "/api/in-a-second" => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            json("{\"after\": \"a second\"}")
        }
        "/api/events" => {
            let ticks = futures::stream::unfold(0, |count| async move {
                if count > 0 {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                let line = if count == 1 {
                    format!("data: card {CARD}\n\n")
                } else {
                    format!("data: {count}\n\n")
                };
                Some((Ok::<_, Infallible>(Bytes::from(line)), count + 1))
            });
            typed("text/event-stream", Body::from_stream(ticks.take(400)))
        }
        // More of the field than is taken; more fields.
        "/api/wide" => {
            Response::builder().header("etag", "e".repeat(9000)).body(Body::empty()).unwrap()
        }
        "/api/many" => {
            let fields = (0..300).map(|n| format!("x-{n}"));
            let all = fields.fold(Response::builder(), |all, name| all.header(name, "1"));
            all.body(Body::empty()).unwrap()
        }
        // It took the request, and its process ends.
        "/api/gone" => std::panic::resume_unwind(Box::new("gone")),
        "/api/large" => {
            let piece = Bytes::from(vec![b'x'; 64 * 1024]);
            let pieces = futures::stream::repeat(Ok::<_, Infallible>(piece)).take(64);
            typed("application/octet-stream", Body::from_stream(pieces))
        }
        "/api/cut" => {
            let first = futures::stream::once(async { Ok(Bytes::from(vec![b'x'; 512 * 1024])) });
            let then = futures::stream::once(async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Err(std::io::Error::other("gone"))
            });
            typed("application/octet-stream", Body::from_stream(first.chain(then)))
        }
        "/api/endless" | "/api/flood" => {
            let piece = Bytes::from(vec![b'['; 64 * 1024]);
            let is_json = path == "/api/endless";
            typed(
                if is_json { "application/json" } else { "application/octet-stream" },
                Body::from_stream(futures::stream::repeat(Ok::<_, Infallible>(piece))),
            )
        }
        _ => json("{\"done\":true}"),
    }
}

fn moved(to: &str) -> Response {
    Response::builder().status(302).header("location", to).body(Body::empty()).unwrap()
}
