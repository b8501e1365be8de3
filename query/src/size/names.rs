//! How many tables a text names, with everything that a name stands for.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, Query, Select, Statement, TableFactor, Visit as _, Visitor,
};

use super::too_large;
use crate::error::QueryError;

/// Tables and questions that one text may stand for.
const MAX_NAMED: u64 = 1_000;

/// How often questions within expressions may be looked at: each level of them is planned twice as often as the one around
/// it.
const MAX_WITHIN: u64 = 2_048;

/// Tables in one FROM: the columns of all are copied for each.
const MAX_JOINED: u64 = 64;
/// Columns of one SELECT, as PostgreSQL has it (`MaxTupleAttributeNumber`).
const MAX_COLUMNS: usize = 1_664;
/// Columns of one CUBE: it has two groupings for each, times those of all others.
const MAX_CUBE: usize = 12;

/// Refuses a `statement` that stands for too many tables.
pub(crate) fn must_name_few(statement: &Statement) -> Result<(), QueryError> {
    let mut names = Names { open: vec![Open::default()], ..Names::default() };
    match statement.visit(&mut names) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(TooMuch::Named) => {
            let what = "names more tables and questions than can be planned";
            Err(too_large(what, MAX_NAMED, "name fewer, or ask in several queries"))
        }
        ControlFlow::Break(TooMuch::Joined) => {
            let what = "has more tables in one FROM than can be joined";
            Err(too_large(what, MAX_JOINED, "join fewer, or ask in several queries"))
        }
        ControlFlow::Break(TooMuch::Columns) => {
            let what = "has more columns in one SELECT, or CUBE, than there may be";
            Err(too_large(what, MAX_COLUMNS as u64, "ask for fewer (of a CUBE 12)"))
        }
        ControlFlow::Break(TooMuch::Within) => {
            let message = "questions stand too deep, or too often, within expressions of each other; join instead";
            Err(QueryError::Invalid { message: message.to_owned(), sqlstate: "54001" })
        }
    }
}

#[derive(Default)]
struct Names {
    /// From the outermost question to the one that is looked at.
    open: Vec<Open>,
    /// Expressions with a question in them around what is looked at.
    depth: u32,
    within: u64,
    /// The tables of each SELECT around what is looked at.
    joined: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
enum TooMuch {
    Named,
    Within,
    Joined,
    Columns,
}

#[derive(Default)]
struct Open {
    named: u64,
    /// What stands in its WITH, in order, and how much each stands for; `None` is not looked at yet.
    with: Vec<(String, *const Query, Option<u64>)>,
}

impl Names {
    fn add(&mut self, named: u64) -> ControlFlow<TooMuch> {
        let Some(open) = self.open.last_mut() else { return ControlFlow::Break(TooMuch::Named) };
        open.named = open.named.saturating_add(named);
        if open.named > MAX_NAMED {
            return ControlFlow::Break(TooMuch::Named);
        }
        ControlFlow::Continue(())
    }

