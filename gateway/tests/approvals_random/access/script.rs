//! The script of a seed: who does what, where.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tallyport_eventlog::faults::{Fault, FaultKind};
use tallyport_schemas::SessionId;

use super::cast::{AGENTS, Cast, ELSEWHERE, NAME, REVIEWERS, SECURITY};
use super::world::{Running, World};

const GATEWAYS: usize = 3;
const STEPS: usize = 50;

pub struct Script {
    pub rng: StdRng,
    pub world: World,
    pub gateways: Vec<Running>,
    /// Requests for access that somebody was told of, and revocations.
    pub asked: Vec<(&'static str, String)>,
    pub ordered: Vec<(&'static str, String)>,
}

type Answer = (u16, Value);

impl Script {
    pub async fn new(seed: u64, cast: Cast) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let world = World::new(cast).await;
        let mut gateways = Vec::new();
        for _ in 0..GATEWAYS {
            gateways.push(world.start(0).await);
        }
        Self { rng, world, gateways, asked: Vec::new(), ordered: Vec::new() }
    }

    pub async fn play(&mut self) {
        for _ in 0..STEPS {
            self.step().await;
            let pause = self.rng.random_range(0..4_000);
            tokio::time::sleep(Duration::from_micros(pause)).await;
        }
    }

    async fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..13 => self.wish().await,
            13..30 => self.review().await,
            30..54 => self.open().await,
            54..60 => self.say(),
            60..62 => self.leave(),
            62..65 => self.withdraw().await,
            65..72 => self.revoke_one().await,
            72..80 => self.lift_one().await,
            80..86 => self.two_at_once().await,
            86..89 => self.restart().await,
            89..92 => self.brief().await,
            92 => self.crowd().await,
            93..95 => self.elsewhere().await,
            95..97 => {
                let micros = self.rng.random_range(1_000..40_000);
                self.gateway().lag.store(micros, Ordering::Relaxed);
            }
            _ => self.fault(),
        }
    }

    pub fn some<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.rng.random_range(0..all.len())].clone()
    }

    pub fn gateway(&mut self) -> Running {
        let index = self.rng.random_range(0..self.gateways.len());
        self.gateways[index].clone()
    }

    fn fault(&mut self) {
        let persisted = self.rng.random_bool(0.5);
        let refused = self.rng.random_bool(0.5) && !persisted;
        let kind = if refused { FaultKind::Refuse } else { FaultKind::Unknown };
        self.world.log.set(Fault::once(kind, persisted));
    }

    /// Somebody asks for access, at one gateway, or for the same at two at once.
    async fn wish(&mut self) {
        let (here, there) = (self.gateway(), self.gateway());
        let who = self.somebody();
        let target = if self.rng.random_bool(0.9) { "locked" } else { "open" };
        let body =
            json!({"target": target, "seconds": self.rng.random_range(58..63), "reason": "why"});
        let ask = |at| wish(&self.world, at, who, body.clone());
        let answers = if self.rng.random_bool(0.3) {
            let (one, other) = tokio::join!(ask(here), ask(there));
            vec![one, other]
        } else {
            vec![ask(here).await]
        };
        for answer in answers {
            self.remember(who, &answer);
        }
    }

    pub fn remember(&mut self, who: &'static str, (status, answer): &Answer) {
        if *status == 200 {
            self.asked.push((who, answer["approval_id"].as_str().unwrap().to_owned()));
        }
    }

    /// One or two people answer what one of them read; agents try, too.
    async fn review(&mut self) {
        let (here, there) = (self.gateway(), self.gateway());
        let who = self.some(&["dana", "eli", "fay", "sam", "ada", "one"]);
        let other = self.some(&REVIEWERS);
        let (_, list) = self.world.call(&here, who, "/v1/approvals".to_owned(), None).await;
        let Some(list) = list["approvals"].as_array().filter(|list| !list.is_empty()) else {
            return;
        };
        let asked = self.some(list);
        let id = asked["approval_id"].as_str().unwrap();
        let verb = if self.rng.random_bool(0.85) { "approve" } else { "deny" };
        let body = || Some(json!({ "digest": asked["digest"] }));
        let path = |verb: &str| format!("/v1/approvals/{id}/{verb}");
        if self.rng.random_bool(0.6) {
            tokio::join!(
                self.world.call(&here, who, path(verb), body()),
                self.world.call(&there, other, path("approve"), body())
            );
        } else {
            self.world.call(&here, who, path(verb), body()).await;
        }
    }

    /// Seldom one who may not anyway.
    fn somebody(&mut self) -> &'static str {
        if self.rng.random_bool(0.05) { "guest" } else { self.some(&AGENTS[..4]) }
    }

    pub fn whither(&mut self) -> (Running, &'static str, &'static str) {
        let who = self.somebody();
        let target = if self.rng.random_bool(0.7) { "locked" } else { "open" };
        (self.gateway(), who, target)
    }

    /// Somebody opens a tunnel, and begins at once or a little later.
    async fn open(&mut self) {
        let (at, who, target) = self.whither();
        let Some(mut client) = self.world.open(&at, who, target).await else { return };
        if self.rng.random_bool(0.75) {
            self.world.begin(&mut client);
        }
        self.world.clients.lock().push(client);
    }

    /// One that is there says something more, or for the first time.
    fn say(&mut self) {
        let mut clients = self.world.clients.lock();
        if !clients.is_empty() {
            let index = self.rng.random_range(0..clients.len());
            self.world.begin(&mut clients[index]);
            self.world.say(&clients[index]);
        }
    }

    fn leave(&mut self) {
        let mut clients = self.world.clients.lock();
        if !clients.is_empty() {
            let index = self.rng.random_range(0..clients.len());
            self.world.leave(clients.swap_remove(index));
        }
    }

    async fn withdraw(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let (at, (who, id)) = (self.gateway(), self.some_asked());
        // Now and then somebody tries whose it is not.
        let who = if self.rng.random_bool(0.9) { who } else { self.some(&AGENTS) };
        let path = format!("/v1/approvals/{id}/withdraw");
        self.world.call(&at, who, path, Some(json!({}))).await;
        self.all_say().await;
    }

    /// Whoever is there says something more, a moment after somebody may have been put out.
    async fn all_say(&mut self) {
        let pause = self.rng.random_range(0..4_000);
        tokio::time::sleep(Duration::from_micros(pause)).await;
        for client in self.world.clients.lock().iter() {
            self.world.say(client);
        }
    }

    /// The newer, the likelier.
    pub fn some_asked(&mut self) -> (&'static str, String) {
        let index = self.rng.random_range(self.asked.len().saturating_sub(6)..self.asked.len());
        self.asked[index].clone()
    }

    /// What is to end; of sessions and grants one that there is.
    pub fn victim(&mut self) -> Value {
        let [ours, theirs] = [0, 1].map(|it| self.world.cast.issuers[it].issuer_url.clone());
        match self.rng.random_range(0..20) {
            0..5 if !self.asked.is_empty() => {
                json!({"kind": "grant", "grant_id": self.some_asked().1})
            }
            5..9 => {
                let live = self.gateway().gateway.sessions();
                let session = live.get(self.rng.random_range(0..live.len().max(1)));
                let id = session.map_or_else(SessionId::new, |it| it.session_id);
                json!({"kind": "session", "session_id": id})
            }
            9..13 => {
                let (issuer, subject) = self.some(&[
                    (&ours, "one"),
                    (&ours, "two"),
                    (&ours, "ada"),
                    (&ours, "sam"),
                    (&theirs, "three"),
                    (&theirs, "one"),
                ]);
                json!({"kind": "principal", "issuer": issuer, "subject": subject})
            }
            13..15 => {
                json!({"kind": "agent", "subject": self.some(&["one", "two", "three", "ada", NAME])})
            }
            15..18 => {
                let issuer = self.some(&[&ours, &theirs]);
                let subject = self.some(&["two", "three", "planner", NAME]);
                json!({"kind": "agent", "issuer": issuer, "subject": subject})
            }
            18 => json!({"kind": "issuer", "issuer": ELSEWHERE}),
            _ if self.rng.random_bool(0.2) => json!({"kind": "issuer", "issuer": ours}),
            _ => json!({"kind": "issuer", "issuer": theirs}),
        }
    }

    pub fn order(&mut self, victim: &Value) -> Value {
        // All are out with `ours`, who could lift it, too.
        let ours = victim["issuer"] == json!(self.world.cast.issuers[0].issuer_url);
        let for_good = !(ours && victim["kind"] == "issuer") && self.rng.random_bool(0.6);
        let millis = self.rng.random_range(30..600);
        let until = Timestamp::now() + SignedDuration::from_millis(millis);
        let until = if for_good { Value::Null } else { json!(until) };
        let unknown_issuer = victim["issuer"] == ELSEWHERE;
        json!({"revoked": victim, "reason": "why", "until": until, "unknown_issuer": unknown_issuer})
    }

    pub fn who_ends(&mut self) -> &'static str {
        if self.rng.random_bool(0.08) { "dana" } else { self.some(&SECURITY) }
    }

    async fn revoke_one(&mut self) {
        let (at, who, victim) = (self.gateway(), self.who_ends(), self.victim());
        let order = self.order(&victim);
        let answer = revoke(&self.world, at, who, order).await;
        self.note_order(&answer);
        if self.rng.random_bool(0.4) {
            self.all_say().await;
        }
    }

    pub fn note_order(&mut self, (status, answer): &Answer) {
        let lasts = ["principal", "agent", "issuer"];
        let kind = lasts.into_iter().find(|kind| answer["revoked"]["kind"] == **kind);
        if let (200, Some(kind)) = (status, kind) {
            self.ordered.push((kind, answer["revocation_id"].as_str().unwrap().to_owned()));
        }
    }

    async fn lift_one(&mut self) {
        if self.ordered.is_empty() {
            return;
        }
        let (at, who, id) = (self.gateway(), self.who_ends(), self.some_ordered());
        lift(&self.world, at, who, id).await;
    }

    /// Most of the time it is not tried again.
    pub fn some_ordered(&mut self) -> String {
        let index = self.rng.random_range(0..self.ordered.len());
        let (_, id) = self.ordered[index].clone();
        if self.rng.random_bool(0.8) {
            self.ordered.swap_remove(index);
        }
        id
    }

    /// A gateway goes, with nothing but the log behind it, and another one comes.
    async fn restart(&mut self) {
        let index = self.rng.random_range(0..self.gateways.len());
        let gone = self.gateways.swap_remove(index);
        self.world.journal.note(super::journal::What::Stopping(gone.node));
        let node = gone.node;
        let ending = tokio::spawn(async move { gone.gateway.shutdown(Duration::ZERO).await });
        if self.rng.random_bool(0.5) {
            self.world.begin_all(node);
            ending.await.unwrap();
        }
        let come = self.world.start(self.rng.random_range(0..10_000)).await;
        self.gateways.push(come.clone());
        // Before it can have read all of the log.
        let (_, who, target) = self.whither();
        if let Some(mut client) = self.world.open(&come, who, target).await {
            self.world.begin(&mut client);
            self.world.clients.lock().push(client);
        }
    }
}

pub async fn wish(world: &World, at: Running, who: &'static str, body: Value) -> Answer {
    world.call(&at, who, "/v1/grants".to_owned(), Some(body)).await
}

pub async fn revoke(world: &World, at: Running, who: &'static str, order: Value) -> Answer {
    world.call(&at, who, "/v1/revocations".to_owned(), Some(order)).await
}

pub async fn lift(world: &World, at: Running, who: &'static str, id: String) -> Answer {
    let path = format!("/v1/revocations/{id}/lift");
    world.call(&at, who, path, Some(json!({"reason": "why"}))).await
}
