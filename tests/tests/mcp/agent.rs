//! A client of the Python library, told what to call.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use dev_services::repo_root;
use serde_json::{Value, json};
use tallyport_tests::{Stack, binary, said, say_not_run};

pub struct Agent {
    pub revision: String,
    /// All that it was ever told.
    pub heard: String,
    /// The scopes for which a person signed in before it began.
    pub signed_in: Vec<Value>,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// Where `/mcp` is, and a token of this client of the development issuer.
pub fn place(stack: &Stack, client: &str) -> (String, String, String) {
    let ready = stack.ready();
    let clients = ready["issuer"]["clients"].as_array().unwrap();
    let known = clients.iter().find(|known| known["id"] == client).unwrap();
    let who = format!("{client}:{}", known["secret"].as_str().unwrap());
    let token = Command::new("curl")
        .args(["-s", "--noproxy", "*", "-u", &who, "-d", "grant_type=client_credentials"])
        .arg(ready["issuer"]["token_url"].as_str().unwrap())
        .output()
        .unwrap();
    let token: Value = serde_json::from_slice(&token.stdout).unwrap();
    let port = ready["gateway"]["https"].as_str().unwrap().rsplit_once(':').unwrap().1;
    let url = format!("https://localhost:{port}/mcp");
    let ca = ready["ca"].as_str().unwrap().to_owned();
    (url, ca, token["access_token"].as_str().unwrap().to_owned())
}

impl Agent {
    /// None where the library cannot be installed, which is said.
    pub fn start(test: &str, stack: &Stack, client: &str, mode: &str) -> Option<Self> {
        Self::start_at("", test, stack, client, mode)
    }

    /// The same at one server behind the gateway.
    pub fn start_at(
        server: &str,
        test: &str,
        stack: &Stack,
        client: &str,
        mode: &str,
    ) -> Option<Self> {
        let (url, ca, token) = place(stack, client);
        let url = format!("{url}{server}");
        Self::run(
            test,
            Command::new(repo_root().join("deploy/dev/mcp-client"))
                .args([mode, &url, &ca])
                .env("TOKEN", token),
        )
    }

    /// One that shows pages, and says which.
    pub fn start_showing(test: &str, stack: &Stack, client: &str) -> Option<Self> {
        let (url, ca, token) = place(stack, client);
        Self::run(
            test,
            Command::new(repo_root().join("deploy/dev/mcp-client"))
                .args(["auto", &url, &ca])
                .env("TOKEN", token)
                .env("SHOWS", "1"),
        )
    }

    /// The same at `tallyport mcp` as its child.
    pub fn start_on_stdio(test: &str, stack: &Stack, client: &str, mode: &str) -> Option<Self> {
        let ready = stack.ready_file().to_str().unwrap().to_owned();
        let mut command = Command::new(repo_root().join("deploy/dev/mcp-client"));
        command.args(["stdio", mode]).arg(binary());
        Self::run(test, command.args(["mcp", "--ready-file", &ready, "--as", client]))
    }

    pub fn run(test: &str, command: &mut Command) -> Option<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut from = BufReader::new(from);
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        if line.is_empty() {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(75), "{}", said(&output));
            say_not_run(test, &said(&output));
            return None;
        }
        let first: Value = serde_json::from_str(&line).unwrap();
        let heard = String::new();
        let mut agent =
            Self { revision: String::new(), heard, signed_in: Vec::new(), child, to, from };
        let mut told = first;
        while let Some(scope) = told.get("signs_in") {
            agent.signed_in.push(scope.clone());
            told = agent.hear();
        }
        agent.revision = told["revision"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
        Some(agent)
    }

    pub fn sees_its_tools(&mut self) {
        let tools = self.ask(&json!({ "list": true }));
        for name in [
            "whoami",
            "list_tables",
            "describe_table",
            "query",
            "explain",
            "execute",
            "request_access",
            "approval_status",
        ] {
            assert!(tools["tools"][name].is_string(), "{name} is not in {tools}");
        }
    }

    pub fn good(&mut self, tool: &str, arguments: Value) -> Value {
        let told = self.call(tool, arguments);
        assert_ne!(told["error"], true, "{told}");
        told["structured"].clone()
    }

    pub fn bad(&mut self, tool: &str, arguments: Value) -> Value {
        let told = self.call(tool, arguments);
        assert_eq!(told["error"], true, "{told}");
        told["structured"]["error"].clone()
    }

    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        // fastmcp raises what a tool says of its failure, unless it is told not to.
        let how =
            if self.revision == "fastmcp" { json!({ "raise_on_error": false }) } else { json!({}) };
        self.ask(&json!({ "tool": tool, "arguments": arguments, "how": how }))
    }

    fn ask(&mut self, what: &Value) -> Value {
        writeln!(self.to, "{what}").unwrap();
        self.hear()
    }

    /// The next thing that it is told.
    pub fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        self.heard += &line;
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
