//! Ways past the gateway: none leads anywhere, and each is on record.

use std::time::Duration;

use tallyport_schemas::{Disposition, ResponseStatus};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::world::World;

/// Sends bytes as they are, and gives what comes back until the connection closes or pauses.
async fn raw(world: &World, request: &str) -> String {
    let port = world.port("agent").await;
    let mut io = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    io.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let mut buffer = [0_u8; 16 * 1024];
    while let Ok(Ok(read)) =
        tokio::time::timeout(Duration::from_millis(800), io.read(&mut buffer)).await
    {
        if read == 0 {
            break;
        }
        all.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

pub const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub const EXEC: &str =
    "/api/v1/namespaces/shop/pods/web-0/exec?container=app&command=id&stdout=true";

fn cases(admin: &str) -> Vec<String> {
    let exec = EXEC;
    let protocol = "sec-websocket-protocol: v4.channel.k8s.io\r\n";
    vec![
        // Exec by another name.
        format!(
            "GET /api/v1/nodes/kwok-node-0/proxy/exec/shop/web-0/app?command=id HTTP/1.1\r\n{UPGRADE}{protocol}"
        ),
        "POST /api/v1/nodes/kwok-node-0/proxy/run/shop/web-0/app?cmd=id HTTP/1.1\r\n".to_owned(),
        format!("GET {} HTTP/1.1\r\n{UPGRADE}{protocol}", exec.replace("/exec", "/EXEC")),
        format!("GET {} HTTP/1.1\r\n{UPGRADE}{protocol}", exec.replace("/exec", "/%65xec%2f")),
        format!("GET {} HTTP/1.1\r\n{UPGRADE}{protocol}", exec.replace("/exec", "/./exec")),
        format!("GET {} HTTP/1.1\r\n{UPGRADE}{protocol}", exec.replace("/exec", "//exec")),
        format!("GET {} HTTP/1.1\r\n{UPGRADE}{protocol}", exec.replace("/exec", "/exec/x")),
        format!(
            "GET {} HTTP/1.1\r\n{UPGRADE}{protocol}",
            exec.replace("web-0/exec", "web-0%2Fexec")
        ),
        // In a form that is not recorded as what it means.
        format!(
            "GET {exec} HTTP/1.1\r\n{UPGRADE}sec-websocket-protocol: base64.channel.k8s.io\r\n"
        ),
        format!("GET {exec} HTTP/1.1\r\n{UPGRADE}"),
        format!("GET {exec} HTTP/1.1\r\n{UPGRADE}sec-websocket-protocol: channel.k8s.io\r\n"),
        format!(
            "POST {exec} HTTP/1.1\r\nconnection: upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: v4.channel.k8s.io\r\n"
        ),
        format!("GET {exec}&tty=T HTTP/1.1\r\n{UPGRADE}{protocol}"),
        format!("GET {exec}&container=sidecar HTTP/1.1\r\n{UPGRADE}{protocol}"),
        // As somebody else.
        "GET /api/v1/namespaces/tallyport/secrets HTTP/1.1\r\nimpersonate-user: system:admin\r\n"
            .to_owned(),
        "GET /api/v1/namespaces/shop/pods HTTP/1.1\r\nimpersonate-group: system:masters\r\n"
            .to_owned(),
        format!(
            "GET /api/v1/namespaces/tallyport/pods HTTP/1.1\r\nauthorization: Bearer {admin}\r\n"
        ),
        // Around the path.
        "GET /api/v1/namespaces/shop/../tallyport/secrets HTTP/1.1\r\n".to_owned(),
        "GET /api/v1/namespaces/shop/%2e%2e/tallyport/secrets HTTP/1.1\r\n".to_owned(),
        "GET /api/v1/namespaces/shop/%252e%252e/tallyport/secrets HTTP/1.1\r\n".to_owned(),
        "GET /api/v1/watch/namespaces/shop/secrets HTTP/1.1\r\n".to_owned(),
        "GET /api/v1/namespaces/shop/pods/web-0/proxy/ HTTP/1.1\r\n".to_owned(),
        "GET /api/v1/namespaces/shop/services/x:80/proxy/ HTTP/1.1\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\n".to_owned(),
        "GET /logs/ HTTP/1.1\r\n".to_owned(),
        "GET /debug/pprof/ HTTP/1.1\r\n".to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_leads_past_the_gateway() {
    let Some(world) = World::start().await else { return };
    let admin = world.cluster.text("admin_token");
    let cases = cases(admin);
    let count = cases.len();
    for case in cases {
        let told = raw(&world, &format!("{case}host: prod\r\ncontent-length: 0\r\n\r\n")).await;
        assert!(told.starts_with("HTTP/1.1 4"), "{case}: {told}");
        assert!(!told.contains("uid=") && !told.contains("HTTP/1.1 101"), "{case}: {told}");
    }
    let smuggled = {
        use base64::Engine as _;
        let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(admin);
        format!(
            "sec-websocket-protocol: base64url.bearer.authorization.k8s.io.{token}, v4.channel.k8s.io\r\n"
        )
    };
    // A token among the subprotocols does not pass; without it, the request is what it is.
    let told =
        raw(&world, &format!("GET {EXEC} HTTP/1.1\r\nhost: prod\r\n{UPGRADE}{smuggled}\r\n")).await;
    assert!(
        told.starts_with("HTTP/1.1 101") && told.to_lowercase().contains("v4.channel.k8s.io"),
        "{told}"
    );
    assert!(told.contains("uid="), "{told}");
    let heard = std::fs::read_to_string(world.cluster.text("audit_log")).unwrap();
    let as_gateway =
        |it: &&str| it.contains("pods/web-0/exec") && it.contains("container=app&command=id");
    let users: Vec<&str> = heard.lines().filter(as_gateway).collect();
    assert!(users.iter().all(|it| it.contains("serviceaccount:tallyport:gateway")), "{users:?}");
    let refused =
        world.commands().await.into_iter().filter(|it| it.disposition == Disposition::Refused);
    assert_eq!(refused.count(), count, "each is on record");
}

/// Whoever answers in place of the cluster (a double: no API server does this), or a way to it that keeps what it was told before.
#[tokio::test(flavor = "multi_thread")]
async fn what_accepts_another_websocket_is_not_spoken_to() {
    let right = |key: &str| derive_accept_key(key.as_bytes());
    let other = |_: &str| derive_accept_key(b"another");
    let protocol = "sec-websocket-protocol: v4.channel.k8s.io\r\n";
    type Accepts = fn(&str) -> String;
    let answers: [(Accepts, &str, bool); 4] = [
        (right, protocol, true),
        (other, protocol, false),
        (right, "sec-websocket-protocol: v5.channel.k8s.io\r\n", false),
        (right, "", false),
    ];
    for (accepts, protocol_of_answer, may) in answers {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _open = switched(io, accepts, protocol_of_answer).await;
                    tokio::time::sleep(Duration::from_secs(5)).await;
                });
            }
        });
        let Some(world) = World::saying(&format!("url = 'http://127.0.0.1:{port}'")).await else {
            return;
        };
        let request = format!("GET {EXEC} HTTP/1.1\r\nhost: prod\r\n{UPGRADE}{protocol}\r\n");
        let told = raw(&world, &request).await;
        let status = if may { "HTTP/1.1 101" } else { "HTTP/1.1 502" };
        assert!(told.starts_with(status), "{protocol_of_answer}: {told}");
        if !may {
            let statement = "exec shop/web-0 -c app -- [\"id\"]";
            let ended = world.ended(statement).await;
            assert_eq!(ended.status, ResponseStatus::Interrupted, "{protocol_of_answer}");
        }
    }
}

/// Answers one request as if it became a WebSocket.
pub async fn switched(
    mut io: TcpStream,
    accepts: fn(&str) -> String,
    protocol: &str,
) -> Option<TcpStream> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = io.read_u8().await.ok()?;
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let mut fields = head.lines().filter_map(|it| it.split_once(": "));
    let key = fields.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let (_, key) = key?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {}\r\n{protocol}\r\n",
        accepts(key)
    );
    io.write_all(answer.as_bytes()).await.unwrap();
    Some(io)
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_told_and_on_record() {
    let Some(world) = World::saying("limits = { requests_per_minute = 3 }").await else { return };
    let get =
        "GET /api/v1/namespaces/shop/pods HTTP/1.1\r\nhost: prod\r\nconnection: close\r\n\r\n";
    for _ in 0..3 {
        let told = raw(&world, get).await;
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    }
    let told = raw(&world, get).await;
    assert!(told.starts_with("HTTP/1.1 429") && told.contains("TooManyRequests"), "{told}");
    let decision = world.decisions().await.pop().unwrap();
    assert_eq!(decision.policy_ids, ["tallyport:limit"]);
    assert_eq!(decision.effect, tallyport_schemas::Effect::Deny);
}
