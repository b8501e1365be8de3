//! How sessions end: those that must, soon, and each for a reason that there was.

use tallyport_schemas::{Body, Session, SessionEnd};

use super::evidence::{Evidence, Facts, Moment};
use super::model::How;
use super::{LATE, SOON, Tally, Verdict, no};

pub fn ends(all: &Evidence, tally: &mut Tally) -> Verdict {
    for facts in all.sessions.values() {
        let Some(began) = facts.starting else { continue };
        let Some(over) = facts.over else { return no(facts, "never ended") };
        match &facts.ends[..] {
            [(moment, _)] => end(all, facts, (began, *moment, over), tally)?,
            // Ten tries in ten seconds met a failing log.
            [] if all.failed(facts.opening.node, began, over) => {}
            ends => return no(facts, &format!("has {} ends", ends.len())),
        }
    }
    Ok(())
}

/// The first moment at which its gateway had certainly taken in that this session may not be there, after it was there.
fn barred(all: &Evidence, facts: &Facts, began: Moment, ended: Moment) -> Option<Moment> {
    let node = facts.opening.node;
    let there = all.welcomed(facts)?;
    let first = *all.known(node, began, began).start();
    let who = all.coming(facts);
    (first..all.model.length).find_map(|offset| {
        let moment = all.taken(node, offset).filter(|moment| (there..ended).contains(moment))?;
        let grant = facts.granted.and_then(|(id, _)| all.model.grants.get(&id));
        let taken_back = grant.and_then(|grant| grant.ended.as_ref());
        let taken_back = taken_back.is_some_and(|(at, how)| *at <= offset && *how != How::Denied);
        let out = taken_back || all.model.bars(&who, offset + 1, all.at(moment)).is_some();
        out.then_some(moment)
    })
}

fn end(
    all: &Evidence,
    facts: &Facts,
    (began, moment, over): (Moment, Moment, Moment),
    tally: &mut Tally,
) -> Verdict {
    let node = facts.opening.node;
    let out = barred(all, facts, began, moment);
    // Whatever else ended it must have come before that.
    let by = out.unwrap_or(moment);
    let until = facts.granted.map(|(_, until)| until);
    let (_, event) = &facts.ends[0];
    let Body::Session(end) = &event.body else { return no(facts, "has an end that is none") };
    let right = match end {
        Session::Revoked { revocation_id, .. } => {
            is_revoked(all, facts, moment, *revocation_id, tally)
        }
        Session::Expired { cause, .. } => {
            tally.add("ended: time", 1);
            let over =
                until.is_some_and(|until| until <= all.at(moment) && until <= all.at(by) + LATE);
            cause == "grant" && (over || all.took_back(facts, moment, &[How::Expired]))
        }
        Session::Closed { end: SessionEnd::Shutdown, .. } => all.stopping(node, by),
        Session::Lost { cause, .. } if cause == "client_gone" => {
            facts.left.is_some_and(|left| left < by)
        }
        Session::Lost { cause, .. } if cause == "log_unavailable" => all.failed(node, began, by),
        // The reading of the catalog could not be put on record; it may be another session that began it.
        Session::Lost { cause, .. } if cause == "target_unreachable" => {
            all.failed(node, facts.asked, by)
        }
        _ => false,
    };
    if !right {
        return no(
            facts,
            &format!("ended for the wrong reason, barred at {out:?}, over at {moment}: {end:?}"),
        );
    }
    let since = out.map(|out| all.at(out)).into_iter().chain(until).min();
    // Whoever begins late is told then.
    match since.map(|since| since.max(all.at(began))) {
        Some(since) if all.at(over) > since + SOON => no(facts, "went on for too long"),
        _ => Ok(()),
    }
}

fn is_revoked(
    all: &Evidence,
    facts: &Facts,
    moment: Moment,
    by: Option<tallyport_schemas::RevocationId>,
    tally: &mut Tally,
) -> bool {
    let began = facts.starting.unwrap_or(moment);
    let known = all.known(facts.opening.node, began, moment);
    let Some(id) = by else {
        tally.add("ended: grant given back", 1);
        return all.took_back(facts, moment, &[How::Withdrawn, How::Revoked]);
    };
    let Some(order) = all.model.orders.get(&id) else { return false };
    tally.add(
        match order.order.revoked.kind() {
            "session" => "ended: session",
            "principal" => "ended: principal",
            "agent" => "ended: agent",
            "issuer" => "ended: issuer",
            _ => "ended: grant revoked",
        },
        1,
    );
    order.means(&all.coming(facts))
        && known.into_iter().any(|read| order.stands(read, all.at(began)))
}
