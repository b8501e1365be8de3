//! A billing service of a few lines: it takes refunds and says what it was sent. A double: no real one can be had here.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

const SERVICE: &str = r#"
import http.server, json, sys
class Billing(http.server.BaseHTTPRequestHandler):
    def answer(self, body):
        if self.headers["authorization"] != "Bearer of-the-gateway":
            self.send_response(401); self.end_headers(); return
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def do_GET(self):
        self.answer({"customer": self.path.rsplit("/", 1)[1], "card": "4111111111111111", "balance": 12.50})
    def do_POST(self):
        sent = self.rfile.read(int(self.headers["content-length"] or 0))
        print(self.path, sent.decode(), file=sys.stderr, flush=True)
        self.answer({"refunded": json.loads(sent)["amount"]})
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Billing)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

pub struct Billing {
    child: Child,
    pub port: u16,
}

impl Billing {
    pub fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-c", SERVICE])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }

    /// What refunds it was sent, once it is stopped.
    pub fn refunds(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        let stderr = self.child.stderr.take().unwrap();
        BufReader::new(stderr).lines().map(Result::unwrap).collect()
    }
}
