//! The scripted agent: an ordinary PostgreSQL driver on the local port of `tallyport connect`.

use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::exit::Failure;

/// What the agent saw of one statement.
#[derive(Debug)]
pub enum Seen {
    /// Rows: the column names, then the values as text.
    Rows {
        /// Column names.
        columns: Vec<String>,
        /// Values; `None` is NULL.
        rows: Vec<Vec<Option<String>>>,
    },
    /// An error, as the driver gives it.
    Error(String),
}

/// One connection of the agent.
pub struct Agent {
    client: tokio_postgres::Client,
    _driver: tokio::task::JoinHandle<()>,
}

impl Agent {
    /// Connects to the local port. The user and password are anything: the gateway ignores them.
    pub async fn connect(port: u16) -> Result<Self, String> {
        let options = format!(
            "host=127.0.0.1 port={port} user=anyone password=ignored dbname=sample application_name=demo-agent connect_timeout=15"
        );
        let (client, connection) =
            tokio_postgres::connect(&options, NoTls).await.map_err(|error| words(&error))?;
        let driver = tokio::spawn(async move {
            let _ended = connection.await;
        });
        Ok(Self { client, _driver: driver })
    }

    /// Runs one statement.
    pub async fn run(&self, sql: &str) -> Result<Seen, Failure> {
        let messages = match self.client.simple_query(sql).await {
            Ok(messages) => messages,
            Err(error) => return Ok(Seen::Error(words(&error))),
        };
        let mut columns = Vec::new();
        let mut rows = Vec::new();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(description) => {
                    columns = description.iter().map(|column| column.name().to_owned()).collect();
                }
                SimpleQueryMessage::Row(row) => {
                    rows.push(
                        (0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect(),
                    );
                }
                _ => {}
            }
        }
        Ok(Seen::Rows { columns, rows })
    }
}

/// The server's own words where there are some.
fn words(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || {
            let cause = std::error::Error::source(error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            format!("{error}{cause}")
        },
        |server| match server.hint() {
            Some(hint) => format!("{}\nHINT: {hint}", server.message()),
            None => server.message().to_owned(),
        },
    )
}
