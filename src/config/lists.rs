//! Lists with a meaning of their own.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::{
    decode::{Decoder, Value, push},
    sourced::{Listed, Origin},
    tree::{Kind, Node},
};
use crate::oci::Tag;

/// Tags: one, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags(pub Vec<Tag>);

impl Value for Tags {
    fn decode(node: &Node, cx: &mut Decoder<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar { .. } => Some(Self(vec![Tag::decode(node, cx)?])),
            _ => Vec::decode(node, cx).map(Self),
        }
    }

    fn shape(generator: &mut SchemaGenerator) -> Schema {
        let (one, many) = (Tag::shape(generator), Vec::<Tag>::shape(generator));
        json_schema!({ "anyOf": [one, many] })
    }

    fn list(&self, path: &str, origin: &Origin, out: &mut Vec<Listed>) {
        let tags: Vec<String> = self.0.iter().map(Tag::to_string).collect();
        push(path, tags.join(", "), origin, out);
    }
}

/// A list to which every level adds, the highest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined<T>(pub Vec<T>);

impl<T> Default for Joined<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Value> Value for Joined<T> {
    fn decode(node: &Node, cx: &mut Decoder<'_>) -> Option<Self> {
        Vec::decode(node, cx).map(Self)
    }

    fn shape(generator: &mut SchemaGenerator) -> Schema {
        Vec::<T>::shape(generator)
    }

    fn over(mut self, below: Self) -> Self {
        self.0.extend(below.0);
        self
    }

    fn list(&self, path: &str, origin: &Origin, out: &mut Vec<Listed>) {
        self.0.list(path, origin, out);
    }
}
