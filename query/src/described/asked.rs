//! What drivers write when they ask the catalog, and the engine would read otherwise. Questions for events have none of it.

use std::mem::replace;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, Statement, Value, VisitMut as _,
    VisitorMut,
};

/// Functions are told by name here, and where a server has their number it shows the name.
const BY_NAME: &str = "regproc";

/// Makes `statement` what the engine reads as it was meant; whether that is another one.
pub(crate) fn as_meant(statement: &mut Statement) -> bool {
    let mut meant = AsMeant { is_another: false };
    let _all = statement.visit(&mut meant);
    meant.is_another
}

struct AsMeant {
    is_another: bool,
}

impl VisitorMut for AsMeant {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        match expression {
            // `table.column[1]` is one as well.
            Expr::CompoundFieldAccess { root, access_chain }
                if !matches!(**root, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
                    && access_chain.iter().any(|it| matches!(it, AccessExpr::Dot(_))) =>
            {
                let root = replace(root.as_mut(), null());
                *expression = accessed(root, std::mem::take(access_chain));
                self.is_another = true;
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right } => {
                self.is_another |= by_name(left, right);
                self.is_another |= by_name(right, left);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `(value).name` as the function that takes a field out.
fn accessed(root: Expr, chain: Vec<AccessExpr>) -> Expr {
    chain.into_iter().fold(root, |root, access| match access {
        AccessExpr::Dot(Expr::Identifier(field)) => get_field(root, field.value),
        other => Expr::CompoundFieldAccess { root: Box::new(root), access_chain: vec![other] },
    })
}

fn get_field(value: Expr, field: String) -> Expr {
    let field = Expr::Value(Value::SingleQuotedString(field).with_empty_span());
    let args = [value, field].map(|it| FunctionArg::Unnamed(FunctionArgExpr::Expr(it)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("get_field")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.to_vec(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// `column = 'pg_catalog.name'::regproc` as `column = 'name'`: so it is in the column.
fn by_name(column: &Expr, function: &mut Expr) -> bool {
    let is_id = match column {
        Expr::Identifier(name) => name.value.eq_ignore_ascii_case("oid"),
        Expr::CompoundIdentifier(names) => {
            names.last().is_some_and(|name| name.value.eq_ignore_ascii_case("oid"))
        }
        _ => return false,
    };
    if is_id {
        return false;
    }
    let Expr::Cast { expr, data_type: DataType::Custom(kind, _), .. } = function else {
        return false;
    };
    let of_functions = kind.0.last().and_then(|it| it.as_ident());
    if !of_functions.is_some_and(|it| it.value.eq_ignore_ascii_case(BY_NAME)) {
        return false;
    }
    if let Expr::Value(literal) = expr.as_mut()
        && let Value::SingleQuotedString(name) = &mut literal.value
    {
        if let Some((_, own)) = name.rsplit_once('.') {
            *name = own.to_owned();
        }
        *function = replace(expr.as_mut(), null());
        return true;
    }
    false
}

fn null() -> Expr {
    Expr::Value(Value::Null.with_empty_span())
}
