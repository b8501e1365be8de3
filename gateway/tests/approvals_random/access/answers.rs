//! What the API answers, and what all gateways tell in the end: it is what the log says.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde_json::Value;

use super::evidence::{Evidence, Moment};
use super::journal::{Asked, What};
use super::model::{Coming, Grant, How, Order};
use super::{Tally, Verdict};

/// One call and its answer.
struct Call<'a> {
    asked: &'a Asked,
    who: Coming,
    status: u16,
    body: &'a Value,
    /// What its gateway may have known.
    known: RangeInclusive<u64>,
    moments: (Moment, Moment),
    times: (Timestamp, Timestamp),
}

pub fn answers(all: &Evidence, tally: &mut Tally) -> Verdict {
    let mut asked = BTreeMap::new();
    for (moment, noted) in all.journal.iter().enumerate() {
        match &noted.what {
            What::Asked(call) => {
                asked.insert(call.call, (moment, call));
            }
            What::Answered(call, status, body) => {
                let (from, asked) = asked[call];
                let call = Call {
                    asked,
                    who: all.cast.coming(asked.who),
                    status: *status,
                    body,
                    known: all.known(asked.node, from, moment),
                    moments: (from, moment),
                    times: (all.at(from), all.at(moment)),
                };
                if !call.is_right(all, tally) {
                    return Err(format!("{asked:?} was answered {status} {body}"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl Call<'_> {
    fn is_right(&self, all: &Evidence, tally: &mut Tally) -> bool {
        let barred = |read, at| all.model.bars(&self.who, read, at).is_some();
        match self.status {
            401 => return self.known.clone().any(|read| barred(read, self.times.0)),
            // It was ended while the order was on its way to the log.
            403 if self.body["code"] == "revoked" => {
                let times = [self.times.0, self.times.1];
                return self.known.clone().any(|read| times.iter().any(|at| barred(read, *at)));
            }
            503 => {
                let (from, to) = self.moments;
                let node = self.asked.node;
                let stale = self.body["code"] == "control_unavailable" && all.is_stale(node, to);
                return stale || all.failed(node, from, to) || all.stopping(node, to);
            }
            _ if self.known.clone().all(|read| barred(read, self.times.1)) => return false,
            _ => {}
        }
        match self.asked.path.as_str() {
            "/v1/grants" => self.is_right_wish(all, tally),
            "/v1/revocations" if self.asked.body.is_some() => self.is_right_order(all),
            "/v1/revocations" => self.lists_orders(all),
            "/v1/approvals?state=all&limit=1000" => self.lists_grants(all),
            path if path.ends_with("/lift") => self.is_right_lift(all),
            path if path.ends_with("/withdraw") && self.status == 200 => {
                let grant = self.grant(all);
                grant.is_some_and(|grant| self.is_over(grant, &How::Withdrawn))
            }
            _ => true,
        }
    }

    fn grant<'a>(&self, all: &'a Evidence) -> Option<&'a Grant> {
        let id = self.body["approval_id"].as_str()?;
        all.model.grants.get(&id.parse().ok()?)
    }

    fn order<'a>(&self, all: &'a Evidence) -> Option<&'a Order> {
        let id = self.body["revocation_id"].as_str()?;
        all.model.orders.get(&id.parse().ok()?)
    }

    fn is_over(&self, grant: &Grant, as_said: &How) -> bool {
        grant.ended.as_ref().is_some_and(|(at, how)| at < self.known.end() && how == as_said)
    }

    fn is_right_wish(&self, all: &Evidence, tally: &mut Tally) -> bool {
        let wish = self.asked.body.as_ref().unwrap();
        match self.status {
            200 => {
                let Some(grant) = self.grant(all) else { return false };
                let told = self.body["state"].as_str();
                let until = grant.until(all.model.length).to_string();
                grant.is_of(&self.who, "locked")
                    && self.known.clone().any(|read| self.is_state(grant, read, told))
                    && (told != Some("approved") || self.body["stands_until"] == until)
            }
            400 => wish["seconds"].as_u64() < Some(60),
            403 => self.asked.who == "guest",
            409 => wish["target"] == "open",
            429 => {
                tally.add("one too many, refused", 1);
                let full = |read| all.model.is_full(&self.who, read, self.times.0);
                self.known.clone().any(full)
            }
            _ => false,
        }
    }

    /// At the beginning of the call, or at its end.
    fn is_state(&self, grant: &Grant, read: u64, told: Option<&str>) -> bool {
        [self.times.0, self.times.1].iter().any(|at| Some(grant.state(read, *at)) == told)
    }

    fn is_right_order(&self, all: &Evidence) -> bool {
        let order = self.asked.body.as_ref().unwrap();
        let known = || {
            let id = order["revoked"]["grant_id"].as_str()?;
            all.model.grants.get(&id.parse().ok()?)
        };
        match self.status {
            200 => self.order(all).is_some_and(|order| order.from < *self.known.end()),
            400 => {
                let until = order["until"].as_str().map(|it| it.parse::<Timestamp>().unwrap());
                until.is_some_and(|until| until <= self.times.1)
            }
            403 => self.asked.who == "dana",
            // There is none, or it was not read yet.
            404 => {
                order["revoked"]["kind"] == "grant"
                    && known().is_none_or(|grant| grant.from >= *self.known.start())
            }
            409 => known().is_some_and(|grant| {
                !matches!(grant.state(*self.known.end(), self.times.1), "pending" | "approved")
            }),
            _ => false,
        }
    }

    fn is_right_lift(&self, all: &Evidence) -> bool {
        let lifted = |order: &Order| order.lifted.is_some_and(|at| at < *self.known.end());
        let path: Vec<_> = self.asked.path.split('/').collect();
        match self.status {
            200 => self.order(all).is_some_and(lifted),
            403 => self.asked.who == "dana",
            404 => {
                // Not read yet, or lifted before.
                let order = &all.model.orders[&path[3].parse().unwrap()];
                lifted(order) || order.from >= *self.known.start()
            }
            _ => false,
        }
    }

    /// What stands, as its gateway may have known it at one point of the log.
    fn lists_orders(&self, all: &Evidence) -> bool {
        let Some(list) = self.body["revocations"].as_array() else { return self.status == 403 };
        let told = |order: &Order| {
            let id = order.order.revocation_id.to_string();
            list.iter().any(|one| one["revocation_id"] == id)
        };
        let lasting =
            |order: &&Order| matches!(order.order.revoked.kind(), "principal" | "agent" | "issuer");
        let orders = || all.model.orders.values().filter(lasting);
        self.known.clone().any(|read| {
            let stands =
                |order: &Order| [self.times.0, self.times.1].map(|at| order.stands(read, at));
            orders().all(|order| stands(order).contains(&told(order)))
                && orders().filter(|order| told(order)).count() == list.len()
        })
    }

    /// All requests that the caller may know of, and what became of them.
    fn lists_grants(&self, all: &Evidence) -> bool {
        let Some(list) = self.body["approvals"].as_array() else { return false };
        let told: BTreeMap<_, _> = list
            .iter()
            .map(|one| (one["approval_id"].as_str().unwrap().to_owned(), one["state"].as_str()))
            .collect();
        let sees = |grant: &Grant| {
            let chain = self.who.actors.is_empty() || grant.actors == self.who.actors;
            let own = grant.issuer == self.who.issuer && grant.subject == self.who.subject && chain;
            own || (self.asked.who == "dana" && !grant.needs_nobody())
        };
        self.known.clone().any(|read| {
            let seen =
                all.model.grants.iter().filter(|(_, grant)| {
                    sees(grant) && grant.state(read, self.times.0) != "unknown"
                });
            let mut count = 0;
            seen.inspect(|_| count += 1).all(|(id, grant)| {
                told.get(&id.to_string()).is_some_and(|told| self.is_state(grant, read, *told))
            }) && count == told.len()
        })
    }
}
