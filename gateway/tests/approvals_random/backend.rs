//! A target that counts: it logs anybody in, tells the catalog of the masking fixture, and runs nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use gateway_core::sql::catalog::QUERIES;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

type Rows = Vec<Vec<Option<String>>>;

/// Of the fixture's database the one table that is written to: every gateway reads all of it.
static CATALOG: LazyLock<BTreeMap<String, Rows>> = LazyLock::new(|| {
    let json = include_str!("../../core/tests/fixtures/judged-catalog.json");
    let mut all: BTreeMap<String, Rows> = serde_json::from_str(json).unwrap();
    let text = |row: &[Option<String>], column: usize| row[column].clone().unwrap_or_default();
    let is_orders = |row: &[Option<String>]| text(row, 1) == "app" && text(row, 2) == "orders";
    let orders = all["relations"].iter().find(|row| is_orders(row)).unwrap()[0].clone();
    all.retain(|name, rows| {
        match name.as_str() {
            "relations" => rows.retain(|row| is_orders(row)),
            "columns" => rows.retain(|row| row[0] == orders),
            "database" | "path" | "schemas" => {}
            _ => return false,
        }
        true
    });
    all
});

/// Who is told what the target is asked.
#[async_trait]
pub trait Watch: Send + Sync + 'static {
    /// Somebody logged in, with these settings.
    fn dialled(&self, _startup: &BTreeMap<String, String>) {}
    /// Something is to be run; it is answered afterwards.
    async fn runs(&self, text: &str);
}

pub struct Backend {
    pub addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Backend {
    pub async fn start(watch: Arc<dyn Watch>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let session = Session { stream, watch: Arc::clone(&watch) };
                connections.spawn(session.serve());
            }
        });
        Self { addr, _tasks: tasks }
    }
}

struct Session {
    stream: TcpStream,
    watch: Arc<dyn Watch>,
}

/// The settings of a start-up packet.
fn settings(packet: &[u8]) -> BTreeMap<String, String> {
    let texts: Vec<String> = packet
        .split(|byte| *byte == 0)
        .map(|it| String::from_utf8_lossy(it).into_owned())
        .collect();
    texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag][..], &length, body].concat()
}

fn done(tag: &str) -> Vec<u8> {
    frame(b'C', &[tag.as_bytes(), b"\0"].concat())
}

fn rows(rows: &Rows) -> Vec<u8> {
    let width = rows.first().map_or(1, Vec::len);
    let mut shape = u16::try_from(width).unwrap().to_be_bytes().to_vec();
    for _ in 0..width {
        // No origin, text, of any length, in text format.
        shape.extend_from_slice(b"c\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    }
    let mut bytes = frame(b'T', &shape);
    for row in rows {
        let mut body = u16::try_from(row.len()).unwrap().to_be_bytes().to_vec();
        for value in row {
            match value {
                Some(text) => {
                    body.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
                    body.extend_from_slice(text.as_bytes());
                }
                None => body.extend_from_slice(&[0xff; 4]),
            }
        }
        bytes.extend(frame(b'D', &body));
    }
    bytes.extend(done(&format!("SELECT {}", rows.len())));
    bytes
}

impl Session {
    async fn serve(mut self) {
        // Whoever leaves in the middle has left.
        let _left = self.talk().await;
    }

    async fn talk(&mut self) -> std::io::Result<()> {
        let length = self.stream.read_u32().await?;
        let mut packet = vec![0; length as usize - 4];
        self.stream.read_exact(&mut packet).await?;
        if packet.starts_with(&80_877_102_u32.to_be_bytes()) {
            return Ok(());
        }
        self.watch.dialled(&settings(&packet[4..]));
        let mut hello = frame(b'R', &[0; 4]);
        for (name, value) in [
            ("server_version", "15.4"),
            ("client_encoding", "UTF8"),
            ("standard_conforming_strings", "on"),
            ("TimeZone", "UTC"),
        ] {
            hello.extend(frame(b'S', format!("{name}\0{value}\0").as_bytes()));
        }
        hello.extend(frame(b'K', &[0, 0, 0, 7, 0, 0, 0, 9]));
        hello.extend(frame(b'Z', b"I"));
        self.stream.write_all(&hello).await?;
        loop {
            let tag = self.stream.read_u8().await?;
            let length = self.stream.read_u32().await?;
            let mut body = vec![0; length as usize - 4];
            self.stream.read_exact(&mut body).await?;
            if tag == b'X' {
                return Ok(());
            }
            assert_eq!(tag, b'Q', "nobody here prepares anything");
            let text = String::from_utf8(body[..body.len() - 1].to_vec()).unwrap();
            let answer = self.answer(&text).await;
            self.stream.write_all(&answer).await?;
        }
    }

    async fn answer(&self, text: &str) -> Vec<u8> {
        if text.starts_with("BEGIN ISOLATION") {
            return [done("BEGIN"), done("SET"), frame(b'Z', b"T")].concat();
        }
        if text == "COMMIT" {
            return [done("COMMIT"), frame(b'Z', b"I")].concat();
        }
        if let Some(query) = QUERIES.iter().find(|query| query.sql == text) {
            let known = CATALOG.get(query.name).cloned().unwrap_or_default();
            return [rows(&known), frame(b'Z', b"T")].concat();
        }
        self.watch.runs(text).await;
        [done("DELETE 1"), frame(b'Z', b"I")].concat()
    }
}
