//! One decision: 1,000 policies, 10,000 tables that can be asked about, 200 agents. Beside it Cedar itself, which is given all
//! policies and all entities at every question.
//!
//!     cargo bench -p tallyport-policy-benches --bench decision [-- QUESTIONS]
#![allow(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityUid, PolicySet as Cedar, Request,
    RestrictedExpression,
};
use jiff::Timestamp;
use tallyport_access::policy::{AskContext, PolicySet, Resource};
use tallyport_policy_benches::{AGENTS, POLICIES, TABLES_IN_ALL, agent, policies, question};

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let questions = std::env::args().filter_map(|argument| argument.parse().ok()).next();
    let questions: usize = questions.unwrap_or(20_000);
    println!(
        "{POLICIES} policies, {TABLES_IN_ALL} tables and as many columns, {AGENTS} agents, {questions} questions each"
    );
    let world = World::new()?;
    let rows = [
        ("cedar: all policies, all entities", world.ask_all(questions.min(2_000))?),
        ("first question of a session on a resource", ours(questions, Way::First, &world)?),
        ("a question again, evaluated", ours(questions, Way::Evaluated, &world)?),
        ("a question again, answer kept", ours(questions, Way::Kept, &world)?),
    ];
    let base = rows.first().map_or(1.0, |(_, waits)| micros(waits, 50));
    println!("{:<44}{:>10}{:>10}{:>10}{:>12}", "", "p50 us", "p99 us", "max us", "p50, ratio");
    for (name, waits) in &rows {
        let [p50, p99, max] = [50, 99, 100].map(|percent| micros(waits, percent));
        println!("{name:<44}{p50:>10.1}{p99:>10.1}{max:>10.1}{:>12.4}", p50 / base);
    }
    Ok(())
}

fn micros(waits: &[Duration], percent: usize) -> f64 {
    let index = (waits.len() * percent / 100).min(waits.len().saturating_sub(1));
    waits.get(index).copied().unwrap_or_default().as_secs_f64() * 1e6
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nothing is known of this resource yet.
    First,
    /// Its entities are at hand; the answer may not be kept.
    Evaluated,
    /// The same question with the same facts.
    Kept,
}

/// Every answer is compared with Cedar's own over the whole world, for the first thousand.
fn ours(questions: usize, way: Way, world: &World) -> Result<Vec<Duration>, Failed> {
    let set = Arc::new(PolicySet::parse(&policies(way == Way::Evaluated), "bench.cedar")?);
    let mut waits = Vec::with_capacity(questions);
    let askers: Vec<_> = (0..AGENTS).map(|n| set.asker(&agent(n))).collect();
    for n in 0..questions {
        let (who, n) = match way {
            // When all tables were asked about, each agent goes on to those of the next.
            Way::First => ((n + n / TABLES_IN_ALL) % AGENTS, n * 37),
            // A session comes back to a few tables.
            Way::Evaluated | Way::Kept => (n % AGENTS, n % AGENTS + n / AGENTS % 16 * AGENTS),
        };
        let (action, resource) = question(n, n % 2 == 1);
        let asker = askers.get(who).ok_or("no such agent")?;
        let context = context();
        if way != Way::First {
            let _same = black_box(asker.ask(action, &resource, &context));
        }
        let began = Instant::now();
        let answer = black_box(asker.ask(action, &resource, &context));
        waits.push(began.elapsed());
        if waits.len() <= 1_000 {
            let allowed = world.allows(who, n)?;
            if allowed != answer.allowed {
                return Err(format!(
                    "question {n} of agent {who}: {answer:?}, Cedar says {allowed}"
                )
                .into());
            }
        }
    }
    waits.sort_unstable();
    Ok(waits)
}

fn context() -> AskContext {
    AskContext { read_only: true, ..AskContext::at(Timestamp::UNIX_EPOCH) }
}

/// Everything at once, as a plain use of Cedar would have it.
struct World {
    policies: Cedar,
    entities: Entities,
}

