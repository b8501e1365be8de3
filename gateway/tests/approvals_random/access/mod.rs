//! Grants and revocations, as chance has them, over three gateways and one log: nobody is at a target who may not be.
//!
//! The oracle is the log alone ([`model`]). The log is read by each gateway in its own time, so what a gateway did is held
//! against what it may have known: all that it had taken in before it began, and at most what it was handed by the end
//! ([`journal`]). Within that, and not beyond:
//!
//! - An answer at the door is right if it is for one state of the log that the gateway may have known meanwhile. The token
//!   is looked at before the grant, so the two may be for two states, in this order.
//! - Whoever is let in and does not begin yet is looked at again before the target is dialled: between the record of the
//!   opening and the dial the gateway must have been able to think that the session may be there.
//! - A statement that reaches the target, and bytes that reach the agent, were put on record before the gateway had taken in
//!   that the session may not be there. What was on record by then may still pass; what comes on record later does not.
//! - A session whose gateway has taken in that it may not be there ends as revoked, unless what else ended it came before.
//! - Time is the clocks' own: a session is not at work [`LATE`] after its grant, nor there [`SOON`] after that, or after
//!   a revocation was taken in.

mod answers;
mod cast;
mod chance;
mod doors;
mod ends;
mod evidence;
mod journal;
mod model;
mod script;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use cast::AGENTS;
pub use cast::Cast;
use evidence::{Evidence, Facts};
use journal::{Label, What};
use model::Model;
use script::Script;

/// How late a machine under load may tell that a grant's time is over.
const LATE: SignedDuration = SignedDuration::from_secs(2);
/// How long what must end may take; a log that fails is tried again a second later.
const SOON: SignedDuration = SignedDuration::from_secs(10);
/// What lasts shorter is waited for at the end of a run.
const BRIEF: SignedDuration = SignedDuration::from_millis(1_500);

type Verdict = Result<(), String>;

fn no(facts: &Facts, why: &str) -> Verdict {
    Err(format!("session {why}: {facts:#?}"))
}

/// How often things happened.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    pub fn add(&mut self, what: &'static str, count: u64) {
        *self.0.entry(what).or_default() += count;
    }

    pub fn add_all(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            self.add(what, *count);
        }
    }

    /// Whether everything happened.
    pub fn is_rich(&self) -> bool {
        const ALL: [&str; 34] = [
            "asked",
            "asked again",
            "agreed to",
            "granted",
            "granted by nobody",
            "denied",
            "expired",
            "withdrawn",
            "in vain",
            "one too many",
            "one too many, refused",
            "revoked: session",
            "revoked: principal",
            "revoked: agent",
            "revoked: issuer",
            "revoked: grant",
            "said again",
            "lifted",
            "let in again",
            "let in by a grant",
            "let in without a grant",
            "turned away: barred",
            "turned away: no grant",
            "catalogs read",
            "dialled",
            "statements run",
            "ended: session",
            "ended: principal",
            "ended: agent",
            "ended: issuer",
            "ended: grant revoked",
            "ended: grant given back",
            "ended: time",
            "restarts",
        ];
        ALL.iter().all(|what| self.0.get(what).is_some_and(|count| *count > 0))
    }
}

/// One run.
pub async fn play(seed: u64, cast: Cast) -> Result<Tally, String> {
    let mut script = Script::new(seed, cast.clone()).await;
    script.play().await;
    settle(&script).await?;
    probe(&script).await;
    let clients = std::mem::take(&mut *script.world.clients.lock());
    for client in clients {
        script.world.leave(client);
    }
    for running in &script.gateways {
        script.world.journal.note(What::Stopping(running.node));
        running.gateway.shutdown(Duration::ZERO).await;
    }
    until_over(&script, None).await?;
    let model = Model::read(script.world.log.inner().as_ref()).await;
    let all = Evidence::new(script.world.journal.all(), model, cast);
    let mut tally = Tally(all.model.counted.clone());
    let started = all.journal.iter().filter(|it| matches!(it.what, What::Started(..)));
    tally.add("restarts", started.count() as u64 - 3);
    doors::openings(&all, &mut tally)?;
    doors::passages(&all, &mut tally)?;
    ends::ends(&all, &mut tally)?;
    answers::answers(&all, &mut tally)?;
    Ok(tally)
}

/// No more faults; everybody has read everything, what is brief is over, and who must be gone is.
async fn settle(script: &Script) -> Verdict {
    script.world.log.clear();
    let log = script.world.log.inner().as_ref();
    let mut model = Model::read(log).await;
    let deadline = Instant::now() + Duration::try_from(SOON).unwrap();
    let journal = &script.world.journal;
    while !script.gateways.iter().all(|it| journal.has_taken(it.node, model.length)) {
        if Instant::now() > deadline {
            return Err("a gateway does not read the log".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        model = Model::read(log).await;
    }
    let now = Timestamp::now();
    let grants = model.grants.values().filter(|it| it.state(model.length, now) == "approved");
    let untils = grants.map(|grant| grant.until(model.length));
    let untils = untils.chain(model.orders.values().filter_map(|order| order.order.until));
    let brief = untils.filter(|until| *until > now && until.duration_since(now) < BRIEF).max();
    if let Some(until) = brief {
        let wait = until.duration_since(now) + SignedDuration::from_millis(5);
        tokio::time::sleep(wait.try_into().unwrap()).await;
    }
    let all = Evidence::new(journal.all(), model, script.world.cast.clone());
    let now = Timestamp::now();
    let goes_on = |facts: &&Facts| facts.starting.is_some() && facts.over.is_none();
    let out = |facts: &&Facts| !all.may_be(facts, all.model.length, (now, now));
    let late = all.sessions.values().filter(goes_on).filter(out);
    until_over(script, Some(late.map(|facts| facts.opening.label).collect())).await
}

/// Waits until these sessions are over, or all that began.
async fn until_over(script: &Script, which: Option<Vec<Label>>) -> Verdict {
    let deadline = Instant::now() + Duration::try_from(SOON).unwrap();
    loop {
        let journal = script.world.journal.all();
        let began = journal.iter().filter_map(|noted| match noted.what {
            What::Starting(label) => Some(label),
            _ => None,
        });
        let mut waits = which.clone().unwrap_or_else(|| began.collect());
        waits.retain(|label| {
            !journal.iter().any(|noted| matches!(noted.what, What::Over(it) if it == *label))
        });
        if waits.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("sessions that must be over go on: {waits:?}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everybody tries every door, and what the gateways tell is looked at; nothing else happens meanwhile.
async fn probe(script: &Script) {
    let world = &script.world;
    for (who, at) in AGENTS.iter().zip(script.gateways.iter().cycle()) {
        world.call(at, who, "/v1/whoami".to_owned(), None).await;
        for target in ["open", "locked"] {
            if let Some(client) = world.open(at, who, target).await {
                world.leave(client);
            }
        }
    }
    for at in &script.gateways {
        for who in ["dana", "three"] {
            let path = "/v1/approvals?state=all&limit=1000".to_owned();
            world.call(at, who, path, None).await;
        }
        world.call(at, "sal", "/v1/revocations".to_owned(), None).await;
    }
}
