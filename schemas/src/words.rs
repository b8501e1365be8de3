//! The written names of closed sets: one list gives the names, the full set and, by `match`, its completeness.

macro_rules! words {
    ($type:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value as it is written in events and in the lake.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::json;

    use crate::*;

    fn same<T: Copy + Serialize>(all: &[T], as_str: fn(T) -> &'static str) {
        for &value in all {
            assert_eq!(serde_json::to_value(value).unwrap(), json!(as_str(value)));
        }
    }

    #[test]
    fn names_are_those_that_events_carry() {
        same(&Family::ALL, Family::as_str);
        same(PrincipalKind::ALL, PrincipalKind::as_str);
        same(TargetKind::ALL, TargetKind::as_str);
        same(ContentEncoding::ALL, ContentEncoding::as_str);
        same(Outcome::ALL, Outcome::as_str);
        same(AuthMethod::ALL, AuthMethod::as_str);
        same(Front::ALL, Front::as_str);
        same(Phase::ALL, Phase::as_str);
        same(Disposition::ALL, Disposition::as_str);
        same(StatementKind::ALL, StatementKind::as_str);
        same(Effect::ALL, Effect::as_str);
        same(GapOutcome::ALL, GapOutcome::as_str);
        same(PolicyKind::ALL, PolicyKind::as_str);
        same(DefinitionState::ALL, DefinitionState::as_str);
        same(FindingAction::ALL, FindingAction::as_str);
        same(Face::ALL, Face::as_str);
        same(ResponseStatus::ALL, ResponseStatus::as_str);
        same(SessionEnd::ALL, SessionEnd::as_str);
    }
}
