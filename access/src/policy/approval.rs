//! What `@require_approval` demands.

use std::fmt;
use std::time::Duration;

use tallyport_schemas::{ApprovalRequirement, ApprovalScope};

/// How long a request stands where the policy does not say.
const DEFAULT_WITHIN: Duration = Duration::from_secs(15 * 60);
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const MAX_QUORUM: u32 = 10;
const MAX_REQUIREMENTS: usize = 4;
const MAX_GROUP_BYTES: usize = 256;
const FORM: &str = "write it as \"2 of dba\", with more groups behind commas, and `; within 15m` or `; for session` \
                    where the 15 minutes or the single use that are usual do not fit";

/// Who must agree before a statement runs, until when, and for how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalDemand {
    /// All of these must be met; sorted by group, one for each.
    requirements: Vec<ApprovalRequirement>,
    within: Duration,
    scope: ApprovalScope,
}

/// A value of `@require_approval` or `@require_grant` that says nothing clear.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {form}")]
pub struct BadDemand {
    what: String,
    form: &'static str,
}

impl ApprovalDemand {
    /// Reads `2 of dba, 1 of security; within 15m; for session`.
    ///
    /// # Errors
    /// [`BadDemand`], which says what to write.
    pub fn parse(text: &str) -> Result<Self, BadDemand> {
        let mut parts = text.split(';').map(str::trim);
        let mut demand =
            Self { requirements: Vec::new(), within: DEFAULT_WITHIN, scope: ApprovalScope::Once };
        for written in parts.next().unwrap_or_default().split(',') {
            require(&mut demand.requirements, requirement(written.trim(), FORM)?);
        }
        few_enough(&demand.requirements, FORM)?;
        let (mut within, mut scope) = (None, None);
        for part in parts {
            let (word, value) = part.split_once(' ').unwrap_or((part, ""));
            let repeated = match word {
                "within" => within.replace(WITHIN.read(value.trim(), FORM)?).is_some(),
                "for" => scope.replace(scope_of(value.trim())?).is_some(),
                _ => return Err(bad(format!("`{}` is not understood", shown(part)), FORM)),
            };
            if repeated {
                return Err(bad(format!("`{word}` stands twice"), FORM));
            }
        }
        demand.within = within.unwrap_or(demand.within);
        demand.scope = scope.unwrap_or(demand.scope);
        Ok(demand)
    }

    /// What satisfies both: of every group the larger number, the shorter time, and single use unless both allow more.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for requirement in &other.requirements {
            require(&mut self.requirements, requirement.clone());
        }
        self.within = self.within.min(other.within);
        if other.scope == ApprovalScope::Once {
            self.scope = ApprovalScope::Once;
        }
        self
    }

    /// Who must agree; never empty.
    #[must_use]
    pub fn requirements(&self) -> &[ApprovalRequirement] {
        &self.requirements
    }

    /// How long the request stands.
    #[must_use]
    pub const fn within(&self) -> Duration {
        self.within
    }

    /// How often what was approved may run.
    #[must_use]
    pub const fn scope(&self) -> ApprovalScope {
        self.scope
    }
}

/// `2 of dba, 1 of security`.
impl fmt::Display for ApprovalDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_all(&self.requirements, f)
    }
}

pub(super) fn write_all(all: &[ApprovalRequirement], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, requirement) in all.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{requirement}")?;
    }
    Ok(())
}

/// Adds what is wanted to `all`, which stays sorted by group, with the larger number where a group is in it already.
pub(super) fn require(all: &mut Vec<ApprovalRequirement>, wanted: ApprovalRequirement) {
    match all.binary_search_by(|known| known.group.cmp(&wanted.group)) {
        Ok(at) => {
            if let Some(known) = all.get_mut(at) {
                known.quorum = known.quorum.max(wanted.quorum);
            }
        }
        Err(at) => all.insert(at, wanted),
    }
}

pub(super) fn few_enough(all: &[ApprovalRequirement], form: &'static str) -> Result<(), BadDemand> {
    if all.len() > MAX_REQUIREMENTS {
        return Err(bad(format!("it names more than {MAX_REQUIREMENTS} groups"), form));
    }
    Ok(())
}

