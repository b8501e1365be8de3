//! What the name in a request means now: an approval must not outlive it. The gateway asks the target by itself, on record.

use std::time::Instant;

use gateway_core::http::Shown;
use gateway_core::kubernetes::POD_PIN;
use gateway_core::passage::request::{Answering, Closing, Wanted, own_request};
use gateway_core::target::Question;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tallyport_schemas::{CommandId, Recording, ResponseStatus};
use tokio::time::timeout;
use tracing::debug_span;

use super::session::Session;
use super::wire::WireError;
use crate::gate::asker;

/// The largest answer that is looked into.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The rule that such requests go by.
const RULE: &str = "tallyport:pin";

impl Session {
    /// SHA-256 of what the name means; none where nothing is pinned.
    ///
    /// # Errors
    /// Why that is not known: then nothing can be agreed to.
    pub(super) async fn pin(&self, question: &Question) -> Result<Option<String>, String> {
        let Some(asked) = self.target.protocol.pinned_by(question) else { return Ok(None) };
        let asker = asker(&self.tunnel.identity.principal);
        let _pass = self.target.gate.pass(asker).map_err(|shut| shut.to_string())?;
        let unknown = || "what its name means cannot be asked now; try again later".to_owned();
        let command_id = CommandId::new();
        let wanted = Wanted::new(&asked.method, asked.target(), asked.fields, asked.body);
        let version = self.tunnel.inner.policy.current().version().to_owned();
        let request = own_request((RULE, &version), wanted, command_id, &mut self.scribe.lock());
        let request = request.map_err(|_| unknown())?;
        let request = self.on_record(request, debug_span!("commit_intent")).await;
        let request = request.ok_or_else(unknown)?;
        let began = Instant::now();
        let heard = async {
            let mut begun = self.target.wire.send(request).await?;
            let mut whole = Vec::new();
            while let Some(piece) = begun.next().await? {
                whole.extend_from_slice(&piece);
                if whole.len() > MAX_BYTES {
                    return Err(WireError::Fields);
                }
            }
            Ok((begun.status, whole))
        };
        let heard =
            timeout(self.target.config.timeout, heard).await.unwrap_or(Err(WireError::Late));
        let closing = Closing {
            status: if heard.is_ok() { ResponseStatus::Ok } else { ResponseStatus::Interrupted },
            masked_values: 0,
            findings: Vec::new(),
            duration_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        };
        // Nobody sees of the answer but that it came.
        let answering = Answering::new(command_id, Recording::Digest);
        let ended = answering.last(Shown::nothing(), closing, &mut self.scribe.lock());
        let ended = ended.map_err(|_| unknown())?;
        let ended = self.on_record(ended, debug_span!("commit_outcome")).await;
        let _on_record = ended.ok_or_else(unknown)?;
        let (status, whole) = heard.map_err(|_| unknown())?;
        if status != 200 {
            return Err("there is nothing of this name, or the gateway may not see it".to_owned());
        }
        let object: Value = serde_json::from_slice(&whole).map_err(|_| unknown())?;
        let uid = object.pointer(POD_PIN).and_then(Value::as_str).ok_or_else(unknown)?;
        Ok(Some(hex::encode(Sha256::digest(uid))))
    }
}