    /// How much `name` stands for: the nearest question that has it in its WITH says so.
    fn stands_for(&self, name: &str) -> u64 {
        let with = self.open.iter().rev().flat_map(|open| open.with.iter().rev());
        let named = with.filter_map(|(own, _, named)| Some((own, (*named)?)));
        named.into_iter().find(|(own, _)| *own == name).map_or(1, |(_, named)| named)
    }
}

impl Visitor for Names {
    type Break = TooMuch;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<TooMuch> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        let with =
            tables.map(|cte| (folded(&cte.alias.name), std::ptr::from_ref(&*cte.query), None));
        self.open.push(Open { named: 1, with: with.collect() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<TooMuch> {
        let Some(Open { named, .. }) = self.open.pop() else {
            return ControlFlow::Break(TooMuch::Named);
        };
        let own = std::ptr::from_ref(query);
        let around = self.open.last_mut();
        match around.and_then(|open| open.with.iter_mut().find(|(_, its, _)| *its == own)) {
            Some((_, _, known)) => {
                *known = Some(named);
                ControlFlow::Continue(())
            }
            None => self.add(named),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<TooMuch> {
        self.joined.push(0);
        if select.projection.len() > MAX_COLUMNS {
            return ControlFlow::Break(TooMuch::Columns);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &Select) -> ControlFlow<TooMuch> {
        let _left = self.joined.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, _: &TableFactor) -> ControlFlow<TooMuch> {
        match self.joined.last_mut() {
            Some(joined) if *joined >= MAX_JOINED => ControlFlow::Break(TooMuch::Joined),
            Some(joined) => {
                *joined += 1;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<TooMuch> {
        let name = match relation.0.as_slice() {
            [only] => only.as_ident().map(folded),
            _ => None,
        };
        let named = name.map_or(1, |name| self.stands_for(&name));
        self.add(named)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<TooMuch> {
        if matches!(expr, Expr::Cube(of) if of.len() > MAX_CUBE) {
            return ControlFlow::Break(TooMuch::Columns);
        }
        if has_question(expr) {
            self.depth += 1;
            self.within =
                self.within.saturating_add(1_u64.checked_shl(self.depth).unwrap_or(u64::MAX));
            if self.within > MAX_WITHIN {
                return ControlFlow::Break(TooMuch::Within);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<TooMuch> {
        self.depth -= u32::from(has_question(expr));
        ControlFlow::Continue(())
    }
}

const fn has_question(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Subquery(_)
            | Expr::Exists { .. }
            | Expr::InSubquery { .. }
            | Expr::AnyOp { .. }
            | Expr::AllOp { .. }
    )
}

fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Statements;

    fn judged(sql: &str) -> Result<(), QueryError> {
        must_name_few(&Statements::new(64 * 1024).parse_one(sql).unwrap())
    }

    /// Each of `levels` names the one before it `times`.
    fn doubling(levels: usize, times: usize, with: &str) -> String {
        let level = |level: usize| {
            let before = format!("SELECT * FROM l{}", level - 1);
            format!(", {with}{level} AS ({})", vec![before; times].join(" UNION ALL "))
        };
        let all: String = (1..=levels).map(level).collect();
        format!("WITH l0 AS (SELECT time FROM events){all} SELECT * FROM l{levels}")
    }

    #[test]
    fn names_count_for_what_they_stand_for() {
        judged("SELECT 1").unwrap();
        judged(&doubling(200, 1, "l")).unwrap();
        judged(&doubling(6, 2, "l")).unwrap();
        for sql in [
            doubling(20, 2, "l"),
            doubling(20, 2, "L"),
            format!("EXPLAIN {}", doubling(20, 2, "l")),
            format!("SELECT 1 WHERE EXISTS ({})", doubling(20, 2, "l")),
            format!("SELECT * FROM ({}) AS d", doubling(20, 2, "l")),
        ] {
            let error = judged(&sql).expect_err(&sql);
            assert_eq!(error.sqlstate(), "54001");
            assert!(error.to_string().contains("1000"), "{error}");
        }
    }

    #[test]
    fn questions_within_expressions_are_bounded_in_depth_and_number() {
        let nested =
            |levels: usize| format!("SELECT {}1{}", "(SELECT ".repeat(levels), ")".repeat(levels));
        judged(&nested(8)).unwrap();
        assert!(judged(&nested(12)).unwrap_err().to_string().contains("join instead"));
        let beside = |count: usize| format!("(SELECT {}1)", "(SELECT 1) + ".repeat(count));
        judged(&format!("SELECT {}", beside(200))).unwrap();
        judged(&format!("SELECT (SELECT (SELECT {}))", beside(200))).unwrap_err();
    }

    #[test]
    fn a_from_and_a_select_and_a_cube_are_bounded() {
        let tables = |count: usize| {
            let tables: Vec<_> = (0..count).map(|n| format!("events a{n}")).collect();
            format!("SELECT 1 FROM {}", tables.join(", "))
        };
        judged(&tables(64)).unwrap();
        assert!(judged(&tables(65)).unwrap_err().to_string().contains("join"));
        // Of a union each has its own.
        judged(&vec!["SELECT 1 FROM events"; 200].join(" UNION ALL ")).unwrap();
        let columns = |count: usize| format!("SELECT {}", vec!["1"; count].join(", "));
        judged(&columns(1_664)).unwrap();
        judged(&columns(1_665)).unwrap_err();
        let cube = |count: usize| {
            let columns: Vec<_> = (0..count).map(|n| format!("c{n}")).collect();
            format!("SELECT 1 FROM t GROUP BY CUBE({})", columns.join(", "))
        };
        judged(&cube(12)).unwrap();
        judged(&cube(13)).unwrap_err();
    }

    #[test]
    fn a_name_is_that_of_the_nearest_question() {
        let inner = format!("SELECT * FROM ({}) AS d", doubling(6, 2, "l"));
        // Inside it is a hundred; outside it is no name of a question at all.
        judged(&format!("SELECT * FROM ({inner}) AS a, l6 AS b, l6 AS c, {}", "l6 AS d")).unwrap();
        let own = "WITH events AS (SELECT * FROM events UNION ALL SELECT * FROM events) SELECT * FROM events";
        judged(own).unwrap();
    }
}
