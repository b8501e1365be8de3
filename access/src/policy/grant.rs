//! What `@require_grant` demands.

use std::fmt;
use std::time::Duration;

use tallyport_schemas::ApprovalRequirement;

use super::approval::{BadDemand, Span, bad, few_enough, require, requirement, shown, write_all};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a grant may be, and how long a request for one stands, where the policy does not say.
const DEFAULT: Duration = Duration::from_secs(3600);
/// What stands where nobody has to agree.
const NOBODY: &str = "nobody";
const FOR: Span = Span { word: "for", shortest: MINUTE, longest: DAY, range: "from 1m to 24h" };
const WITHIN: Span = Span {
    word: "within",
    shortest: Duration::from_secs(10),
    longest: DAY,
    range: "from 10s to 24h",
};
const FORM: &str = "write it as \"1 of dba\", with more groups behind commas, or as \"nobody\" where asking is enough, \
                    and `; for 2h` or `; within 15m` where the hour that is usual for both does not fit";

/// Who must agree before a principal may open sessions to a target for a time, for how long at most, and how long a request
/// stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GrantDemand {
    /// All of these must be met; sorted by group, one for each.
    requirements: Vec<ApprovalRequirement>,
    longest: Duration,
    within: Duration,
}

impl GrantDemand {
    /// Reads `2 of dba, 1 of security; for 2h; within 15m`.
    ///
    /// # Errors
    /// [`BadDemand`], which says what to write.
    pub fn parse(text: &str) -> Result<Self, BadDemand> {
        let mut parts = text.split(';').map(str::trim);
        let groups = parts.next().unwrap_or_default();
        let mut requirements = Vec::new();
        if groups != NOBODY {
            for written in groups.split(',') {
                require(&mut requirements, requirement(written.trim(), FORM)?);
            }
        }
        few_enough(&requirements, FORM)?;
        let (mut longest, mut within) = (None, None);
        for part in parts {
            let (word, value) = part.split_once(' ').unwrap_or((part, ""));
            let repeated = match word {
                "for" => longest.replace(FOR.read(value.trim(), FORM)?).is_some(),
                "within" => within.replace(WITHIN.read(value.trim(), FORM)?).is_some(),
                _ => return Err(bad(format!("`{}` is not understood", shown(part)), FORM)),
            };
            if repeated {
                return Err(bad(format!("`{word}` stands twice"), FORM));
            }
        }
        Ok(Self {
            requirements,
            longest: longest.unwrap_or(DEFAULT),
            within: within.unwrap_or(DEFAULT),
        })
    }

    /// What a grant was given under: who had to agree, and for how long it was asked.
    #[must_use]
    pub fn given(requirements: &[ApprovalRequirement], period: Duration) -> Self {
        let mut all = Vec::new();
        for requirement in requirements {
            require(&mut all, requirement.clone());
        }
        Self { requirements: all, longest: period, within: DEFAULT }
    }

    /// What satisfies both: of every group the larger number, and the shorter times.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for requirement in &other.requirements {
            require(&mut self.requirements, requirement.clone());
        }
        self.longest = self.longest.min(other.longest);
        self.within = self.within.min(other.within);
        self
    }

    /// Whether a grant that was given under `given` is what this demands: policy may have become stricter since.
    #[must_use]
    pub fn is_met_by(&self, given: &Self) -> bool {
        let agreed = |wanted: &ApprovalRequirement| {
            given
                .requirements
                .iter()
                .any(|it| it.group == wanted.group && it.quorum >= wanted.quorum)
        };
        given.longest <= self.longest && self.requirements.iter().all(agreed)
    }

    /// Who must agree; empty where asking is enough.
    #[must_use]
    pub fn requirements(&self) -> &[ApprovalRequirement] {
        &self.requirements
    }

    /// How long a grant may be.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        self.longest
    }

    /// How long a request stands.
    #[must_use]
    pub const fn within(&self) -> Duration {
        self.within
    }
}

/// `2 of dba, 1 of security`.
impl fmt::Display for GrantDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.requirements.is_empty() {
            return f.write_str(NOBODY);
        }
        write_all(&self.requirements, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> GrantDemand {
        GrantDemand::parse(text).unwrap()
    }

    #[test]
    fn a_demand_is_read() {
        let told = |text: &str| {
            let demand = read(text);
            (demand.to_string(), demand.longest().as_secs(), demand.within().as_secs())
        };
        assert_eq!(told("1 of dba"), ("1 of dba".to_owned(), 3600, 3600));
        assert_eq!(told("nobody; for 30m"), ("nobody".to_owned(), 1800, 3600));
        assert_eq!(
            told("1 of security,2 of dba; within 15m ; for 24h"),
            ("2 of dba, 1 of security".to_owned(), 86_400, 900)
        );
    }

    #[test]
    fn what_is_unclear_is_refused_with_the_form_to_write() {
        for text in [
            "",
            "dba",
            "nobody, 1 of dba",
            "0 of dba",
            "1 of dba; for 59s",
            "1 of dba; for 25h",
            "1 of dba; for session",
            "1 of dba; for 1h; for 1h",
            "1 of dba; within 9s",
            "1 of dba;",
            "1 of a, 1 of b, 1 of c, 1 of d, 1 of e",
        ] {
            let error = GrantDemand::parse(text).unwrap_err().to_string();
            assert!(error.contains("where asking is enough"), "{text}: {error}");
        }
    }

    #[test]
    fn two_demands_together_are_the_stricter_of_each() {
        let (one, other) =
            (read("1 of dba, 2 of security; for 1h"), read("2 of dba; for 2h; within 15m"));
        let both = one.clone().and(&other);
        assert_eq!(both, other.and(&one));
        assert_eq!(both, read("2 of dba, 2 of security; for 1h; within 15m"));
    }

    #[test]
    fn a_grant_under_easier_terms_is_not_what_is_demanded() {
        let given = |text: &str, seconds| {
            GrantDemand::given(read(text).requirements(), Duration::from_secs(seconds))
        };
        let demand = read("2 of dba; for 1h");
        assert!(demand.is_met_by(&given("2 of dba", 3600)));
        assert!(demand.is_met_by(&given("3 of dba, 1 of security", 60)));
        assert!(!demand.is_met_by(&given("1 of dba", 60)), "fewer agreed");
        assert!(!demand.is_met_by(&given("2 of security", 60)), "others agreed");
        assert!(!demand.is_met_by(&given("2 of dba", 3601)), "it is for longer");
        assert!(read("nobody").is_met_by(&given("1 of dba", 60)));
        assert!(!demand.is_met_by(&given("nobody", 60)));
    }
}
