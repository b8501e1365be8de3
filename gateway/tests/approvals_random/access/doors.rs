//! Who is let in, who is not, and what the target sees of it.

use jiff::SignedDuration;

use super::evidence::{Evidence, Facts, Moment};
use super::journal::What;
use super::{LATE, Tally, Verdict, no};

/// Every answer at the door must be one that its gateway may have had reason for, by what it may have known then.
pub fn openings(all: &Evidence, tally: &mut Tally) -> Verdict {
    for facts in all.sessions.values() {
        let Some((answered, outcome)) = facts.answered else { continue };
        match outcome {
            Ok(()) => let_in(all, facts, answered, tally)?,
            Err(refused) => turned_away(all, facts, answered, refused, tally)?,
        }
    }
    Ok(())
}

/// The token is looked at before the grant is: the log may have gone on in between.
fn let_in(all: &Evidence, facts: &Facts, answered: Moment, tally: &mut Tally) -> Verdict {
    let who = all.cast.coming(facts.opening.who);
    let (from, to) = (all.at(facts.asked), all.at(answered));
    let known = all.known(facts.opening.node, facts.asked, answered);
    let welcome = known.clone().find(|read| all.model.bars(&who, *read, to).is_none());
    let Some(welcome) = welcome else { return no(facts, "is barred, and was let in") };
    let ever = all.model.orders.values().any(|order| order.from < welcome);
    let barred_before = ever && (0..welcome).any(|read| all.model.bars(&who, read, from).is_some());
    tally.add("let in again", u64::from(barred_before));
    if facts.opening.target == "open" {
        tally.add("let in without a grant", 1);
        return if facts.granted.is_some() { no(facts, "has a grant for nothing") } else { Ok(()) };
    }
    tally.add("let in by a grant", 1);
    let Some((id, until)) = facts.granted else { return no(facts, "was let in without a grant") };
    let Some(grant) = all.model.grants.get(&id) else { return no(facts, "has no such grant") };
    if !grant.is_of(&who, facts.opening.target) {
        return no(facts, "was let in by a grant that is not theirs");
    }
    if !(welcome..=*known.end()).any(|read| grant.state(read, from) == "approved") {
        return no(facts, "was let in by a grant that did not stand");
    }
    if grant.until(all.model.length) != until {
        return no(
            facts,
            &format!("was told {until}, asked for {}", grant.until(all.model.length)),
        );
    }
    Ok(())
}

fn turned_away(
    all: &Evidence,
    facts: &Facts,
    answered: Moment,
    refused: (u16, &str),
    tally: &mut Tally,
) -> Verdict {
    let (who, opening) = (all.cast.coming(facts.opening.who), &facts.opening);
    let (from, to) = (all.at(facts.asked), all.at(answered));
    let mut known = all.known(opening.node, facts.asked, answered);
    let right = match refused {
        (401, "invalid_token") => {
            tally.add("turned away: barred", 1);
            known.any(|read| all.model.bars(&who, read, from).is_some())
        }
        (403, "grant_required") => {
            tally.add("turned away: no grant", 1);
            let own = || all.model.grants.values().filter(|it| it.is_of(&who, opening.target));
            let none = |read| !own().any(|grant| grant.state(read, to) == "approved");
            opening.target == "locked" && opening.who != "guest" && known.any(none)
        }
        (403, "denied_by_policy") => opening.who == "guest",
        (503, "log_unavailable") => all.failed(opening.node, facts.asked, answered),
        (503, "control_unavailable") => {
            tally.add("turned away: log not read", 1);
            all.is_stale(opening.node, answered) || all.stopping(opening.node, answered)
        }
        (503, "shutting_down") => all.stopping(opening.node, answered),
        _ => false,
    };
    if right { Ok(()) } else { no(facts, &format!("was refused for no reason: {refused:?}")) }
}

/// What reaches the target, and what comes back, must have been put on record while the session might be there.
pub fn passages(all: &Evidence, tally: &mut Tally) -> Verdict {
    for (moment, noted) in all.journal.iter().enumerate() {
        match &noted.what {
            What::Dialled(node, target, None) => {
                tally.add("catalogs read", 1);
                let for_whom = |facts: &Facts| {
                    let opening = &facts.opening;
                    let there = opening.node == *node && opening.target == *target;
                    let began = facts.starting.filter(|began| there && *began < moment);
                    began.is_some_and(|began| {
                        all.might_be(facts, began, moment, SignedDuration::ZERO)
                    })
                };
                if !all.sessions.values().any(for_whom) {
                    return Err(format!("g{node} read the catalog of {target} for nobody"));
                }
            }
            What::Dialled(_, _, Some(label)) => {
                tally.add("dialled", 1);
                let facts = &all.sessions[label];
                let Some(opened) = facts.opened else { return no(facts, "dialled off the record") };
                if !all.might_be(facts, opened, moment, SignedDuration::ZERO) {
                    return no(facts, "was not to be there any more, and the target was dialled");
                }
            }
            What::Ran(text) => {
                tally.add("statements run", 1);
                ran(all, text, moment)?;
            }
            // The farewell is an error.
            What::Told(label, first) if *first != b'E' => {
                let facts = &all.sessions[label];
                let put = facts.responses.iter().rev().find(|put| **put < moment);
                let Some(put) = put else { return no(facts, "was told something off the record") };
                if !all.might_be(facts, *put, moment, LATE) {
                    return no(facts, "was not to be there any more, and was told something");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn ran(all: &Evidence, text: &str, moment: Moment) -> Verdict {
    let whose = |facts: &&Facts| facts.intents.contains_key(text);
    let Some(facts) = all.sessions.values().find(whose) else {
        return Err(format!("{text:?} ran off the record"));
    };
    let intent = facts.intents[text];
    if intent > moment {
        return no(facts, &format!("ran {text:?} before it was on record"));
    }
    if all.might_be(facts, intent, moment, LATE) {
        return Ok(());
    }
    no(facts, &format!("was not to be there any more, and ran {text:?}"))
}