impl World {
    fn new() -> Result<Self, Failed> {
        let mut all = Vec::new();
        for n in 0..TABLES_IN_ALL {
            for column in [false, true] {
                let (_, resource) = question(n, column);
                all.extend(with_parents(&resource)?);
            }
        }
        for n in 0..AGENTS {
            all.push(principal(n)?);
        }
        all.sort_by_key(|entity| entity.uid().to_string());
        all.dedup_by_key(|entity| entity.uid());
        let entities = Entities::from_entities(all, None)?;
        Ok(Self { policies: policies(false).parse()?, entities })
    }

    fn allows(&self, who: usize, n: usize) -> Result<bool, Failed> {
        let (action, resource) = question(n, n % 2 == 1);
        let context = Context::from_pairs(facts()?)?;
        let action = format!("Tallyport::Action::\"{action}\"").parse()?;
        let request = Request::new(principal(who)?.uid(), action, uid(&resource)?, context, None)?;
        let answer = Authorizer::new().is_authorized(&request, &self.policies, &self.entities);
        Ok(answer.decision() == cedar_policy::Decision::Allow)
    }

    fn ask_all(&self, questions: usize) -> Result<Vec<Duration>, Failed> {
        let mut waits = Vec::with_capacity(questions);
        for n in 0..questions {
            let (who, n) = (n % AGENTS, n * 37);
            let began = Instant::now();
            black_box(self.allows(who, n)?);
            waits.push(began.elapsed());
        }
        waits.sort_unstable();
        Ok(waits)
    }
}

fn facts() -> Result<Vec<(String, RestrictedExpression)>, Failed> {
    let no = || RestrictedExpression::new_bool(false);
    Ok(["readOnly", "hasWhere", "byKey", "multiStatement"]
        .iter()
        .map(|name| {
            let value =
                if *name == "readOnly" { RestrictedExpression::new_bool(true) } else { no() };
            ((*name).to_owned(), value)
        })
        .collect())
}

fn principal(n: usize) -> Result<Entity, Failed> {
    let identity = agent(n);
    let uid: EntityUid =
        format!("Tallyport::Agent::\"https://id.example#{}\"", identity.principal.subject)
            .parse()?;
    let groups = identity.principal.groups.iter();
    let groups: Result<_, Failed> =
        groups.map(|group| parsed(&format!("Tallyport::Group::\"{group}\""))).collect();
    let attributes =
        [("delegated".to_owned(), RestrictedExpression::new_bool(false))].into_iter().collect();
    Ok(Entity::new(uid, attributes, groups?)?)
}

fn parsed(id: &str) -> Result<EntityUid, Failed> {
    Ok(id.parse()?)
}

fn uid(resource: &Resource) -> Result<EntityUid, Failed> {
    let kind = match resource {
        Resource::Table { .. } => "Table",
        _ => "Column",
    };
    Ok(format!("Tallyport::{kind}::\"{resource}\"").parse()?)
}

/// A table with its schema, database, target and label; a column with its table too.
fn with_parents(resource: &Resource) -> Result<Vec<Entity>, Failed> {
    let path = resource.to_string();
    let parts: Vec<&str> = path.split('/').collect();
    let kinds = ["Target", "Database", "Schema", "Table", "Column"];
    let mut made = Vec::new();
    for depth in 0..parts.len() {
        let id = |depth: usize| -> Result<EntityUid, Failed> {
            let kind = kinds.get(depth).ok_or("no such depth")?;
            let path = parts.get(..=depth).unwrap_or_default().join("/");
            Ok(format!("Tallyport::{kind}::\"{path}\"").parse()?)
        };
        let mut parents: Vec<EntityUid> =
            depth.checked_sub(1).map(id).into_iter().collect::<Result<_, _>>()?;
        if let Resource::Table { labels, .. } | Resource::Column { labels, .. } = resource
            && depth + 1 == parts.len()
        {
            for label in labels {
                parents.push(format!("Tallyport::Label::\"{label}\"").parse()?);
            }
        }
        made.push(Entity::new_no_attrs(id(depth)?, parents.into_iter().collect()));
    }
    Ok(made)
}
