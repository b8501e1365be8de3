//! More of the script: two things at once, and what other gateways say on the log.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rand::Rng as _;
use serde_json::json;
use tallyport_eventlog::{Record, Topic};
use tallyport_schemas::{
    Approval, ApprovalId, ApprovalRequest, ApprovalRequirement, ApprovalScope, Asked, AskedAccess,
    Body, Context, Draft, Producer, ProducerId, Revocation, TargetKind, TargetRef, ocsf,
};

use super::cast::AGENTS;
use super::model::Model;
use super::script::{Script, lift, revoke, wish};

/// How many requests of one a crowd leaves, and how many grants: a little below the bounds.
const WAITING: usize = 14;
const STANDING: usize = 62;

impl Script {
    /// At two gateways, or twice at one.
    pub async fn two_at_once(&mut self) {
        let (there, victim) = (self.gateway(), self.victim());
        let (order, by) = (self.order(&victim), self.who_ends());
        let (here, mut who, target) = self.whither();
        if let Some(subject) = AGENTS.into_iter().find(|it| victim["subject"] == **it) {
            who = subject;
        }
        let lifted = (!self.ordered.is_empty()).then(|| self.some_ordered());
        match self.rng.random_range(0..6) {
            0 | 1 => {
                let opening = self.world.open(&here, who, target);
                let (client, answer) = tokio::join!(opening, revoke(&self.world, there, by, order));
                self.came(client);
                self.note_order(&answer);
            }
            2 if !self.asked.is_empty() => {
                let (who, id) = self.some_asked();
                let path = format!("/v1/approvals/{id}/withdraw");
                let (client, _) = tokio::join!(
                    self.world.open(&here, who, "locked"),
                    self.world.call(&there, who, path, Some(json!({})))
                );
                self.came(client);
            }
            3 if let Some(id) = lifted => {
                let (_, answer) = tokio::join!(
                    lift(&self.world, here, "sal", id),
                    revoke(&self.world, there, by, order)
                );
                self.note_order(&answer);
            }
            4 if let Some(id) = lifted => {
                let opening = self.world.open(&here, who, target);
                let (client, ..) = tokio::join!(
                    opening,
                    lift(&self.world, there.clone(), "sal", id.clone()),
                    lift(&self.world, here.clone(), "sam", id)
                );
                self.came(client);
            }
            _ => {
                let body = json!({"target": "locked", "seconds": 60, "reason": "why"});
                let (asked, answer) = tokio::join!(
                    wish(&self.world, here, who, body),
                    revoke(&self.world, there, by, order)
                );
                self.remember(who, &asked);
                self.note_order(&answer);
            }
        }
    }

    fn came(&mut self, client: Option<super::world::Client>) {
        let Some(mut client) = client else { return };
        if self.rng.random_bool(0.7) {
            self.world.begin(&mut client);
        }
        self.world.clients.lock().push(client);
    }

    /// A grant of a second, as a gateway would have it whose policy allows that, and a session under it.
    pub async fn brief(&mut self) {
        let who = self.some(&["one", "two", "three", "ada"]);
        let quorum = match who {
            "three" => 0,
            "two" => 2,
            _ => 1,
        };
        let id = self.says_wish(who, 1, quorum).await;
        for reviewer in ["dana", "eli"].into_iter().take(quorum as usize) {
            let reviewer = self.world.cast.principal(reviewer);
            let granted =
                Approval::Granted { approval_id: id, reviewer, comment: None, webhook: None };
            self.says(Context::default(), Body::Approval(granted), Timestamp::now()).await;
        }
        self.asked.push((who, id.to_string()));
        let at = self.gateway();
        let client = self.world.open(&at, who, "locked").await;
        self.came(client);
    }

    /// Almost as much as one may ask for is asked for already, and then a little too much, everywhere at once.
    pub async fn crowd(&mut self) {
        let (who, quorum, already) =
            self.some(&[("one", 1, WAITING), ("ada", 1, WAITING), ("three", 0, STANDING)]);
        for _ in 0..already {
            self.says_wish(who, 60, quorum).await;
        }
        let body = |seconds| json!({"target": "locked", "seconds": seconds, "reason": "why"});
        let places = [self.gateway(), self.gateway(), self.gateway(), self.gateway()];
        let wishes = places
            .into_iter()
            .zip(63..)
            .map(|(at, seconds)| wish(&self.world, at, who, body(seconds)));
        for answer in futures::future::join_all(wishes).await {
            self.remember(who, &answer);
        }
    }

    /// What a gateway with a fast clock says of a request, or one of a revocation that it takes to be due.
    pub async fn elsewhere(&mut self) {
        if self.rng.random_bool(0.5) && !self.asked.is_empty() {
            let approval_id: ApprovalId = self.some_asked().1.parse().unwrap();
            let late = Timestamp::now() + SignedDuration::from_hours(2);
            let expired = Body::Approval(Approval::Expired { approval_id });
            self.says(Context::default(), expired, late).await;
            return;
        }
        let model = Model::read(self.world.log.inner().as_ref()).await;
        let orders: Vec<_> = model.orders.values().map(|it| it.order.clone()).collect();
        if !orders.is_empty() {
            let carried = Body::Revocation(Revocation::Carried(Box::new(self.some(&orders))));
            self.says(Context::default(), carried, Timestamp::now()).await;
        }
    }

    async fn says_wish(&mut self, who: &str, seconds: u64, quorum: u32) -> ApprovalId {
        let now = Timestamp::now();
        let digest: [u8; 32] = self.rng.random();
        let asked = ApprovalRequest {
            approval_id: ApprovalId::new(),
            digest: hex::encode(digest),
            session_bound: false,
            scope: ApprovalScope::Period,
            requirements: (quorum > 0)
                .then(|| ApprovalRequirement { group: "dba".to_owned(), quorum })
                .into_iter()
                .collect(),
            policy_ids: Vec::new(),
            policy_version: "elsewhere".to_owned(),
            reasons: Vec::new(),
            asked: Asked::Access(AskedAccess { seconds, reason: "why".to_owned() }),
            expires_at: now + SignedDuration::from_mins(10),
        };
        let id = asked.approval_id;
        let target =
            TargetRef { name: "locked".to_owned(), kind: TargetKind::Postgresql, database: None };
        let context = Context {
            principal: Some(self.world.cast.principal(who)),
            delegation: self.world.cast.coming(who).actors,
            target: Some(target),
            ..Context::default()
        };
        self.says(context, Body::Approval(Approval::Requested(Box::new(asked))), now).await;
        id
    }

    /// On the control log, by another gateway.
    async fn says(&self, context: Context, body: Body, time: Timestamp) {
        let draft = Draft { time, ..Draft::new(context.into(), None, body) };
        let id = ProducerId::parse("elsewhere/gateway").unwrap();
        let event = draft.at(Producer { id, epoch: 0, seq: 0 });
        let value = Bytes::from(ocsf::encode(&event));
        let record = Record { topic: Topic::Control, key: Bytes::new(), value };
        self.world.log.inner().append(vec![record]).await.unwrap();
    }
}
