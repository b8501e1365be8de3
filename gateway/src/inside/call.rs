//! One statement for one caller: run to its end, or to where it waits for an approval.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tallyport_access::Identity;
use tallyport_schemas::TokenBinding;

use super::parked::{Came, Runner, Who};
use super::{InsideSession, NotRun, Page, Wish};
use crate::service::{Caller, Inner, Inside};
use crate::tunnel::BearerToken;

/// A statement, and where it is to run.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    /// What runs it, as the record says it: `tallyport-mcp/query`.
    pub application: &'static str,
    pub target: String,
    pub database: Option<String>,
    pub text: String,
    /// In text; absent for NULL.
    pub values: Vec<Option<String>>,
    /// Rows of a page, where the session is to stay for the rest; absent, it runs whole.
    pub page_rows: Option<u32>,
    /// Only what is proven to read may run.
    pub reads_only: bool,
}

/// A statement that ran.
pub(crate) struct Ran {
    pub page: Page,
    /// Where rows are left and it was asked to stay.
    pub session: Option<InsideSession>,
}

/// Who calls, as far as it matters whether two callers are the same: everything that policy sees of them.
pub(crate) fn who(caller: &Caller) -> Who {
    name_of(caller.identity())
}

fn name_of(identity: &Identity) -> Who {
    let who = json!([
        identity.principal,
        identity.delegation,
        identity.agent,
        // Whoever has a token that anybody can use is not who proved that theirs is their own.
        identity.binding.map(TokenBinding::as_str),
    ]);
    Sha256::digest(who.to_string()).into()
}

impl Statement {
    /// Runs it for `caller`. Where it waits for an approval longer than `patience`, what it waits for is given, and the same
    /// statement of the same caller, asked for again, goes on with it: it runs once for one approval.
    ///
    /// # Cancel safety
    /// A dropped call cancels what it began, unless it was given what it waits for.
    pub(crate) async fn call(
        self,
        inner: &Arc<Inner>,
        caller: &Arc<Caller>,
        token: Option<BearerToken>,
        patience: Duration,
    ) -> Came {
        let who = who(caller);
        let key = self.key(&who);
        let (gateway, caller) = (Arc::clone(inner), Arc::clone(caller));
        let run = |runner: Runner| async move {
            let result = tokio::select! {
                biased;
                // What it holds is dropped: its session ends, and what it asked for is withdrawn with it.
                () = runner.cancelled() => Err(NotRun::Lost),
                result = self.run(&gateway, &caller, token, &runner) => result,
            };
            gateway.until_it_stops(runner.over(result)).await;
        };
        inner.parked.call((key, who), patience, run, |task| inner.spawn(task)).await
    }

    async fn run(
        &self,
        inner: &Arc<Inner>,
        caller: &Caller,
        token: Option<BearerToken>,
        runner: &Runner,
    ) -> Result<Ran, NotRun> {
        let (target, reads_only) = (self.target.as_str(), self.reads_only);
        let wish = Wish {
            inside: Inside { caller, token, target, reads_only },
            database: self.database.as_deref(),
            application: self.application,
        };
        let mut session = InsideSession::open(inner, wish).await?;
        let tap = Arc::clone(session.tap());
        let page = {
            let page = session.run(&self.text, &self.values, self.page_rows);
            let mut page = pin!(page);
            loop {
                tokio::select! {
                    page = &mut page => break page,
                    waiting = tap.waiting() => runner.waits(waiting),
                }
            }
        };
        match page {
            Ok(page) if page.has_more => Ok(Ran { page, session: Some(session) }),
            Ok(page) => {
                inner.spawn(session.close());
                Ok(Ran { page, session: None })
            }
            Err(NotRun::Failed(failure)) if !failure.is_fatal => {
                inner.spawn(session.close());
                Err(NotRun::Failed(failure))
            }
            Err(why) => Err(why),
        }
    }

    /// Names a call: the same of the same caller has the same.
    fn key(&self, who: &Who) -> [u8; 32] {
        let what = json!([
            hex::encode(who),
            self.application,
            self.target,
            self.database,
            self.text,
            self.values,
            self.page_rows,
            self.reads_only,
        ]);
        Sha256::digest(what.to_string()).into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;
    use tallyport_schemas::{Actor, AgentAttributes, AuthMethod, Principal, PrincipalKind};

    use super::*;

    /// Nobody gets the result or the cursor of somebody whom policy would tell apart from them.
    #[test]
    fn callers_are_the_same_where_policy_sees_the_same() {
        let principal = Principal {
            issuer: "https://idp".to_owned(),
            subject: "a".to_owned(),
            display_name: "a".to_owned(),
            kind: PrincipalKind::Agent,
            groups: vec!["g".to_owned()],
            owner: None,
        };
        let plain = Identity {
            method: AuthMethod::Oidc,
            principal: principal.clone(),
            email: None,
            delegation: Vec::new(),
            agent: AgentAttributes::default(),
            scopes: BTreeSet::new(),
            expires_at: Timestamp::MAX,
            token_id: None,
            key_id: None,
            binding: None,
        };
        let actor = Actor { issuer: None, subject: "b".to_owned() };
        let others = [
            Identity {
                principal: Principal { subject: "b".to_owned(), ..principal.clone() },
                ..plain.clone()
            },
            Identity { principal: Principal { groups: Vec::new(), ..principal }, ..plain.clone() },
            Identity { delegation: vec![actor], ..plain.clone() },
            Identity {
                agent: AgentAttributes { task: Some("t".to_owned()), ..AgentAttributes::default() },
                ..plain.clone()
            },
            Identity { binding: Some(TokenBinding::Dpop), ..plain.clone() },
        ];
        let mut names = BTreeSet::from([name_of(&plain)]);
        for other in &others {
            assert!(names.insert(name_of(other)), "{other:?}");
        }
        let renewed = Identity { token_id: Some("next".to_owned()), ..plain.clone() };
        assert_eq!(name_of(&renewed), name_of(&plain), "a new token is no new caller");
    }
}
