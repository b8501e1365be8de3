//! A person's sign-in, kept in a file of theirs between two commands, and renewed by whichever needs it first.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::device::DeviceFlow;
use super::provider::{ClientAuthentication, ClientSettings, Granted};
use crate::SecretToken;
use crate::client::TokenError;

/// The largest file.
const MAX_BYTES: u64 = 256 * 1024;

/// A sign-in in a file that only its owner can read.
#[derive(Clone, Debug)]
pub struct Login {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    issuer: String,
    client_id: String,
    audience: Option<String>,
    scope: Option<String>,
    roots_pem: Option<String>,
    #[serde(serialize_with = "SecretToken::exposed")]
    access_token: SecretToken,
    #[serde(serialize_with = "SecretToken::exposed_or_none")]
    refresh_token: Option<SecretToken>,
    renew_at: Timestamp,
    expires_at: Timestamp,
}

impl Login {
    /// At this place; whether there is a sign-in, its use shows.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Whether there is a sign-in, over or not.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Keeps what was granted, in place of what is there.
    ///
    /// # Errors
    /// [`TokenError::Login`] when the file cannot be written.
    pub fn keep(&self, settings: &ClientSettings, granted: Granted) -> Result<(), TokenError> {
        let pem =
            settings.roots_pem.as_deref().map(|pem| String::from_utf8_lossy(pem).into_owned());
        self.write(&Kept {
            issuer: settings.issuer.clone(),
            client_id: settings.client_id.clone(),
            audience: settings.audience.clone(),
            scope: settings.scope.clone(),
            roots_pem: pem,
            renew_at: Timestamp::now() + granted.renew_after(),
            expires_at: Timestamp::now() + granted.life,
            access_token: granted.access_token,
            refresh_token: granted.refresh_token,
        })
    }

    /// A token that is valid now: the kept one, or the next.
    ///
    /// # Errors
    /// [`TokenError`].
    ///
    /// # Cancel safety
    /// A dropped call may have used up the refresh token: the next one then says to sign in again.
    pub(super) async fn token(&self) -> Result<SecretToken, TokenError> {
        let kept = self.read()?;
        if Timestamp::now() < kept.renew_at {
            return Ok(kept.access_token);
        }
        // Of several commands one renews: a refresh token is for one use (RFC 9700 section 4.14).
        let _lock = self.locked().await?;
        let kept = self.read()?;
        let now = Timestamp::now();
        if now < kept.renew_at {
            return Ok(kept.access_token);
        }
        let Some(refresh_token) = &kept.refresh_token else {
            let over = || self.failed("the sign-in is over; run `tallyport login` again");
            return (now < kept.expires_at).then_some(kept.access_token).ok_or_else(over);
        };
        let settings = kept.settings();
        let granted = DeviceFlow::new(settings.clone())?.renew(refresh_token).await;
        let mut granted = granted.map_err(|error| match error {
            TokenError::Refused { .. } => {
                self.failed("the issuer does not renew the sign-in; run `tallyport login` again")
            }
            other => other,
        })?;
        granted.refresh_token = granted.refresh_token.or_else(|| kept.refresh_token.clone());
        let token = granted.access_token.clone();
        self.keep(&settings, granted)?;
        Ok(token)
    }

    /// The kept token is not taken: the next one must be new.
    pub(super) async fn forget(&self) -> Result<(), TokenError> {
        let _lock = self.locked().await?;
        let kept = self.read()?;
        self.write(&Kept { renew_at: Timestamp::MIN, ..kept })
    }

    /// Ends the sign-in here, and at the issuer as far as it takes that (RFC 7009). Returns which issuer it was.
    ///
    /// # Errors
    /// [`TokenError::Login`] when there is none.
    ///
    /// # Cancel safety
    /// A dropped call may have ended it here and not at the issuer.
    pub async fn end(&self) -> Result<(String, Result<(), TokenError>), TokenError> {
        // A command that renews it now would put it back.
        let _lock = self.locked().await?;
        let kept = self.read()?;
        std::fs::remove_file(&self.path).map_err(|error| self.failed(&error.to_string()))?;
        let token = kept.refresh_token.as_ref().unwrap_or(&kept.access_token);
        let told = match DeviceFlow::new(kept.settings()) {
            Ok(flow) => flow.end(token).await,
            Err(error) => Err(error),
        };
        Ok((kept.issuer, told))
    }

    fn read(&self) -> Result<Kept, TokenError> {
        let mut text = Zeroizing::new(String::new());
        let file = File::open(&self.path)
            .map_err(|error| self.failed(&format!("{error}; run `tallyport login`")))?;
        let mode = file.metadata().map_err(|error| self.failed(&error.to_string()))?.permissions();
        if mode.mode() & 0o077 != 0 {
            return Err(self.failed("others can read it: delete it and sign in again"));
        }
        file.take(MAX_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| self.failed(&error.to_string()))?;
        // Not the library's text: it quotes values, and this file holds tokens.
        serde_json::from_str(&text)
            .map_err(|_| self.failed("it is no sign-in; run `tallyport login` again"))
    }

    /// Whole or not at all.
    fn write(&self, kept: &Kept) -> Result<(), TokenError> {
        let failed = |error: &dyn std::fmt::Display| self.failed(&error.to_string());
        let text = Zeroizing::new(serde_json::to_string(kept).map_err(|error| failed(&error))?);
        if std::fs::metadata(&self.path).is_ok_and(|there| !there.is_file()) {
            return Err(
                self.failed("it is no regular file, and would be replaced; name another path")
            );
        }
        self.make_folder()?;
        let new = self.path.with_extension(format!("new-{}", tallyport_schemas::EventId::new()));
        let written = OpenOptions::new()
            .write(true)
            // Not through what somebody else may have put there.
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&new, &self.path));
        written.map_err(|error| failed(&error))
    }

    fn make_folder(&self) -> Result<(), TokenError> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder.unwrap_or(Path::new(".")));
        made.map_err(|error| self.failed(&error.to_string()))
    }

    async fn locked(&self) -> Result<File, TokenError> {
        let login = self.clone();
        let locked = tokio::task::spawn_blocking(move || login.lock()).await;
        locked.map_err(|_| self.failed("the wait for its lock broke off"))?
    }

    /// Held until it is dropped, or its process ends.
    fn lock(&self) -> Result<File, TokenError> {
        let path = self.path.with_extension("lock");
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        file.and_then(|file| file.lock().map(|()| file))
            .map_err(|error| self.failed(&format!("its lock: {error}")))
    }

    fn failed(&self, reason: &str) -> TokenError {
        TokenError::Login { path: self.path.clone(), reason: reason.to_owned() }
    }
}

impl Kept {
    fn settings(&self) -> ClientSettings {
        ClientSettings {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            authentication: ClientAuthentication::Public,
            audience: self.audience.clone(),
            scope: self.scope.clone(),
            roots_pem: self.roots_pem.clone().map(String::into_bytes),
        }
    }
}
