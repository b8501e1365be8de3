//! From libpg_query's typed tree to [`Node`], through serde.

use serde::Serialize;
use serde::ser::{self, Impossible};

use super::{MAX_DEPTH, Node, Value};

/// Stack that must be left before another level is entered, in bytes.
const RED_ZONE: usize = 256 * 1024;
/// Stack that is added when less is left, in bytes.
const STACK_STEP: usize = 4 * 1024 * 1024;

/// The typed tree could not be turned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    /// More than [`MAX_DEPTH`] levels.
    #[error("statement is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// A value of a shape that parse trees do not have: the library changed.
    #[error("unexpected {0} in the parse tree")]
    Shape(&'static str),
    /// What serde says.
    #[error("{0}")]
    Serde(String),
}

impl ser::Error for TreeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Serde(message.to_string())
    }
}

/// Turns one message of the typed tree.
///
/// # Errors
/// When it is too deep, or not of the shape of a parse tree.
pub(crate) fn build<T: Serialize>(message: &T) -> Result<Option<Node>, TreeError> {
    match message.serialize(Builder { depth: 0 })? {
        Some(Value::Node(node)) => Ok(Some(*node)),
        _ => Ok(None),
    }
}

/// Makes a [`Value`], or nothing for a default.
#[derive(Clone, Copy)]
struct Builder {
    depth: usize,
}

impl Builder {
    fn deeper(self) -> Result<Self, TreeError> {
        if self.depth >= MAX_DEPTH {
            Err(TreeError::TooDeep)
        } else {
            Ok(Self { depth: self.depth + 1 })
        }
    }
}

type Built = Result<Option<Value>, TreeError>;

fn integer(value: i64) -> Built {
    Ok((value != 0).then_some(Value::Int(value)))
}

macro_rules! refuse {
    ($($method:ident($($arg:ty),*) = $what:literal;)*) => {
        $(fn $method(self, $(_: $arg),*) -> Result<Self::Ok, TreeError> { Err(TreeError::Shape($what)) })*
    };
}

impl ser::Serializer for Builder {
    type Ok = Option<Value>;
    type Error = TreeError;
    type SerializeSeq = ListBuilder;
    type SerializeTuple = Impossible<Self::Ok, TreeError>;
    type SerializeTupleStruct = Impossible<Self::Ok, TreeError>;
    type SerializeTupleVariant = Impossible<Self::Ok, TreeError>;
    type SerializeMap = Impossible<Self::Ok, TreeError>;
    type SerializeStruct = NodeBuilder;
    type SerializeStructVariant = Impossible<Self::Ok, TreeError>;

    fn serialize_bool(self, value: bool) -> Built {
        integer(i64::from(value))
    }
    fn serialize_i32(self, value: i32) -> Built {
        integer(i64::from(value))
    }
    fn serialize_i64(self, value: i64) -> Built {
        integer(value)
    }
    fn serialize_u32(self, value: u32) -> Built {
        integer(i64::from(value))
    }
    fn serialize_u64(self, value: u64) -> Built {
        integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
    fn serialize_f64(self, value: f64) -> Built {
        // Only planner estimates are floats, and the raw parser sets none.
        if value == 0.0 { Ok(None) } else { Err(TreeError::Shape("float")) }
    }
    fn serialize_str(self, value: &str) -> Built {
        Ok((!value.is_empty()).then(|| Value::Text(value.to_owned())))
    }
    fn serialize_none(self) -> Built {
        Ok(None)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Built {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Built {
        stacker::maybe_grow(RED_ZONE, STACK_STEP, || value.serialize(self))
    }
    fn serialize_struct(self, kind: &'static str, _len: usize) -> Result<NodeBuilder, TreeError> {
        // A wrapper and what it wraps are one level.
        let builder = if kind == WRAPPER { self } else { self.deeper()? };
        Ok(NodeBuilder { builder, node: Node { kind, fields: Vec::new() } })
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<ListBuilder, TreeError> {
        Ok(ListBuilder { builder: self, nodes: Vec::with_capacity(len.unwrap_or_default()) })
    }

    refuse! {
        serialize_i8(i8) = "i8"; serialize_i16(i16) = "i16"; serialize_u8(u8) = "u8"; serialize_u16(u16) = "u16";
        serialize_f32(f32) = "f32"; serialize_char(char) = "char"; serialize_bytes(&[u8]) = "bytes";
        serialize_unit() = "unit"; serialize_unit_struct(&'static str) = "unit struct";
        serialize_unit_variant(&'static str, u32, &'static str) = "unit variant";
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Built {
        Err(TreeError::Shape("newtype struct"))
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, TreeError> {
        Err(TreeError::Shape("tuple"))
    }
    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, TreeError> {
        Err(TreeError::Shape("tuple struct"))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, TreeError> {
        Err(TreeError::Shape("tuple variant"))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, TreeError> {
        Err(TreeError::Shape("map"))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, TreeError> {
        Err(TreeError::Shape("struct variant"))
    }
}

/// Gathers the fields of one message.
struct NodeBuilder {
    builder: Builder,
    node: Node,
}

/// The wrapper around every node of a list or of a field that takes any kind.
const WRAPPER: &str = "Node";

impl ser::SerializeStruct for NodeBuilder {
    type Ok = Option<Value>;
    type Error = TreeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), TreeError> {
        // Positions say nothing about meaning; without them equal statements are equal trees.
        if name == "location" {
            return Ok(());
        }
        if let Some(value) = value.serialize(self.builder)? {
            self.node.fields.push((name, value));
        }
        Ok(())
    }

    fn end(mut self) -> Built {
        if self.node.kind != WRAPPER {
            return Ok(Some(Value::Node(Box::new(self.node))));
        }
        Ok(match self.node.fields.pop() {
            Some((_, value)) => Some(value),
            None => Some(Value::Node(Box::new(Node { kind: Node::NULL_KIND, fields: Vec::new() }))),
        })
    }
}

/// Gathers the nodes of one list.
struct ListBuilder {
    builder: Builder,
    nodes: Vec<Node>,
}

impl ser::SerializeSeq for ListBuilder {
    type Ok = Option<Value>;
    type Error = TreeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TreeError> {
        match value.serialize(self.builder)? {
            Some(Value::Node(node)) => self.nodes.push(*node),
            // Bit sets of planner nodes; the raw parser makes none.
            _ => return Err(TreeError::Shape("list of numbers")),
        }
        Ok(())
    }

    fn end(self) -> Built {
        Ok((!self.nodes.is_empty()).then_some(Value::List(self.nodes)))
    }
}
