//! A person's sign-in, kept in a file: by the development issuer's device codes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use tallyport_access::client::{
    ClientAuthentication, ClientSettings, DeviceFlow, Login, TokenError, TokenSource,
};
use tallyport_access::dev_issuer::{AUDIENCE, DevClient, DevIssuer, PEOPLE_CLIENT};

struct Desk {
    issuer: DevIssuer,
    folder: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        let at = "127.0.0.1:0".parse().unwrap();
        let issuer = DevIssuer::start(at, DevClient::defaults()).await.unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    fn settings(&self) -> ClientSettings {
        ClientSettings {
            issuer: self.issuer.issuer_url.clone(),
            client_id: PEOPLE_CLIENT.to_owned(),
            authentication: ClientAuthentication::Public,
            audience: Some(AUDIENCE.to_owned()),
            scope: None,
            roots_pem: None,
        }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("state/login.json")
    }

    /// What a person answers on the issuer's page; nobody is a no.
    async fn sign_in(&self, person: &str) -> Result<Login, TokenError> {
        let flow = DeviceFlow::new(self.settings())?;
        let prompt = flow.begin().await?;
        let at = format!("{}/device", self.issuer.issuer_url);
        let form = [("user_code", prompt.user_code.as_str()), ("person", person)];
        assert!(
            reqwest::Client::new().post(at).form(&form).send().await.unwrap().status().is_success()
        );
        let login = Login::at(self.file());
        login.keep(&self.settings(), flow.finish(&prompt).await?)?;
        Ok(login)
    }
}

fn change(file: &Path, name: &str, value: &str) {
    let mut kept: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    kept[name] = value.into();
    std::fs::write(file, kept.to_string()).unwrap();
}

fn mode(file: &Path) -> u32 {
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_sign_in_is_kept_for_its_owner_renewed_once_by_many_and_ended() {
    let desk = Desk::new().await;
    let login = desk.sign_in("approver").await.unwrap();
    assert_eq!((mode(&desk.file()), mode(desk.file().parent().unwrap())), (0o600, 0o700));
    let source = TokenSource::login(login.clone());
    let first = source.token().await.unwrap();
    assert_eq!(source.token().await.unwrap(), first, "while it lasts");
    // Its end is near, and many commands find that at once. A refresh token is for one use: two renewals would fail.
    change(&desk.file(), "renew_at", "2020-01-01T00:00:00Z");
    let all = (0..8).map(|_| {
        let source = TokenSource::login(login.clone());
        tokio::spawn(async move { source.token().await.unwrap() })
    });
    for next in futures_all(all).await {
        assert_ne!(next, first);
        assert_eq!(next, source.token().await.unwrap(), "all have the same");
    }
    assert_eq!(mode(&desk.file()), 0o600);
    source.forget().await;
    assert_ne!(source.token().await.unwrap(), first, "one that was refused is renewed");
    let refresh: Value = serde_json::from_slice(&std::fs::read(desk.file()).unwrap()).unwrap();
    let (issuer, told) = login.end().await.unwrap();
    assert_eq!(issuer, desk.issuer.issuer_url);
    told.unwrap();
    assert!(!login.exists());
    assert!(matches!(source.token().await, Err(TokenError::Login { .. })));
    // What renews it is of no use any more.
    std::fs::write(desk.file(), refresh.to_string()).unwrap();
    std::fs::set_permissions(desk.file(), std::fs::Permissions::from_mode(0o600)).unwrap();
    change(&desk.file(), "renew_at", "2020-01-01T00:00:00Z");
    let over = source.token().await.unwrap_err().to_string();
    assert!(over.contains("run `tallyport login` again"), "{over}");
}

async fn futures_all<T>(tasks: impl Iterator<Item = tokio::task::JoinHandle<T>>) -> Vec<T> {
    let mut all = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        all.push(task.await.unwrap());
    }
    all
}

#[tokio::test]
async fn a_file_that_others_can_read_or_that_is_none_is_not_used() {
    let desk = Desk::new().await;
    let login = desk.sign_in("approver").await.unwrap();
    let source = TokenSource::login(login);
    for (mode, text) in [(0o644, None), (0o660, None), (0o600, Some("{")), (0o600, Some("[]"))] {
        if let Some(text) = text {
            std::fs::write(desk.file(), text).unwrap();
        }
        std::fs::set_permissions(desk.file(), std::fs::Permissions::from_mode(mode)).unwrap();
        let error = source.token().await.unwrap_err();
        assert!(matches!(error, TokenError::Login { .. }), "{mode:o}: {error}");
    }
}

/// What is kept takes the place of the file: of a pipe or a device there would be none any more.
#[tokio::test]
async fn what_is_no_regular_file_is_not_replaced() {
    let desk = Desk::new().await;
    std::fs::create_dir_all(desk.file().parent().unwrap()).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(desk.file()).unwrap();
    let error = desk.sign_in("approver").await.err().unwrap();
    assert!(error.to_string().contains("it is no regular file"), "{error}");
    assert!(!desk.file().is_file() && desk.file().exists());
}

#[tokio::test]
async fn a_person_who_says_no_is_not_signed_in() {
    let desk = Desk::new().await;
    let refused = desk.sign_in("").await.err().unwrap();
    assert!(
        matches!(&refused, TokenError::Refused { code } if code == "access_denied"),
        "{refused}"
    );
    assert!(!desk.file().exists());
}
