//! What is done to the plan of a question beyond what the engine does: rules of our own, and which of the engine's are left
//! out or bounded.

use std::sync::Arc;

use datafusion::physical_optimizer::PhysicalOptimizerRule;

mod below;
mod dictionaries;
mod interrupted;
mod of_a_turn;
mod order;
mod unique;

use dictionaries::TextsInDictionaries;
use interrupted::MayBeInterrupted;
use order::FirstRowsFirst;
use unique::WhereNamesAreUnique;

/// The rule of the engine that pushes filters above a scan into it.
const FILTERS_FROM_ABOVE: &str = "FilterPushdown";
/// The one for filters that are only known while the question runs.
const FILTERS_OF_THE_RUN: &str = "FilterPushdown(Post)";
/// The rule of the engine that tells scans what they are sorted by; what is known only while the question runs comes later.
const SORTS_TO_SCANS: &str = "PushdownSort";
/// The rule of the engine that looks at the plan when it is done.
const LAST_CHECK: &str = "SanityCheckPlan";

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// The rules that plans of questions are made by, from those that the engine has.
pub(crate) fn rules(engines: &[Rule]) -> Vec<Rule> {
    let mut rules = engines.to_vec();
    // The engine takes a filter away from above a scan that then drops what it cannot ask of a file, and finds columns by
    // name where two have the same: the scan has its filters from us, and they stay above.
    rules.retain(|rule| rule.name() != FILTERS_FROM_ABOVE);
    for rule in rules.iter_mut().filter(|rule| rule.name() == FILTERS_OF_THE_RUN) {
        *rule = Arc::new(WhereNamesAreUnique::new(Arc::clone(rule)));
    }
    insert_before(&mut rules, SORTS_TO_SCANS, Arc::new(FirstRowsFirst));
    insert_before(&mut rules, LAST_CHECK, Arc::new(TextsInDictionaries));
    insert_before(&mut rules, LAST_CHECK, Arc::new(MayBeInterrupted));
    rules
}

fn insert_before(rules: &mut Vec<Rule>, name: &str, ours: Rule) {
    let at = rules.iter().position(|rule| rule.name() == name).unwrap_or(rules.len());
    rules.insert(at, ours);
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    #[test]
    fn ours_have_their_places_and_all_others_stay() {
        let names =
            |rules: &[Rule]| Vec::from_iter(rules.iter().map(|rule| rule.name().to_owned()));
        let state = SessionContext::new().state();
        let engines = state.physical_optimizers();
        let mut wanted = names(engines);
        for known in [FILTERS_FROM_ABOVE, FILTERS_OF_THE_RUN, SORTS_TO_SCANS, LAST_CHECK] {
            assert!(
                wanted.iter().any(|rule| rule == known),
                "{known} has another name: {wanted:?}"
            );
        }
        wanted.retain(|rule| rule != FILTERS_FROM_ABOVE);
        let sorts = wanted.iter().position(|rule| rule == SORTS_TO_SCANS).unwrap();
        wanted.insert(sorts, "FirstRowsFirst".to_owned());
        assert_eq!(wanted.pop().as_deref(), Some(LAST_CHECK), "what comes after ours");
        wanted.extend(["TextsInDictionaries", "MayBeInterrupted", LAST_CHECK].map(str::to_owned));
        assert_eq!(names(&rules(engines)), wanted);
    }
}
