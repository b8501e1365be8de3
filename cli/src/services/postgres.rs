//! A throw-away PostgreSQL for `demo` and `dev`: found on the machine, started on loopback, gone afterwards.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the server may take until it answers.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long it may take to stop before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
const SAMPLE_SQL: &str = include_str!("../../../deploy/examples/sample.sql");

/// A running server. Dropping it stops the server.
#[derive(Debug)]
pub struct ThrowAwayPostgres {
    server: Child,
    directory: tempfile::TempDir,
    port: u16,
    password: String,
}

/// The server could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No server is installed.
    #[error(
        "no PostgreSQL server on this machine; install one (apt-get install postgresql) or name your own database \
         with --target-url"
    )]
    NotInstalled,
    /// It runs as root and there is no user to lend the server to.
    #[error(
        "PostgreSQL refuses to run as root and there is no user `postgres`; run this as an ordinary user"
    )]
    NoUser,
    /// A step failed.
    #[error("{step} failed: {detail}")]
    Step {
        /// The step.
        step: &'static str,
        /// What it said.
        detail: String,
    },
    /// The file system said no.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl ThrowAwayPostgres {
    /// The role whose credential the gateway injects.
    pub const ROLE: &str = "tallyport_sample";
    /// The database with the sample data.
    pub const DATABASE: &str = "sample";

    /// Makes a cluster in a temporary directory, starts it on a free port of loopback and loads the sample data.
    ///
    /// # Errors
    /// See [`PostgresError`].
    pub fn start(password: String) -> Result<Self, PostgresError> {
        let programs = find_programs().ok_or(PostgresError::NotInstalled)?;
        let owner = server_user()?;
        let directory = tempfile::Builder::new()
            .prefix("tallyport-postgres-")
            .tempdir()
            .map_err(|source| io("creating its directory", source))?;
        prepare_directory(directory.path(), owner)?;
        let data = directory.path().join("data");
        run(
            "initdb",
            as_user(&programs.join("initdb"), owner)
                .args([
                    "-U",
                    "postgres",
                    "-A",
                    "trust",
                    "-E",
                    "UTF8",
                    "--no-locale",
                    "--no-sync",
                    "-D",
                ])
                .arg(&data)
                .current_dir(directory.path()),
        )?;
        let port = free_port()?;
        let server = serve(&programs, owner, directory.path(), port)?;
        let mut running = Self { server, directory, port, password };
        running.wait_until_ready(&programs)?;
        running.load(&programs)?;
        Ok(running)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The password of [`Self::ROLE`].
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    fn psql(&self, programs: &Path, database: &str) -> Command {
        let mut command = Command::new(programs.join("psql"));
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"]);
        command.arg(self.directory.path()).args(["-p", &self.port.to_string()]);
        command
    }

    fn wait_until_ready(&mut self, programs: &Path) -> Result<(), PostgresError> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            // Its own words say more than those of whoever finds nobody.
            if matches!(self.server.try_wait(), Ok(Some(_))) {
                let log = std::fs::read_to_string(self.directory.path().join("postgres.log"));
                let log = log.unwrap_or_default();
                let detail = log.lines().rev().take(5).collect::<Vec<_>>();
                let detail = detail.into_iter().rev().collect::<Vec<_>>().join("; ");
                return Err(PostgresError::Step { step: "starting the server", detail });
            }
            match run("psql", self.psql(programs, "postgres").args(["-c", "SELECT 1"])) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn load(&self, programs: &Path) -> Result<(), PostgresError> {
        let role = format!(
            "SET password_encryption = 'scram-sha-256';\n\
             CREATE ROLE {role} LOGIN PASSWORD '{password}';\n\
             GRANT USAGE ON SCHEMA app, hr TO {role};\n\
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA app, hr TO {role};\n\
             ALTER ROLE {role} SET search_path = app, public;\n",
            role = Self::ROLE,
            password = self.password,
        );
        run(
            "createdb",
            self.psql(programs, "postgres")
                .args(["-c", &format!("CREATE DATABASE {}", Self::DATABASE)]),
        )?;
        // By standard input: the text holds the password, so it is never a file or an argument.
        let text = format!("{SAMPLE_SQL}\n{role}ANALYZE;\n");
        run_with_input("loading the sample data", &mut self.psql(programs, Self::DATABASE), &text)
    }
}

