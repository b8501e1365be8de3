//! Functions, operators and types: what runs, and whether its effect can be seen.

use super::walk::Walker;
use super::{Clause, OpaqueCall};
use crate::sql::builtins::{self, Effect};
use crate::sql::catalog::{Routine, SYSTEM_SCHEMA};
use crate::sql::settings::Change;
use crate::sql::tree::Node;

impl Walker<'_> {
    pub(super) fn call(&mut self, call: &Node, clause: Clause) {
        let parts = call.strings("funcname");
        let (schema, name) = match parts.as_slice() {
            [name] => (None, *name),
            [.., schema, name] => (Some(*schema), *name),
            [] => (None, ""),
        };
        if !self.sets_configuration(call, schema, name) {
            self.function(schema, name);
        }
        let inside = if clause == Clause::Projection { Clause::Expression } else { clause };
        self.fields(call, inside, &["funcname"]);
    }

    /// `set_config` with constants is a `SET`.
    fn sets_configuration(&mut self, call: &Node, schema: Option<&str>, name: &str) -> bool {
        let ours = name == "set_config" && schema.is_none_or(|schema| schema == SYSTEM_SCHEMA);
        let shadowed = schema.is_none()
            && self.candidates(None, name).iter().any(|routine| routine.schema != SYSTEM_SCHEMA);
        if !ours || shadowed {
            return false;
        }
        let Some(change) = Change::of_call(call) else { return false };
        self.out.functions.insert(name.to_owned());
        self.out.changes.push(change);
        self.out.demands.insert(super::Demand::Set);
        true
    }

    fn candidates(&self, schema: Option<&str>, name: &str) -> Vec<&Routine> {
        let in_sight = |routine: &&Routine| match schema {
            Some(schema) => routine.schema == schema,
            None => self.paths.may_see(&routine.schema, self.catalog),
        };
        self.catalog.functions_named(name).iter().filter(in_sight).collect()
    }

    fn function(&mut self, schema: Option<&str>, name: &str) {
        let candidates = self.candidates(schema, name);
        let known = builtins::function(schema.unwrap_or(SYSTEM_SCHEMA), name);
        let mut opaque: Vec<OpaqueCall> = candidates
            .iter()
            .filter(|routine| !routine.safe)
            .map(|routine| OpaqueCall {
                schema: Some(routine.schema.clone()),
                name: name.to_owned(),
            })
            .collect();
        if candidates.is_empty() && known.is_none() {
            // Not there when the snapshot was taken, or a column in the guise of a call.
            opaque.push(OpaqueCall { schema: schema.map(str::to_owned), name: name.to_owned() });
        }
        let mut called: Vec<String> =
            candidates.iter().map(|routine| display(&routine.schema, name)).collect();
        if called.is_empty() {
            called.push(display(schema.unwrap_or(SYSTEM_SCHEMA), name));
        }
        self.out.functions.extend(called);
        if known == Some(Effect::Some) {
            self.out.has_effect = true;
        }
        for call in opaque {
            self.opaque_call(call);
        }
    }

    /// A name that is a function's unless it is a field's.
    pub(super) fn maybe_function(&mut self, name: &str) {
        if self.candidates(None, name).iter().any(|routine| !routine.safe) {
            self.function(None, name);
        }
    }

    fn opaque_call(&mut self, call: OpaqueCall) {
        let shown = display(call.schema.as_deref().unwrap_or(SYSTEM_SCHEMA), &call.name);
        self.opaque(format!("calls {shown}, whose effect cannot be seen"));
        self.out.has_effect = true;
        self.out.opaque_calls.insert(call);
    }

    pub(super) fn operator_expression(&mut self, expression: &Node, clause: Clause) {
        // BETWEEN and its like carry words where others carry an operator.
        const FIRST_BETWEEN: i64 = 11;
        if expression.int("kind") >= FIRST_BETWEEN {
            self.operator(&[">="]);
            self.operator(&["<="]);
        } else {
            self.operator_named(expression, "name");
        }
        let inside = if clause == Clause::Projection { Clause::Expression } else { clause };
        self.fields(expression, inside, &["name"]);
    }

    pub(super) fn operator_named(&mut self, node: &Node, field: &str) {
        let name = node.strings(field);
        if !name.is_empty() {
            self.operator(&name);
        }
    }

    pub(super) fn operator(&mut self, parts: &[&str]) {
        let (schema, name) = match parts {
            [name] => (None, *name),
            [.., schema, name] => (Some(*schema), *name),
            [] => return,
        };
        let unsafe_one = self.catalog.operators_named(name).iter().find(|routine| {
            let in_sight = match schema {
                Some(schema) => routine.schema == schema,
                None => self.paths.may_see(&routine.schema, self.catalog),
            };
            in_sight && !routine.safe
        });
        if let Some(routine) = unsafe_one {
            let why =
                format!("uses operator {}.{name}, whose effect cannot be seen", routine.schema);
            return self.opaque(why);
        }
        let system =
            schema.is_none_or(|schema| schema == SYSTEM_SCHEMA) && builtins::is_operator(name);
        if !system && self.catalog.operators_named(name).is_empty() {
            self.opaque(format!("uses operator {name}, which is not known"));
        }
    }

    pub(super) fn sublink(&mut self, link: &Node) {
        const ANY: i64 = 3;
        if link.int("sub_link_type") == ANY && link.list("oper_name").is_empty() {
            self.operator(&["="]);
        }
        self.operator_named(link, "oper_name");
        self.fields(link, Clause::Subquery, &["oper_name"]);
    }

    pub(super) fn type_name(&mut self, name: &Node, clause: Clause) {
        let parts = name.strings("names");
        let (schema, plain) = match parts.as_slice() {
            [name] => (None, *name),
            [.., schema, name] => (Some(*schema), *name),
            [] => return,
        };
        let system = match schema {
            Some(schema) => schema == SYSTEM_SCHEMA,
            None => builtins::is_type(plain) && self.paths.system_first(),
        };
        if !system {
            let unsafe_one = self.catalog.types_named(plain).iter().any(|found| {
                let in_sight = match schema {
                    Some(schema) => found.schema == schema,
                    None => self.paths.may_see(&found.schema, self.catalog),
                };
                in_sight && !found.safe
            });
            if unsafe_one {
                self.opaque(format!("uses type {plain}, which runs code or is a row of a table"));
            }
        }
        self.fields(name, clause, &["names"]);
    }
}

fn display(schema: &str, name: &str) -> String {
    if schema == SYSTEM_SCHEMA { name.to_owned() } else { format!("{schema}.{name}") }
}
