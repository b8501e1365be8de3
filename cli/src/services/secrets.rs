//! Secrets that are changed while this process runs, of what does not read them where it uses them.

use std::time::Duration;

use tallyport_gateway::config::{Credential, Secret};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

/// How often files are looked at, and commands whose output is no longer fresh are run.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Takes a secret. Whether it is another than the last one; or why it is no good, and the last one counts on.
type Take = Box<dyn FnMut(&Secret) -> Result<bool, String> + Send>;

/// A secret, and whoever has it.
pub struct Changing {
    key: String,
    from: Credential,
    take: Take,
    /// What was said last of what went wrong.
    refused: Option<String>,
}

impl Changing {
    /// `key` is its name in the configuration.
    pub fn new(
        key: &str,
        from: &Credential,
        take: impl FnMut(&Secret) -> Result<bool, String> + Send + 'static,
    ) -> Self {
        Self { key: key.to_owned(), from: from.clone(), take: Box::new(take), refused: None }
    }

    async fn look(&mut self) {
        let taken = self.from.current().await.map_err(|error| error.to_string());
        match taken.and_then(|secret| (self.take)(&secret)) {
            Ok(changed) => {
                if changed {
                    tracing::info!(key = self.key, "the secret was read anew");
                }
                self.refused = None;
            }
            Err(why) if self.refused.as_ref() == Some(&why) => {}
            Err(why) => {
                tracing::error!(key = self.key, %why, "the secret cannot be read anew; the one before it counts on");
                self.refused = Some(why);
            }
        }
    }
}

/// Hands over what is new, until the handle is dropped.
pub fn follow(all: Vec<Changing>) -> AbortOnDropHandle<()> {
    // A process has the environment that it began with.
    let changes = |one: &Changing| matches!(one.from, Credential::File(_) | Credential::Command(_));
    let mut all: Vec<_> = all.into_iter().filter(changes).collect();
    AbortOnDropHandle::new(tokio::spawn(async move {
        if all.is_empty() {
            return;
        }
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            for one in &mut all {
                one.look().await;
            }
        }
    }))
}