impl Drop for ThrowAwayPostgres {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown: sessions end, nothing is waited for.
        let pid = self.server.id().to_string();
        let _sent = Command::new("kill").args(["-INT", &pid]).stderr(Stdio::null()).status();
        let deadline = Instant::now() + STOP_DEADLINE;
        while Instant::now() < deadline {
            if matches!(self.server.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _killed = self.server.kill();
        let _reaped = self.server.wait();
    }
}

fn serve(
    programs: &Path,
    owner: Option<Owner>,
    directory: &Path,
    port: u16,
) -> Result<Child, PostgresError> {
    let hba = directory.join("pg_hba.conf");
    write(&hba, "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n")?;
    let log = std::fs::File::create(directory.join("postgres.log"))
        .map_err(|source| io("creating its log", source))?;
    let errors = log.try_clone().map_err(|source| io("opening its log", source))?;
    let settings = [
        format!("unix_socket_directories={}", directory.display()),
        format!("hba_file={}", hba.display()),
        "listen_addresses=127.0.0.1".to_owned(),
        "log_statement=all".to_owned(),
        "log_line_prefix=%m [%p] ".to_owned(),
        "fsync=off".to_owned(),
        "max_connections=200".to_owned(),
    ];
    let mut command = as_user(&programs.join("postgres"), owner);
    command.arg("-D").arg(directory.join("data")).args(["-p", &port.to_string()]);
    for setting in settings {
        command.args(["-c", &setting]);
    }
    // A group of its own: Ctrl-C in the terminal must not stop it before the gateway has drained.
    command.stdin(Stdio::null()).stdout(log).stderr(errors).current_dir(directory).process_group(0);
    command.spawn().map_err(|source| io("starting postgres", source))
}

/// Where the newest installed server's programs are.
fn find_programs() -> Option<PathBuf> {
    let version = |path: &Path| -> u32 {
        path.parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_string_lossy().parse().ok())
            .unwrap_or_default()
    };
    let debian =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = debian.map(|entry| entry.path().join("bin")).collect();
    found.sort_by_key(|path| std::cmp::Reverse(version(path)));
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    found.extend(std::env::split_paths(&on_path));
    found
        .into_iter()
        .find(|path| ["initdb", "postgres", "psql"].iter().all(|name| path.join(name).is_file()))
}

/// The user the server runs as, when this process is root.
#[derive(Clone, Copy, Debug)]
struct Owner {
    uid: u32,
    gid: u32,
}

fn server_user() -> Result<Option<Owner>, PostgresError> {
    let own = std::fs::metadata("/proc/self").map_err(|source| io("reading /proc/self", source))?;
    if std::os::unix::fs::MetadataExt::uid(&own) != 0 {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd")
        .map_err(|source| io("reading /etc/passwd", source))?;
    passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find_map(|fields| match fields.as_slice() {
            ["postgres", _, uid, gid, ..] => {
                Some(Owner { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
            }
            _ => None,
        })
        .map(Some)
        .ok_or(PostgresError::NoUser)
}

fn as_user(program: &Path, owner: Option<Owner>) -> Command {
    let mut command = Command::new(program);
    if let Some(owner) = owner {
        command.uid(owner.uid).gid(owner.gid);
    }
    command
}

fn prepare_directory(directory: &Path, owner: Option<Owner>) -> Result<(), PostgresError> {
    std::fs::create_dir_all(directory).map_err(|source| io("creating its directory", source))?;
    // Whoever may enter may be superuser through the socket.
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
        .map_err(|source| io("closing its directory", source))?;
    if let Some(owner) = owner {
        std::os::unix::fs::chown(directory, Some(owner.uid), Some(owner.gid))
            .map_err(|source| io("handing its directory to the server's user", source))?;
    }
    Ok(())
}

fn free_port() -> Result<u16, PostgresError> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")
        .map_err(|source| io("looking for a free port", source))?;
    Ok(listener.local_addr().map_err(|source| io("looking for a free port", source))?.port())
}

fn write(path: &Path, text: &str) -> Result<(), PostgresError> {
    let failed = |source| io(&format!("writing {}", path.display()), source);
    std::fs::write(path, text).map_err(failed)?;
    // The server may be another user's, and nothing in it is secret; what the directory is, is said by itself.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).map_err(failed)
}

fn run(step: &'static str, command: &mut Command) -> Result<(), PostgresError> {
    run_with_input(step, command, "")
}

fn run_with_input(
    step: &'static str,
    command: &mut Command,
    input: &str,
) -> Result<(), PostgresError> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|source| io(step, source))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early breaks the pipe; its own words say why.
        let _written = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|source| io(step, source))?;
    if output.status.success() {
        return Ok(());
    }
    let detail = String::from_utf8_lossy(&output.stderr).trim().chars().take(2_000).collect();
    Err(PostgresError::Step { step, detail })
}

fn io(what: &str, source: std::io::Error) -> PostgresError {
    PostgresError::Io { what: what.to_owned(), source }
}