/// Reads `2 of dba`.
pub(super) fn requirement(
    written: &str,
    form: &'static str,
) -> Result<ApprovalRequirement, BadDemand> {
    let of =
        || bad(format!("`{}` does not name a number of members of a group", shown(written)), form);
    let (quorum, group) = written.split_once(" of ").ok_or_else(of)?;
    let (quorum, group) = (number(quorum.trim()).ok_or_else(of)?, group.trim());
    if !(1..=MAX_QUORUM).contains(&quorum) {
        return Err(bad(format!("the number must be from 1 to {MAX_QUORUM}"), form));
    }
    let fits = !group.is_empty() && group.len() <= MAX_GROUP_BYTES;
    if !fits || group.chars().any(char::is_control) {
        return Err(of());
    }
    Ok(ApprovalRequirement { group: group.to_owned(), quorum })
}

/// A time that a demand may name, as `90s`, `15m` or `2h`.
pub(super) struct Span {
    /// The word before it.
    pub(super) word: &'static str,
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
    /// Both, in words.
    pub(super) range: &'static str,
}

const WITHIN: Span =
    Span { word: "within", shortest: SHORTEST, longest: LONGEST, range: "from 10s to 24h" };

impl Span {
    pub(super) fn read(&self, written: &str, form: &'static str) -> Result<Duration, BadDemand> {
        let Self { word, range, .. } = self;
        let wrong = || {
            let shown = shown(written);
            bad(format!("`{word} {shown}` is not a time {range}, such as 90s or 2h"), form)
        };
        let split = written.len().saturating_sub(1);
        let (count, unit) = written.split_at_checked(split).ok_or_else(wrong)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(wrong()),
        };
        let count = number(count).ok_or_else(wrong)?;
        let read = Duration::from_secs(u64::from(count) * seconds);
        (self.shortest..=self.longest).contains(&read).then_some(read).ok_or_else(wrong)
    }
}

fn scope_of(written: &str) -> Result<ApprovalScope, BadDemand> {
    match written {
        "once" => Ok(ApprovalScope::Once),
        "session" => Ok(ApprovalScope::Session),
        other => Err(bad(
            format!("`for {}` is neither `for once` nor `for session`", shown(other)),
            FORM,
        )),
    }
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

pub(super) const fn bad(what: String, form: &'static str) -> BadDemand {
    BadDemand { what, form }
}

pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, u64, ApprovalScope) {
        let demand = ApprovalDemand::parse(text).unwrap();
        (demand.to_string(), demand.within().as_secs(), demand.scope())
    }

    #[test]
    fn a_demand_is_read() {
        use ApprovalScope::{Once, Session};
        assert_eq!(read("2 of dba"), ("2 of dba".to_owned(), 900, Once));
        assert_eq!(
            read("1 of security team,2 of dba ; for session;within 2h"),
            ("2 of dba, 1 of security team".to_owned(), 7200, Session)
        );
        assert_eq!(read("1 of a, 3 of a, 2 of a").0, "3 of a");
        assert_eq!(read("1 of a; for once; within 10s"), ("1 of a".to_owned(), 10, Once));
    }

    #[test]
    fn what_is_unclear_is_refused_with_the_form_to_write() {
        for text in [
            "",
            "dba",
            "of dba",
            "0 of dba",
            "11 of dba",
            "+1 of dba",
            "1 of ",
            "1 of dba,",
            "1 of \u{7}",
            "1 of a, 1 of b, 1 of c, 1 of d, 1 of e",
            "1 of dba; within 9s",
            "1 of dba; within 25h",
            "1 of dba; within 4294967295h",
            "1 of dba; within 1d",
            "1 of dba; within é",
            "1 of dba; within",
            "1 of dba; for ever",
            "1 of dba; for once; for once",
            "1 of dba; by noon",
            "1 of dba;",
        ] {
            let error = ApprovalDemand::parse(text).unwrap_err().to_string();
            assert!(error.contains("write it as \"2 of dba\""), "{text}: {error}");
        }
    }

    #[test]
    fn two_demands_together_are_the_stricter_of_each() {
        let one = ApprovalDemand::parse("1 of dba, 2 of security; for session; within 1h").unwrap();
        let other = ApprovalDemand::parse("2 of dba; within 2h").unwrap();
        let both = one.clone().and(&other);
        assert_eq!(both, other.and(&one));
        assert_eq!(both.to_string(), "2 of dba, 2 of security");
        assert_eq!((both.within().as_secs(), both.scope()), (3600, ApprovalScope::Once));
    }
}
