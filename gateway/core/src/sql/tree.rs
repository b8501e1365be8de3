//! The parse tree in a form that can be walked without knowing every kind of node.
//!
//! libpg_query's tree has about 270 kinds of node with fields of their own. A rule that must hold for *every* field
//! of *every* kind (no masked column hides anywhere) cannot be written field by field: it would be wrong the day a
//! field is added. So the typed tree is turned once, through its serde face, into nodes with named fields, without
//! loss of structure; fields that hold their default are left out, as in protobuf.

mod build;

pub(crate) use build::build;

/// The deepest tree that is walked. PostgreSQL itself gives up at a few thousand levels with its default stack.
pub(crate) const MAX_DEPTH: usize = 2_000;

/// One node: its kind as libpg_query names it (`SelectStmt`, `AExpr`) and its fields that are set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    kind: &'static str,
    fields: Vec<(&'static str, Value)>,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A number, an enumeration or `true`.
    Int(i64),
    /// A text.
    Text(String),
    /// A node.
    Node(Box<Node>),
    /// A list of nodes; other lists do not occur in raw parse trees.
    List(Vec<Node>),
}

impl Node {
    /// Stands for a NULL in a list of nodes.
    const NULL_KIND: &'static str = "Null";

    /// The kind, as libpg_query names it.
    pub(crate) const fn kind(&self) -> &'static str {
        self.kind
    }

    /// All fields that are set, in the order of the definition.
    pub(crate) fn fields(&self) -> &[(&'static str, Value)] {
        &self.fields
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// A text field; empty when it is not set.
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// A text field that is set.
    pub(crate) fn some_text(&self, name: &str) -> Option<&str> {
        let text = self.text(name);
        (!text.is_empty()).then_some(text)
    }

    /// A number or enumeration; 0 when it is not set.
    pub(crate) fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            Some(Value::Int(value)) => *value,
            _ => 0,
        }
    }

    /// A flag; false when it is not set.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.int(name) != 0
    }

    /// A node field that is set.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        match self.get(name) {
            Some(Value::Node(node)) => Some(node),
            _ => None,
        }
    }

    /// A list field; empty when it is not set.
    pub(crate) fn list(&self, name: &str) -> &[Self] {
        match self.get(name) {
            Some(Value::List(nodes)) => nodes,
            _ => &[],
        }
    }

    /// The texts of a list of `String` nodes, such as a qualified name; other nodes in it are left out.
    pub(crate) fn strings(&self, name: &str) -> Vec<&str> {
        self.list(name).iter().filter_map(Self::as_string).collect()
    }

    /// The text of a `String` node.
    pub(crate) fn as_string(&self) -> Option<&str> {
        (self.kind == "String").then(|| self.text("sval"))
    }

    /// The text of a string constant.
    pub(crate) fn as_string_constant(&self) -> Option<&str> {
        if self.kind != "AConst" || self.flag("isnull") {
            return None;
        }
        self.child("val").and_then(Self::as_string)
    }

    /// The value of an integer constant.
    pub(crate) fn as_integer_constant(&self) -> Option<i64> {
        if self.kind != "AConst" || self.flag("isnull") {
            return None;
        }
        self.child("val").filter(|val| val.kind == "Integer").map(|val| val.int("ival"))
    }
}
